use std::iter::repeat_n;

use super::*;
use crate::domain::token::TokenFailure;

const VERSION: u64 = 3;

/// Seconds after the beginning of a minute, ten minutes after the connector was last changed.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(600_000 + seconds * 1000)
}

fn id(name: &str) -> BreakerId {
    BreakerId::parse(name).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tally(successes: u64, failures: u64) -> Tally {
    Tally {
        calls: successes + failures,
        successes,
        failures,
        ..Tally::default()
    }
}

/// A connector with these tallies in these minutes after `at(0)`.
fn counted(tallies: &[(i64, Tally)]) -> Health {
    let minutes = tallies.iter();
    Health {
        minutes: minutes
            .map(|(minute, tally)| (minute_of(at(0)) + minute, *tally))
            .collect(),
        ..Health::default()
    }
}

fn observed(seen: &[Seen], now: Timestamp) -> Observation<'_> {
    Observation {
        connector_version: VERSION,
        configured_at: at(-600),
        seen,
        at: now,
    }
}

fn verdict(health: &Health, seen: &[Seen], now: Timestamp) -> Verdict {
    health.verdict(&observed(seen, now), id("next"))
}

#[track_caller]
fn tripped(health: &Health, seen: &[Seen], now: Timestamp) -> Breaker {
    match verdict(health, seen, now) {
        Verdict::Trip(breaker) => breaker,
        other => panic!("{other:?}"),
    }
}

/// Under a breaker with this cause, as the one who probes.
fn probing(cause: Cause, openings: u32) -> Health {
    Health {
        breaker: Some(Breaker {
            id: id("probe"),
            cause,
            since: at(-60),
            open_until: at(30),
            openings,
            connector_version: VERSION,
        }),
        ..Health::default()
    }
}

const CLIENT: Cause = Cause::Misconfigured(Misconfiguration::ClientRefused);
const REQUEST: Cause = Cause::Misconfigured(Misconfiguration::RequestRefused);

#[test]
fn what_a_request_came_to_is_seen_as_what_it_says_of_the_connector() {
    use TokenFailure as F;
    let later = |after: Option<u64>| F::TryLater {
        after: after.map(seconds),
    };
    for (failure, expected) in [
        (F::NotSent, Seen::Failed),
        (F::OutcomeUnknown, Seen::Failed),
        (F::AddressRefused, Seen::Failed),
        (later(None), Seen::Failed),
        (later(Some(0)), Seen::Failed),
        (
            later(Some(120)),
            Seen::Throttled {
                after: seconds(120),
            },
        ),
        (F::GrantRefused, Seen::GrantRefused),
        (F::RequestRefused, Seen::RequestRefused),
        (F::ClientRefused, Seen::ClientRefused),
        (F::Redirected, Seen::Redirected),
        (F::InteractionRequired, Seen::Other),
        (F::UnknownTokenType, Seen::Other),
        (F::Unexpected { status: 404 }, Seen::Other),
    ] {
        assert_eq!(Seen::of(Err(&failure)), expected, "{failure:?}");
    }
}

#[test]
fn each_request_is_counted_once_and_tallies_add_up() {
    let seen = [
        Seen::Tokens,
        Seen::Tokens,
        Seen::Failed,
        Seen::GrantRefused,
        Seen::RequestRefused,
        Seen::ClientRefused,
    ];
    let once = Tally {
        calls: 6,
        successes: 2,
        failures: 1,
        refusals: 1,
        malformed: 1,
    };
    assert_eq!(Tally::of(&seen), once);
    assert_eq!(once + once, Tally::of(&[seen, seen].concat()));
    assert!(!once.is_clean());
    assert!(tally(9, 0).is_clean());
}

#[test]
fn half_of_20_calls_in_a_minute_open_the_breaker_for_30_seconds() {
    let failed = [Seen::Failed];
    for (successes, failures) in [(0, 19), (11, 10)] {
        let health = counted(&[(0, tally(successes, failures))]);
        assert_eq!(verdict(&health, &failed, at(59)), Verdict::Stay);
    }
    for (successes, failures) in [(0, 20), (10, 10)] {
        let health = counted(&[(0, tally(successes, failures))]);
        let expected = Breaker {
            id: id("next"),
            cause: Cause::ProviderFailing,
            since: at(59),
            open_until: at(89),
            openings: 1,
            connector_version: VERSION,
        };
        assert_eq!(tripped(&health, &failed, at(59)), expected);
    }
}

#[test]
fn of_the_minute_before_counts_what_lies_within_60_seconds() {
    let failed = [Seen::Failed];
    // A quarter into the minute, three quarters of the minute before.
    let health = counted(&[(-1, tally(0, 24)), (0, tally(0, 1))]);
    assert_eq!(verdict(&health, &failed, at(15)), Verdict::Stay);
    let health = counted(&[(-1, tally(0, 24)), (0, tally(0, 2))]);
    tripped(&health, &failed, at(15));
    assert_eq!(verdict(&health, &failed, at(59)), Verdict::Stay);
    let health = counted(&[(-2, tally(0, 900)), (0, tally(0, 2))]);
    assert_eq!(verdict(&health, &failed, at(0)), Verdict::Stay);
}

#[test]
fn a_success_opens_no_breaker_whatever_was_counted() {
    let health = counted(&[(0, tally(1, 99))]);
    assert_eq!(verdict(&health, &[Seen::Tokens], at(5)), Verdict::Stay);
}

#[test]
fn failures_before_the_last_closing_or_a_change_of_the_connector_are_over() {
    let failed = [Seen::Failed];
    let mut health = counted(&[(-1, tally(0, 900)), (0, tally(0, 900))]);
    tripped(&health, &failed, at(59));
    let mut changed = observed(&failed, at(59));
    changed.configured_at = at(5);
    assert_eq!(health.verdict(&changed, id("next")), Verdict::Stay);
    health.closed_at = Some(at(5));
    assert_eq!(verdict(&health, &failed, at(59)), Verdict::Stay);

    health.minutes.insert(minute_of(at(60)), tally(0, 20));
    tripped(&health, &failed, at(60));
}

#[test]
fn f11_a_retry_after_pauses_the_whole_client_and_for_ten_minutes_at_most() {
    let asked = |after| {
        let seen = [
            Seen::Tokens,
            Seen::Throttled {
                after: seconds(after),
            },
            Seen::Throttled { after: seconds(1) },
        ];
        tripped(&Health::default(), &seen, at(0))
    };
    let breaker = asked(120);
    assert_eq!(
        (breaker.cause, breaker.open_until),
        (Cause::Throttled, at(120))
    );
    assert_eq!(asked(3600).open_until, at(600));
}

#[test]
fn h77_a_refused_client_or_a_redirect_stops_the_connector_at_once() {
    for (seen, what) in [
        (Seen::ClientRefused, Misconfiguration::ClientRefused),
        (Seen::Redirected, Misconfiguration::Redirected),
    ] {
        let breaker = tripped(&Health::default(), &[seen], at(0));
        assert_eq!(breaker.cause, Cause::Misconfigured(what));
        assert_eq!(breaker.open_until, at(60));
        assert_eq!(breaker.news(), Some(what));
    }
}

#[test]
fn three_malformed_requests_and_no_success_stop_the_connector() {
    let malformed = |malformed, successes| Tally {
        calls: malformed + successes,
        malformed,
        successes,
        ..Tally::default()
    };
    let seen = [Seen::RequestRefused];
    for (minutes, stops) in [
        (vec![(0, malformed(2, 0))], false),
        (vec![(-8, malformed(1, 0)), (0, malformed(2, 0))], true),
        (vec![(-8, malformed(0, 1)), (0, malformed(3, 0))], false),
    ] {
        let health = counted(&minutes);
        let tripped = match verdict(&health, &seen, at(9)) {
            Verdict::Trip(breaker) => breaker.cause == REQUEST,
            Verdict::Stay | Verdict::Close(_) => false,
        };
        assert_eq!(tripped, stops, "{minutes:?}");
    }
}

#[test]
fn a_failed_probe_doubles_the_pause_up_to_ten_minutes_and_tells_nothing_again() {
    for (cause, seen, pauses) in [
        (
            Cause::ProviderFailing,
            Seen::Failed,
            [(1, 60), (2, 120), (5, 600), (40, 600)],
        ),
        (
            CLIENT,
            Seen::ClientRefused,
            [(1, 120), (2, 240), (4, 600), (40, 600)],
        ),
        (
            REQUEST,
            Seen::RequestRefused,
            [(1, 120), (2, 240), (4, 600), (40, 600)],
        ),
    ] {
        for (openings, pause) in pauses {
            let breaker = tripped(&probing(cause, openings), &[seen], at(0));
            assert_eq!(breaker.open_until, at(pause), "{cause:?} {openings}");
            assert_eq!(breaker.openings, openings + 1);
            assert_eq!((breaker.cause, breaker.since), (cause, at(-60)));
            assert_eq!(breaker.news(), None);
        }
    }
}

#[test]
fn a_probe_that_is_answered_closes_the_breaker() {
    for cause in Cause::ALL {
        for seen in [Seen::Tokens, Seen::GrantRefused, Seen::Other] {
            let health = probing(cause, 4);
            let standing = health.breaker.clone().unwrap();
            assert_eq!(
                verdict(&health, &[seen], at(0)),
                Verdict::Close(standing),
                "{cause:?} {seen:?}"
            );
        }
    }
    let health = probing(Cause::Throttled, 1);
    let answered = verdict(&health, &[Seen::RequestRefused], at(0));
    assert!(matches!(answered, Verdict::Close(_)), "{answered:?}");
    assert_eq!(verdict(&health, &[], at(0)), Verdict::Stay);
}

#[test]
fn a_probe_that_shows_another_fault_begins_anew_with_that_one() {
    let breaker = tripped(
        &probing(Cause::ProviderFailing, 4),
        &[Seen::ClientRefused],
        at(0),
    );
    assert_eq!(
        (breaker.cause, breaker.openings, breaker.since),
        (CLIENT, 1, at(0))
    );
    assert!(breaker.news().is_some());
    // But a provider that fails does not make a connector right.
    for seen in [Seen::Failed, Seen::Throttled { after: seconds(1) }] {
        let breaker = tripped(&probing(CLIENT, 1), &[seen], at(0));
        assert_eq!((breaker.cause, breaker.open_until), (CLIENT, at(120)));
    }
    let patient = Seen::Throttled {
        after: seconds(300),
    };
    assert_eq!(
        tripped(&probing(CLIENT, 1), &[patient], at(0)).open_until,
        at(300)
    );
}

#[test]
fn an_open_breaker_pauses_then_lets_one_probe() {
    let health = probing(CLIENT, 1);
    let breaker = health.breaker.clone().unwrap();
    let until = breaker.open_until;
    assert_eq!(
        health.admission(VERSION, until.before(Duration::from_millis(1))),
        Admission::Paused { until }
    );
    assert_eq!(
        health.admission(VERSION, until),
        Admission::Probe(breaker.clone())
    );
    let claimed = Health {
        breaker: Some(breaker.claimed(id("mine"), until)),
        ..health
    };
    let until = until.after(PROBE_PERIOD);
    assert_eq!(
        claimed.admission(VERSION, at(31)),
        Admission::Paused { until }
    );
    assert_eq!(Health::default().admission(VERSION, at(0)), Admission::Open);
}

#[test]
fn a_breaker_of_an_earlier_version_of_the_connector_binds_nobody() {
    let health = probing(CLIENT, 4);
    assert_eq!(health.admission(VERSION + 1, at(0)), Admission::Open);
    // Who has not read the change yet is bound by what is known of it.
    assert_ne!(health.admission(VERSION - 1, at(0)), Admission::Open);

    let look = |connector_version, seen| {
        let mut observed = observed(seen, at(0));
        observed.connector_version = connector_version;
        health.verdict(&observed, id("next"))
    };
    let standing = health.breaker.clone().unwrap();
    let refused = [Seen::ClientRefused];
    assert_eq!(look(VERSION - 1, &refused), Verdict::Stay);
    assert_eq!(look(VERSION + 1, &[Seen::Tokens]), Verdict::Close(standing));
    // One failure says nothing: this is no probe.
    assert_eq!(look(VERSION + 1, &[Seen::Failed]), Verdict::Stay);
    match look(VERSION + 1, &refused) {
        Verdict::Trip(breaker) => {
            assert_eq!((breaker.openings, breaker.since), (1, at(0)));
            assert!(breaker.news().is_some(), "the change did not mend it");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn h78_many_refusals_hold_all_flips_and_a_few_none() {
    let refused = |refusals, successes| {
        let tally = Tally {
            calls: refusals + successes,
            refusals,
            successes,
            ..Tally::default()
        };
        counted(&[(-9, tally)]).holds_flips()
    };
    assert!(!refused(19, 0));
    assert!(refused(20, 0));
    assert!(refused(20, 379));
    assert!(!refused(20, 380), "5 percent are people");
}

#[test]
fn calm_is_where_nothing_but_success_was_counted_and_no_breaker_stands() {
    assert!(Health::default().is_calm());
    assert!(counted(&[(-9, tally(7, 0))]).is_calm());
    assert!(!counted(&[(-9, tally(7, 1))]).is_calm());
    assert!(!probing(CLIENT, 1).is_calm());
    let seen: Vec<_> = repeat_n(Seen::Tokens, 3).chain([Seen::Other]).collect();
    assert!(!counted(&[(0, Tally::of(&seen))]).is_calm());
}

#[test]
fn a_cause_is_read_back_by_its_name() {
    for cause in Cause::ALL {
        assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        if let Cause::Misconfigured(what) = cause {
            let named = serde_json::to_value(what).unwrap();
            assert_eq!(named, cause.as_str(), "events name it alike");
        }
    }
    assert_eq!(Cause::parse("tired"), None);
}

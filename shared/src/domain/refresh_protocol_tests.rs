use super::*;
use crate::domain::connection::ConnectionKey;
use crate::domain::ids::{AppId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use crate::domain::scopes::ScopeList;
use crate::domain::subject::Subject;
use crate::domain::token::Validity;

const MINUTE: i64 = 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A connection whose one attempt holds the lease.
fn leased() -> Connection {
    Connection {
        key: ConnectionKey {
            workspace: WorkspaceId::parse("w").unwrap(),
            app: AppId::parse("a").unwrap(),
            subject: Subject::User(UserId::parse("u").unwrap()),
            connector: ConnectorId::parse("c").unwrap(),
            alias: None,
        },
        id: ConnectionId::parse("k").unwrap(),
        status: ConnectionStatus::Active,
        generation: 3,
        connector_generation: 1,
        sealed: Some(vec![1]),
        validity: Validity {
            issued_at: at(0),
            expires_at: Some(at(3600)),
            grant_expires_at: None,
        },
        refreshable: true,
        requested_scopes: ScopeList::default(),
        granted_scopes: ScopeList::default(),
        account: None,
        due_at: Some(at(3000)),
        open_attempts: 1,
        open_since: Some(at(0)),
        outcome_lost: false,
        failures: 0,
        next_attempt_at: None,
        created_at: at(0),
        connected_at: at(0),
        refreshed_at: None,
        last_read_at: None,
    }
}

fn suspect(since: i64) -> Connection {
    Connection {
        status: ConnectionStatus::Suspect { since: at(since) },
        ..leased()
    }
}

fn judged(connection: &Connection, failure: &TokenFailure, now: i64) -> Verdict {
    after_failure(connection, failure, at(now), 0.5, false)
}

#[test]
fn a_lease_is_taken_over_no_sooner_than_the_skew_after_its_end() {
    let connection = leased();
    assert!(may_lease(&connection, None, at(0)));
    let held = Some(at(17));
    assert!(!may_lease(&connection, held, at(19)));
    assert!(may_lease(&connection, held, lease_end(at(0))));
    assert!(is_lease_over(None, at(0)) && is_lease_over(held, lease_end(at(0))));
    assert!(!is_lease_over(held, at(19)));
}

#[test]
fn f37_who_thaws_when_his_lease_may_be_anothers_asks_nobody() {
    let until = at(0).after(LEASE);
    assert!(may_ask(until, at(3)));
    assert!(!may_ask(until, at(4)) && !may_ask(until, at(300)));
}

#[test]
fn nobody_leases_what_is_dead_or_paused() {
    let dead = Connection {
        status: ConnectionStatus::ReconnectRequired {
            reason: ReconnectReason::GrantRevoked,
            since: at(0),
        },
        ..leased()
    };
    assert!(!may_lease(&dead, None, at(9)));
    let paused = Connection {
        next_attempt_at: Some(at(10)),
        ..leased()
    };
    assert!(!may_lease(&paused, None, at(9)) && may_lease(&paused, None, at(10)));
}

#[test]
fn h62_tokens_replace_the_generation_they_were_refreshed_from_and_no_other() {
    let connection = leased();
    assert!(may_store(&connection, 3));
    assert!(!may_store(&connection, 2) && !may_store(&connection, 4));
}

#[test]
fn h64_a_grant_dies_of_two_refusals_that_are_a_minute_apart() {
    let refused = TokenFailure::GrantRefused;
    let first = Verdict::Record(FailedAttempt::Suspect {
        since: at(0),
        next_attempt_at: at(60),
    });
    assert_eq!(judged(&leased(), &refused, 0), first);
    assert_eq!(judged(&suspect(0), &refused, 59), first, "too early to say");
    let dead = Verdict::Dead(ReconnectReason::GrantRevoked);
    assert_eq!(judged(&suspect(0), &refused, 60), dead);
}

#[test]
fn f4_a_refusal_after_a_lost_answer_needs_a_second_one_too_and_is_named_as_the_loss_it_is() {
    let refused = TokenFailure::GrantRefused;
    let lost = Connection {
        outcome_lost: true,
        ..leased()
    };
    let Verdict::Record(record @ FailedAttempt::Suspect { .. }) = judged(&lost, &refused, 0) else {
        panic!("dead at once");
    };
    let suspected = record.apply(&lost);
    let dead = Verdict::Dead(ReconnectReason::RefreshOutcomeLost);
    assert_eq!(judged(&suspected, &refused, 60), dead);
}

#[test]
fn h78_refusals_in_masses_are_held_for_a_day_and_believed_then() {
    let judge =
        |now: i64| after_failure(&suspect(0), &TokenFailure::GrantRefused, at(now), 0.5, true);
    let held = |now: i64| {
        Verdict::Record(FailedAttempt::Suspect {
            since: at(0),
            next_attempt_at: at(now + 600),
        })
    };
    assert_eq!(judge(60), held(60));
    assert_eq!(judge(23 * 3600), held(23 * 3600));
    let dead = Verdict::Dead(ReconnectReason::GrantRevoked);
    assert_eq!(judge(24 * 3600), dead);
}

#[test]
fn f10_an_unknown_outcome_is_retried_once_when_it_has_settled_and_then_with_backoff() {
    let unknown = |next_attempt_at| Verdict::Record(FailedAttempt::Unknown { next_attempt_at });
    let first = judged(&leased(), &TokenFailure::OutcomeUnknown, 0);
    assert_eq!(first, unknown(lease_end(at(0))));
    let failed = Connection {
        failures: 2,
        ..leased()
    };
    let third = judged(&failed, &TokenFailure::OutcomeUnknown, 0);
    assert_eq!(third, unknown(at(450)));
}

#[test]
fn a_refusal_without_a_known_reason_makes_suspect_at_the_third_time_and_never_dead() {
    let odd = TokenFailure::Unexpected { status: 418 };
    let mut connection = leased();
    let mut now = 0;
    for failure in 1..=9 {
        let Verdict::Record(record) = judged(&connection, &odd, now) else {
            panic!("dead of an unexplained refusal");
        };
        connection = record.apply(&connection);
        let suspected = matches!(connection.status, ConnectionStatus::Suspect { .. });
        assert_eq!(suspected, failure >= 3, "failure {failure}");
        now = record.next_attempt_at().seconds();
    }
}

/// A connection whose attempt began at 0 and never reported; another holds the lease now.
fn crashed() -> Connection {
    Connection {
        open_attempts: 2,
        ..leased()
    }
}

fn grace(seconds: u64) -> Rotation {
    Rotation::Grace(Duration::from_secs(seconds))
}

#[test]
fn h69_an_attempt_that_never_reported_is_given_time_once_the_old_token_may_be_dead() {
    let settle = FailedAttempt::Settle {
        next_attempt_at: at(52),
    };
    // The answer comes within 8 s.
    for rotation in [Rotation::Strict, grace(10), grace(38)] {
        let before = before_asking(&crashed(), rotation, at(30));
        assert_eq!(before.as_ref(), Some(&settle), "{rotation:?}");
        assert_eq!(before_asking(&leased(), rotation, at(30)), None);
        // It has had its time: what is stored now is tried.
        let settled = settle.apply(&crashed());
        assert!(settled.has_lost_outcome());
        assert_eq!((settled.open_attempts, settled.open_since), (0, None));
        let next = Connection {
            open_attempts: 1,
            open_since: Some(at(52)),
            ..settled
        };
        assert_eq!(before_asking(&next, rotation, at(52)), None);
    }
    for rotation in [Rotation::None, Rotation::Sliding, grace(39), grace(600)] {
        assert_eq!(before_asking(&crashed(), rotation, at(30)), None);
    }
}

/// An older version wrote no instant, and whoever came after it wrote his own.
#[test]
fn f47_an_attempt_of_which_nobody_knows_when_it_began_is_given_time() {
    for open_since in [None, Some(at(30))] {
        let connection = Connection {
            open_since,
            ..crashed()
        };
        assert!(before_asking(&connection, grace(600), at(31)).is_some());
        assert_eq!(before_asking(&connection, Rotation::None, at(31)), None);
    }
}

#[test]
fn a_loss_is_remembered_until_tokens_are_stored() {
    let pause = FailedAttempt::Pause {
        next_attempt_at: at(9),
    };
    let after = pause.apply(&pause.apply(&crashed()));
    assert_eq!((after.open_attempts, after.failures), (0, 2));
    assert!(after.outcome_lost);
    assert!(!pause.apply(&leased()).outcome_lost);
}

#[test]
fn h75_any_seven_attempts_in_a_row_span_an_hour_or_more() {
    for jitter in [0.0, 0.5, 1.0] {
        let mut tried = vec![0.0];
        for failures in 1..40 {
            let last: f64 = tried.last().copied().unwrap_or_default();
            tried.push(last + backoff(failures, jitter).as_secs_f64());
        }
        for seven in tried.windows(7) {
            assert!(seven[6] - seven[0] >= 3600.0, "{jitter}: {seven:?}");
        }
    }
}

#[test]
fn backoff_begins_with_seconds_and_ends_with_half_an_hour() {
    assert_eq!(backoff(1, 1.0), Duration::from_secs(5));
    assert_eq!(backoff(2, 0.5), Duration::from_secs(30));
    assert_eq!(backoff(99, 1.0), Duration::from_secs(30 * MINUTE as u64));
    assert_eq!(backoff(1, 0.0), Duration::ZERO);
}

#[test]
fn h75_what_the_provider_asks_for_is_waited_for_and_at_most_an_hour() {
    let later = |seconds| TokenFailure::TryLater {
        after: Some(Duration::from_secs(seconds)),
    };
    let until = |seconds| {
        Verdict::Record(FailedAttempt::Pause {
            next_attempt_at: at(seconds),
        })
    };
    assert_eq!(judged(&leased(), &later(120), 0), until(120));
    assert_eq!(judged(&leased(), &later(999_999), 0), until(3600));
}

#[test]
fn h90_what_was_stored_before_a_restore_is_proven_by_a_refresh_or_a_consent() {
    let stored = |connected: i64, refreshed: Option<i64>| Connection {
        connected_at: at(connected),
        refreshed_at: refreshed.map(at),
        ..leased()
    };
    let restored = Some(at(100));
    for (connection, proven) in [
        (stored(10, None), false),
        (stored(10, Some(99)), false),
        (stored(10, Some(100)), true),
        (stored(100, None), true),
        // Connected again after a refresh.
        (stored(101, Some(20)), true),
    ] {
        assert_eq!(is_proven(&connection, restored), proven, "{connection:?}");
        assert!(is_proven(&connection, None));
    }
}

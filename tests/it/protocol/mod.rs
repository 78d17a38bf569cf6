//! The refresh protocol, checked in every order in which it can happen.
//!
//! A model of one connection: a few workers of one attempt each, the table, the queue, the network
//! and a provider. Whether a lease may be taken, what a failure means and whether tokens may be
//! stored is decided by the functions of `shared::domain::refresh_protocol`, as in the engine; time,
//! network, provider and crashes are the model's. `search` visits all of its states.
//!
//! The first tests are of the protocol as it is. In each of the others one rule is broken, the way
//! OAuth clients are known to break it, and the search has to find out.
//!
//! Bounds: three or four attempts, each fault at most once, time in steps of four seconds. What may
//! be tried again is tried before the provider's grace is over; whether a tick comes in time is the
//! simulator's question.

mod model;
mod provider;
mod row;
mod rules;
mod search;
mod turn;
mod worker;

use std::collections::BTreeSet;
use std::time::Duration;

use shared::domain::provider::Rotation;

use rules::{ENGINE, Faults, Game, Rules};
use search::explore;
use turn::{What, Wrong};

/// The grace of a provider that has one. Half of it is enough for one lost answer: 8 s until it
/// is given up, 19 s until the lease is over, and the next request.
const GRACE: Rotation = Rotation::Grace(Duration::from_secs(60));
/// A lease that is over before the request is.
const SHORT: Option<Duration> = Some(Duration::from_secs(1));

const NONE: Faults = Faults {
    disconnect: false,
    crash: false,
    answer: false,
    table: false,
    refusal: false,
};
const DISCONNECT: Faults = Faults {
    disconnect: true,
    ..NONE
};
const CRASH: Faults = Faults {
    crash: true,
    ..NONE
};
const ANSWER: Faults = Faults {
    answer: true,
    ..NONE
};
const TABLE: Faults = Faults {
    table: true,
    ..NONE
};
const REFUSAL: Faults = Faults {
    refusal: true,
    ..NONE
};
/// Each of three once.
const THREE: Faults = Faults {
    disconnect: true,
    crash: true,
    answer: true,
    ..NONE
};
/// Each once.
const ALL: Faults = Faults {
    table: true,
    refusal: true,
    ..THREE
};

/// Plays one game to all its ends. What went wrong in any, and what happened.
fn play(rules: Rules, rotation: Rotation, faults: Faults) -> (Vec<Wrong>, BTreeSet<What>) {
    let workers = if faults == ALL { 3 } else { 4 };
    let game = Game {
        rules,
        rotation,
        faults,
        workers,
    };
    let seen = explore(&game);
    println!(
        "{} states: {rotation:?}, {workers} workers, {faults:?}",
        seen.states
    );
    for (wrong, story) in &seen.wrong {
        println!(
            "  {wrong:?} after {} steps: {}",
            story.len(),
            story.join(", ")
        );
    }
    (seen.wrong.into_keys().collect(), seen.happened)
}

fn goes_wrong(rules: Rules, rotation: Rotation, faults: Faults, how: Wrong) {
    let (wrong, _) = play(rules, rotation, faults);
    assert!(wrong.contains(&how), "{wrong:?}");
}

/// At a strict provider what nobody heard of is lost, and nothing else ever is.
#[test]
fn h60_to_h69_at_a_strict_provider_only_what_nobody_heard_of_is_lost() {
    let mut happened = BTreeSet::new();
    for faults in [NONE, DISCONNECT, CRASH, ANSWER, TABLE, REFUSAL, THREE, ALL] {
        let (wrong, seen) = play(ENGINE, Rotation::Strict, faults);
        let inherent = faults.crash || faults.answer;
        let expected: &[Wrong] = if inherent { &[Wrong::LostUnheard] } else { &[] };
        assert_eq!(wrong, expected, "{faults:?}");
        happened.extend(seen);
    }
    let elsewhere = [
        What::Reads,
        What::IsRefusedTheLease,
        What::GoesAheadWithoutTheLease,
    ];
    for what in What::ALL {
        assert_ne!(
            happened.contains(&what),
            elsewhere.contains(&what),
            "{what:?}"
        );
    }
}

/// Where a spent token is taken again for a minute, one crash, one lost answer or one table that is
/// away, for however long, loses nothing. Two of them can take longer than the minute.
#[test]
fn h61_at_a_provider_with_a_minute_of_grace_no_single_fault_loses_anything() {
    for faults in [NONE, DISCONNECT, CRASH, ANSWER, TABLE, REFUSAL] {
        let (wrong, _) = play(ENGINE, GRACE, faults);
        assert_eq!(wrong, [], "{faults:?}");
    }
    let (wrong, _) = play(ENGINE, GRACE, THREE);
    assert_eq!(wrong, [Wrong::LostUnheard]);
}

#[test]
fn h61_where_refresh_tokens_stay_nothing_is_ever_lost() {
    for faults in [NONE, DISCONNECT, CRASH, ANSWER, TABLE, REFUSAL, THREE, ALL] {
        let (wrong, _) = play(ENGINE, Rotation::None, faults);
        assert_eq!(wrong, [], "{faults:?}");
    }
}

/// Two workers read the same token, and both spend it.
#[test]
fn no_lease_and_a_blind_write_lose_and_resurrect() {
    let rules = Rules {
        lease: None,
        owned: false,
        fenced: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::Lost);
    goes_wrong(rules, GRACE, NONE, Wrong::Lost);
    goes_wrong(rules, GRACE, NONE, Wrong::Regressed);
    goes_wrong(rules, Rotation::None, DISCONNECT, Wrong::Resurrected);
}

#[test]
fn b2_b3_a_short_lease_that_anybody_ends_and_a_blind_write_lose() {
    let rules = Rules {
        lease: SHORT,
        waits_for_escrow: false,
        owned: false,
        fenced: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::Lost);
    goes_wrong(rules, GRACE, NONE, Wrong::Regressed);
    goes_wrong(rules, Rotation::None, DISCONNECT, Wrong::Resurrected);
}

#[test]
fn b4_going_ahead_when_the_lease_is_refused_loses() {
    let rules = Rules {
        patient: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::TwoRequests);
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::Lost);
}

/// Generations do not help: the provider sees the old token before the table does.
#[test]
fn b5_a_token_read_before_the_lease_is_lost() {
    let rules = Rules {
        read_under_lease: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::Lost);
}

#[test]
fn a_long_lease_without_settling_and_with_a_blind_write_loses_and_resurrects() {
    let rules = Rules {
        settles: false,
        fenced: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::None, DISCONNECT, Wrong::Resurrected);
    goes_wrong(rules, Rotation::Strict, ANSWER, Wrong::Lost);
    goes_wrong(rules, GRACE, ANSWER, Wrong::LostUnheard);
}

#[test]
fn b2_a_short_lease_loses_for_all_its_fenced_writes() {
    let rules = Rules {
        lease: SHORT,
        waits_for_escrow: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::TwoRequests);
    goes_wrong(rules, Rotation::Strict, NONE, Wrong::Lost);
}

/// A request that arrives after the next one spends a token that was replaced.
#[test]
fn f9_a_lease_and_fenced_writes_without_settling_lose_to_a_late_request() {
    let rules = Rules {
        settles: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, ANSWER, Wrong::Lost);
    goes_wrong(rules, GRACE, ANSWER, Wrong::LostUnheard);
}

#[test]
fn b6_b9_believing_the_first_refusal_ends_a_good_grant() {
    let rules = Rules {
        doubts: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, REFUSAL, Wrong::FalselyDead);
    goes_wrong(rules, Rotation::None, REFUSAL, Wrong::FalselyDead);
}

/// At a strict provider, and where the table was away for longer than the grace.
#[test]
fn h69_asking_again_without_waiting_for_escrow_kills_what_is_in_it() {
    let rules = Rules {
        waits_for_escrow: false,
        ..ENGINE
    };
    goes_wrong(rules, Rotation::Strict, TABLE, Wrong::EscrowOvertaken);
    goes_wrong(rules, Rotation::Strict, TABLE, Wrong::Lost);
    goes_wrong(rules, GRACE, TABLE, Wrong::Lost);
}

/// Whoever holds the lease may have asked the provider, which takes the old token again for a
/// while: with the lease ended by the escrow there are two requests at a time, and the older tokens
/// are the ones that are kept.
#[test]
fn h69_escrow_that_does_not_yield_to_the_lease_of_another_attempt_loses() {
    let rules = Rules {
        escrow_yields: false,
        ..ENGINE
    };
    goes_wrong(rules, GRACE, TABLE, Wrong::TwoRequests);
    goes_wrong(rules, GRACE, TABLE, Wrong::Lost);
    goes_wrong(rules, Rotation::None, TABLE, Wrong::TwoRequests);
}

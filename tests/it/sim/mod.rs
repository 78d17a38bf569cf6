//! A deterministic simulator of the refresh protocol: the engine as it is built, over simulated
//! time, network, store and provider, all in one thread and all decided by a seed.
//!
//! `scenario` tells a story, `faults` spoils it, and `world` knows what is true in it and checks
//! the invariants:
//!
//! - I1: one token request at a time for a grant, those of dead senders included
//! - I2: without a fault no connection becomes unusable
//! - I3: nor with one crash or one lost answer, at a provider that grants time to retry
//! - I4: stored tokens are never replaced by older ones
//! - I5: nothing is handed out or comes back after a disconnect was answered
//! - I6: what is declared dead is dead
//! - I7: what has to be kept alive stays where the sweep finds it
//!
//! A seed that breaks one prints the command that tells its story again. `make sim SEEDS=100000`
//! tells more stories than the test run does.

mod executor;
mod faults;
mod found;
mod provider;
mod scenario;
mod store;
mod user;
mod world;

use faults::Plan;
use provider::Rotation;
use scenario::{Mode, tell};
use store::Sabotage;
use world::Counts;

/// Every kind of story by its name.
const MODES: [(&str, Mode); 13] = [
    ("calm-strict", calm(Rotation::Strict)),
    ("calm-grace", calm(Rotation::Grace(60))),
    ("calm-sliding", calm(Rotation::Sliding)),
    ("calm-fixed", calm(Rotation::Fixed)),
    ("one-fault-asked", one_fault(Rotation::Grace(60), false)),
    ("one-fault-swept", one_fault(Rotation::Grace(180), true)),
    ("one-fault-strict", one_fault_at_strict()),
    ("one-fault-sliding", one_fault(Rotation::Sliding, true)),
    ("one-fault-fixed", one_fault(Rotation::Fixed, true)),
    ("everything-strict", everything(Rotation::Strict)),
    ("everything-grace", everything(Rotation::Grace(60))),
    ("everything-sliding", everything(Rotation::Sliding)),
    ("everything-fixed", everything(Rotation::Fixed)),
];

const fn calm(rotation: Rotation) -> Mode {
    Mode {
        rotation,
        faults: Plan::Nothing,
        sweeps: true,
        loses_nothing: true,
    }
}

const fn one_fault(rotation: Rotation, sweeps: bool) -> Mode {
    Mode {
        rotation,
        faults: Plan::One { among: 60 },
        sweeps,
        loses_nothing: true,
    }
}

/// A strict provider's answer that is lost is lost for good (F4, F8).
const fn one_fault_at_strict() -> Mode {
    Mode {
        loses_nothing: false,
        ..one_fault(Rotation::Strict, true)
    }
}

const fn everything(rotation: Rotation) -> Mode {
    Mode {
        rotation,
        faults: Plan::Everything,
        sweeps: true,
        loses_nothing: false,
    }
}

fn mode(name: &str) -> Mode {
    let found = MODES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no mode {name}")).1
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many stories are told is the caller's to say, as `make sim` does"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells the stories of a mode. The sum of what happened in them.
fn tell_all(name: &str, seeds: u64) -> Counts {
    let seeds = setting("SIM_SEEDS").map_or(seeds, |text| text.parse().expect("a number"));
    let mut sum = Counts::default();
    for seed in 0..seeds {
        let replay = format!(
            "SIM_MODE={name} SIM_SEED={seed} cargo test -p grantry-tests --test it \
             sim::replay -- --nocapture"
        );
        let told = std::panic::catch_unwind(|| tell(seed, mode(name), None, false));
        match told {
            Ok(Ok((counts, _))) => {
                sum.requests += counts.requests;
                sum.hand_outs += counts.hand_outs;
                sum.lost += counts.lost;
                sum.faults += counts.faults;
            }
            Ok(Err(violation)) => panic!("{violation}\n{replay}"),
            Err(_) => panic!("the story of this seed panicked\n{replay}"),
        }
    }
    println!("{name}: {seeds} stories, {sum:?}");
    sum
}

/// The first seed at which a broken rule is noticed, and as what.
fn noticed(mode: Mode, sabotage: impl Into<Option<Sabotage>>) -> String {
    let sabotage = sabotage.into();
    let told = (0..500).find_map(|seed| {
        let violation = tell(seed, mode, sabotage, false).err()?;
        Some(format!("seed {seed}: {violation}"))
    });
    let told = told.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed"));
    println!("{sabotage:?}: {told}");
    told
}

#[test]
fn i2_without_a_fault_nothing_is_lost_at_any_provider() {
    for name in ["calm-strict", "calm-grace", "calm-sliding", "calm-fixed"] {
        let counts = tell_all(name, 15);
        assert_eq!((counts.faults, counts.lost), (0, 0));
        assert!(counts.requests > 15 && counts.hand_outs > counts.requests);
    }
}

#[test]
fn i3_one_fault_loses_nothing_that_somebody_asks_for_within_a_minute_of_grace() {
    let counts = tell_all("one-fault-asked", 60);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 20, "{counts:?}");
}

#[test]
fn i3_one_fault_loses_nothing_that_is_swept_within_three_minutes_of_grace() {
    let counts = tell_all("one-fault-swept", 60);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 20, "{counts:?}");
}

#[test]
fn i3_one_fault_loses_nothing_where_the_old_refresh_token_stays_good() {
    for name in ["one-fault-sliding", "one-fault-fixed"] {
        let counts = tell_all(name, 30);
        assert_eq!(counts.lost, 0);
        assert!(counts.faults > 15, "{counts:?}");
    }
}

#[test]
fn f4_f8_one_fault_at_a_strict_provider_loses_only_what_it_rotated_unheard() {
    let counts = tell_all("one-fault-strict", 60);
    assert!(counts.faults > 30 && counts.lost > 0, "{counts:?}");
}

#[test]
fn i6_whatever_goes_wrong_only_what_is_dead_is_declared_dead() {
    for name in [
        "everything-strict",
        "everything-grace",
        "everything-sliding",
        "everything-fixed",
    ] {
        let counts = tell_all(name, 30);
        assert!(counts.faults > 300, "{counts:?}");
    }
}

#[test]
fn i1_a_lease_that_everybody_gets_is_noticed() {
    let told = noticed(mode("calm-strict"), Sabotage::LeaseForEverybody);
    assert!(told.contains("I1"), "{told}");
}

#[test]
fn b4_going_ahead_without_the_lease_after_a_wait_is_noticed() {
    let told = noticed(mode("calm-strict"), Sabotage::LeaseAfterAWait);
    assert!(told.contains("I1"), "{told}");
}

#[test]
fn b2_a_lease_shorter_than_the_request_is_noticed() {
    noticed(mode("calm-grace"), Sabotage::LeaseOfASecond);
}

#[test]
fn b5_a_token_read_before_the_lease_is_noticed() {
    noticed(mode("calm-strict"), Sabotage::SnapshotBeforeLease);
}

#[test]
fn i4_a_write_that_ignores_the_generation_is_noticed() {
    let told = noticed(mode("calm-strict"), Sabotage::GenerationIgnored);
    assert!(told.contains("I4"), "{told}");
}

#[test]
fn b9_a_first_refusal_taken_for_final_is_noticed() {
    let told = noticed(mode("everything-fixed"), Sabotage::FirstRefusalIsFinal);
    assert!(told.contains("I6"), "{told}");
}

/// Why the promise names three minutes: a look-up that still has a valid token does not retry
/// what a sweep began, and the next sweep comes a minute later.
#[test]
fn i3_a_minute_of_grace_is_too_short_for_a_sweep_every_minute() {
    let told = noticed(one_fault(Rotation::Grace(60), true), None);
    assert!(told.contains("RefreshOutcomeLost"), "{told}");
}

/// Tells the story that `SIM_MODE` and `SIM_SEED` name, aloud.
#[test]
fn replay_tells_a_seed_the_same_way_every_time() {
    let seed = setting("SIM_SEED").map(|text| text.parse().expect("a number"));
    let name = setting("SIM_MODE").unwrap_or_else(|| "everything-strict".into());
    if let Some(seed) = seed
        && let Err(violation) = tell(seed, mode(&name), None, true)
    {
        panic!("{name}, seed {seed}: {violation}");
    }
    let digest = || tell(1, mode(&name), None, false).map(|(_, digest)| digest);
    assert_eq!(digest(), digest());
}

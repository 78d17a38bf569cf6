//! A deterministic simulator of the refresh protocol: the engine as it is built, over simulated
//! time, network, store, queues, key service and provider, all in one thread and all decided by a
//! seed.
//!
//! `scenario` and `year` tell stories of the kinds that `modes` lists, `faults` spoils them, and
//! `judge` checks the invariants against what `world` knows is true:
//!
//! - I1: one token request at a time for a grant, those of dead senders included
//! - I2: without a fault no connection becomes unusable
//! - I3: nor with one fault, where the provider takes the old token again for a while
//! - I4: stored tokens are never replaced by older ones
//! - I5: nothing is handed out or comes back after a disconnect was answered
//! - I6: what is declared dead is dead
//! - I7: what has to be kept alive stays where a tick finds it, and dies of disuse nowhere
//!
//! and that no expired token is handed out (H-70) and no orphan stays alive (F30). A seed that
//! breaks one prints the command that tells its story again. docs/SIMULATION.md has the rest;
//! `make sim SEEDS=100000` tells more stories than the test run does.

mod clock;
mod controls;
mod executor;
mod faults;
mod judge;
mod modes;
mod process;
mod provider;
mod queue;
mod sabotage;
mod scenario;
mod store;
mod user;
mod world;
mod year;

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use modes::mode;
use scenario::tell;
use world::Counts;

#[expect(
    clippy::disallowed_methods,
    reason = "how many stories are told is the caller's to say, as `make sim` does"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells the stories of a mode, on all cores: `SIM_SEEDS` of them, or so many. A year is as long as
/// a hundred others. The sum of what happened in them.
fn tell_all(name: &str, seeds: u64) -> Counts {
    let share = if mode(name).year { 100 } else { 1 };
    let wanted = setting("SIM_SEEDS").map(|text| text.parse::<u64>().expect("a number"));
    let seeds = wanted.map_or(seeds, |wanted| wanted.div_ceil(share));
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Counts::default());
    let failed = Mutex::new(None);
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match std::panic::catch_unwind(|| tell(seed, mode(name), None, false)) {
                Ok(Ok((counts, _))) => sum.lock().expect("nobody panics").add(&counts),
                Ok(Err(violation)) => fail(&failed, seed, violation, &over),
                Err(_) => fail(&failed, seed, "the story panicked".into(), &over),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    if let Some((seed, violation)) = failed.into_inner().expect("nobody panics") {
        panic!(
            "{name}, seed {seed}: {violation}\nSIM_MODE={name} SIM_SEED={seed} cargo test \
             --locked -p grantry-tests --test sim replay -- --nocapture"
        );
    }
    let sum = sum.into_inner().expect("nobody panics");
    println!("{name}: {seeds} stories, {sum}");
    sum
}

fn fail(failed: &Mutex<Option<(u64, String)>>, seed: u64, violation: String, over: &AtomicBool) {
    over.store(true, Ordering::Relaxed);
    let mut failed = failed.lock().expect("nobody panics");
    if failed.as_ref().is_none_or(|(first, _)| seed < *first) {
        *failed = Some((seed, violation));
    }
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
fn i3_a_lost_answer_is_made_good_within_45_seconds_of_grace() {
    let counts = tell_all("one-answer", 60);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 20, "{counts}");
}

#[test]
fn i3_one_fault_loses_nothing_that_somebody_asks_for_within_a_minute_of_grace() {
    let counts = tell_all("one-fault-asked", 60);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 20, "{counts}");
}

#[test]
fn i3_one_fault_loses_nothing_that_a_tick_finds_within_100_seconds_of_grace() {
    let counts = tell_all("one-fault-swept", 60);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 20, "{counts}");
}

#[test]
fn i3_one_fault_loses_nothing_where_the_old_refresh_token_stays_good() {
    for name in [
        "one-fault-sliding",
        "one-fault-fixed",
        "outage-fixed",
        "freeze-fixed",
    ] {
        let counts = tell_all(name, 30);
        assert_eq!(counts.lost, 0);
        assert!(counts.faults > 15, "{counts}");
    }
}

#[test]
fn f4_f8_one_fault_at_a_strict_provider_loses_only_what_it_rotated_unheard() {
    let counts = tell_all("one-fault-strict", 60);
    assert!(counts.faults > 30 && counts.lost > 0, "{counts}");
}

#[test]
fn h69_a_table_that_is_away_for_a_minute_loses_nothing_where_there_is_no_grace_or_a_minute() {
    for name in ["outage-strict", "outage-grace"] {
        let counts = tell_all(name, 60);
        assert_eq!(counts.lost, 0);
        assert!(counts.faults > 20, "{counts}");
    }
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
        assert!(counts.faults > 300, "{counts}");
    }
}

#[test]
fn i7_in_400_days_nothing_dies_of_disuse() {
    let counts = tell_all("year", 2);
    assert_eq!(counts.lost, 0);
    assert!(counts.faults > 0, "{counts}");
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

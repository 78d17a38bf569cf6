//! Rules broken on purpose: the simulator has to notice each, and as what it is.

use super::faults::Menu;
use super::modes::{Mode, mode, one};
use super::provider::Rotation;
use super::sabotage::Sabotage;
use super::scenario::tell;

/// Within how many seeds.
const SEEDS: u64 = 10_000;

/// The first seed at which a broken rule is noticed, and as what.
fn noticed(mode: Mode, sabotage: impl Into<Option<Sabotage>>) -> String {
    let sabotage = sabotage.into();
    let told = (0..SEEDS).find_map(|seed| {
        let violation = tell(seed, mode, sabotage, false).err()?;
        Some(format!("seed {seed}: {violation}"))
    });
    let told = told.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed"));
    println!("{sabotage:?}: {told}");
    told
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

/// Where tokens rotate it goes unnoticed: who comes second finds the first attempt still open, begun
/// less than a lease ago, and waits.
#[test]
fn b2_a_lease_shorter_than_the_request_is_noticed() {
    let told = noticed(mode("calm-fixed"), Sabotage::LeaseOfASecond);
    assert!(told.contains("I1"), "{told}");
}

#[test]
fn b3_a_lease_that_anybody_ends_is_noticed() {
    let told = noticed(mode("calm-strict"), Sabotage::LeaseEndedByAnybody);
    assert!(told.contains("I1"), "{told}");
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
fn i5_a_write_that_ignores_a_disconnect_is_noticed() {
    let told = noticed(mode("calm-strict"), Sabotage::StatusIgnored);
    assert!(told.contains("I5"), "{told}");
}

#[test]
fn b9_a_first_refusal_taken_for_final_is_noticed() {
    let told = noticed(mode("everything-fixed"), Sabotage::FirstRefusalIsFinal);
    assert!(told.contains("I6"), "{told}");
}

#[test]
fn i7_a_due_entry_removed_before_the_next_is_added_is_noticed() {
    let told = noticed(mode("everything-fixed"), Sabotage::DueEntryRemovedFirst);
    assert!(told.contains("I7"), "{told}");
}

/// Why the promise names 100 seconds: a lease that outlives one tick waits for the next.
#[test]
fn i3_a_minute_of_grace_is_too_short_for_a_crash_that_a_tick_has_to_find() {
    let told = noticed(one(Menu::Anything, Rotation::Grace(60)), None);
    assert!(told.contains("I2/I3"), "{told}");
}

/// Why the promise for a lost answer names 45 seconds: until the queue's retry has come, which is
/// delayed by 22 s, some more can pass.
#[test]
fn i3_half_a_minute_of_grace_is_too_short_for_a_lost_answer() {
    let told = noticed(one(Menu::Answer, Rotation::Grace(32)), None);
    assert!(told.contains("I2/I3"), "{told}");
}

#[test]
fn h69_escrow_that_does_not_yield_is_noticed() {
    noticed(mode("outage-grace"), Sabotage::EscrowYieldsToNobody);
}

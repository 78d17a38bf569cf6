//! Random moves against both stores: the same answer to each, and the same contents after them.
//!
//! Moves are drawn from few users, sessions and attempts, with what was read or leased at any
//! time before, so that most of them meet something in their way.

mod moves;
mod player;

use std::collections::BTreeSet;

use shared::domain::connection::ConnectionStatus;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::memory_store::MemoryStore;

use self::moves::{contents, play};
use self::player::Player;

const SEEDS: u64 = 4;
const STEPS: usize = 201;
/// Answers are compared after every move, all contents after every few: a look is 15 requests.
const LOOK: usize = 5;
const USERS: [&str; 3] = ["u1", "u2", "u#3"];
const SHARDS: u32 = 1;

#[tokio::test]
async fn dynamodb_and_the_reference_agree_on_every_move() {
    for seed in 0..SEEDS {
        let engine = LocalDynamo::start(&ManualClock::new(), SHARDS).await;
        let reference = MemoryStore::new(SHARDS);
        let mut player = Player::new(seed);
        let mut won = 0;
        for step in 0..STEPS {
            let next = player.draw(&reference).await;
            let expected = play(&reference, &next, &mut player.leases).await;
            let answer = play(&engine.store, &next, &mut Vec::new()).await;
            assert_eq!(answer, expected, "seed {seed}, step {step}: {next:?}");
            if step % LOOK == 0 {
                let (real, model) = (contents(&engine.store).await, contents(&reference).await);
                assert_eq!(real, model, "seed {seed}, up to step {step}: {next:?}");
            }
            won += usize::from(expected.contains("Connected") || expected.contains("Written"));
        }
        // Moves that are all refused would compare nothing.
        assert!(
            won > STEPS / 20,
            "seed {seed}: only {won} moves went through"
        );
    }
}

/// Every status is reached by some seed, or the comparison would miss it.
#[tokio::test]
async fn the_random_moves_reach_every_status() {
    let mut reached = BTreeSet::new();
    for seed in 0..SEEDS {
        let reference = MemoryStore::new(SHARDS);
        let mut player = Player::new(seed);
        for _ in 0..STEPS {
            let next = player.draw(&reference).await;
            play(&reference, &next, &mut player.leases).await;
        }
        reached.extend(player.reads.iter().map(|read| match read.status {
            ConnectionStatus::Active => "active",
            ConnectionStatus::Suspect { .. } => "suspect",
            ConnectionStatus::ReconnectRequired { .. } => "reconnect required",
            ConnectionStatus::Revoking { .. } => "revoking",
            ConnectionStatus::Disconnected { .. } => "disconnected",
        }));
    }
    assert_eq!(reached.len(), 5, "{reached:?}");
}

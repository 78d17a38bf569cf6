//! Stories of the scheduled refresh: what the tick hands over, what the workers make of jobs that
//! come twice, late, mixed up or not at all, and what is left where something fails.

mod crowd;
pub(crate) mod stock;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use shared::domain::job::Job;
use shared::ports::{Clock as _, DueTable as _, JobQueue, QueueError};
use shared::refresh::RefreshEngine;
use shared::storage::DynamoStore;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::entropy::SeededEntropy;
use testkit::fake_as::GrantState;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::world::World;

/// A world of `shards` where these users are connected through one connector.
async fn connected(shards: u32, users: &[&str]) -> (World, String) {
    let world = World::on(MemoryStore::new(shards), ManualClock::new()).await;
    let connector = world.connector(&["read"]).await;
    for user in users {
        world.connect(user, &connector).await;
    }
    (world, connector)
}

fn text(job: &Job) -> String {
    serde_json::to_string(job).unwrap()
}

/// The messages of one tick, taken out of the queue.
async fn ticked(world: &World) -> Vec<String> {
    world.tick_alone().await;
    world.jobs.drain().iter().map(text).collect()
}

fn refreshes(world: &World) -> u64 {
    world.provider.counters().total.refreshes()
}

/// An engine whose lease is refused by the table the first `times` times.
fn throttled(world: &World, times: u32) -> RefreshEngine {
    let left = AtomicU32::new(times);
    let hook = move |method, phase| {
        let strikes = (method, phase) == ("acquire_lease", Phase::Before);
        let one_less = |left: u32| left.checked_sub(1);
        let strikes = strikes
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok();
        strikes.then(Fault::unavailable)
    };
    RefreshEngine {
        connections: Arc::new(FaultyStore::new(
            Arc::clone(&world.connections),
            Arc::new(hook),
        )),
        ..world.engine.clone()
    }
}

#[tokio::test]
async fn a_tick_hands_over_the_shards_that_have_work_and_no_other() {
    let (world, _) = connected(8, &["alice"]).await;
    assert!(ticked(&world).await.is_empty());
    world.pass(3600);
    let report = world.tick_alone().await;
    assert_eq!(world.jobs.drain().len(), 1);
    assert_eq!(json!(report.facts), json!({"due_shards": 1}));
}

#[tokio::test]
async fn h79_duplicate_mixed_up_and_missing_jobs_make_one_call_a_connection_and_cycle() {
    let users = ["ann", "ben", "cat", "dan", "eve", "fay"];
    let (world, connector) = connected(3, &users).await;
    let chance = SeededEntropy::new(79);
    for _minute in 0..300 {
        world.pass(60);
        let mut jobs = ticked(&world).await;
        if chance.below(100) < 30 {
            continue;
        }
        jobs = jobs
            .iter()
            .flat_map(|job| vec![job.clone(); chance.below(6) as usize])
            .collect();
        jobs.sort_by_key(|_| chance.below(1000));
        for batch in jobs.chunks(4) {
            let deliveries = batch.iter().map(|job| [job.as_str()]);
            let deliveries: Vec<_> = deliveries.collect();
            join_all(deliveries.iter().map(|job| world.deliver(job))).await;
        }
    }
    let counters = world.provider.counters();
    assert_eq!(counters.max_in_flight(), 1);
    let mut calls = 0;
    for user in users {
        let stored = world.stored(user, &connector).await.unwrap();
        // An hour's token is due after 48 minutes, and found within a few.
        let cycles = stored.generation - 1;
        assert!((5..=6).contains(&cycles), "{user}: {cycles}");
        calls += cycles;
        assert_eq!(world.provider.grant_state(user), GrantState::Live);
        world.token(user, &connector).await;
    }
    assert_eq!(counters.total.refreshes(), calls);
}

#[tokio::test]
async fn f40_five_deliveries_of_one_job_make_one_call() {
    let (world, _) = connected(1, &["alice"]).await;
    world.pass(3600);
    let jobs = ticked(&world).await;
    let five = vec![jobs[0].as_str(); 5];
    let done = world.deliver(&five).await;
    assert!(done.failed.is_empty());
    assert_eq!(done.counts["refreshed"], 1);
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn f41_a_job_that_comes_after_a_later_one_does_nothing() {
    let (world, _) = connected(1, &["alice"]).await;
    world.pass(3600);
    let old = ticked(&world).await;
    world.pass(60);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    let done = world.deliver(&[&old[0]]).await;
    assert!(done.failed.is_empty() && done.counts.is_empty(), "{done:?}");
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn f42_a_message_that_is_no_job_is_given_back_and_the_others_of_its_batch_are_done() {
    let (world, connector) = connected(1, &["alice"]).await;
    world.pass(3600);
    let jobs = ticked(&world).await;
    let of_another_version = json!({"job": "refresh_everything"}).to_string();
    let batch = ["{", &jobs[0], &of_another_version];
    let done = world.deliver(&batch).await;
    assert_eq!(done.failed, [0, 2]);
    assert_eq!(done.counts["refreshed"], 1);
    assert_eq!(done.line["outcome"], "failed");
    assert_eq!(done.line["refreshed_connections"], 1.0);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn f43_after_six_hours_without_a_sweep_the_backlog_drains_and_its_age_was_told() {
    let (world, connector) = connected(2, &["alice", "bob"]).await;
    for _hour in 0..6 {
        world.pass(3600);
        world.token("alice", &connector).await;
    }
    assert_eq!(refreshes(&world), 6, "look-ups need no sweep");
    let lag = async || {
        let report = world.tick_alone().await;
        let metric = report.metrics.iter().find(|it| it.name == "oldest_due_age");
        metric.unwrap().value
    };
    assert_eq!(lag().await, 5.0 * 3600.0 + 12.0 * 60.0);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    assert_eq!(lag().await, 0.0);
    assert_eq!(world.provider.grant_state("bob"), GrantState::Live);
}

#[tokio::test]
async fn f27_what_is_throttled_at_the_lease_is_not_spent_and_stays_due() {
    let (mut world, _) = connected(1, &["alice", "bob"]).await;
    world.pass(3600);
    world.engine = throttled(&world, 1);
    assert_eq!(world.tick().await, json!({"failed": 1, "refreshed": 1}));
    assert_eq!(refreshes(&world), 1);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    assert_eq!(refreshes(&world), 2);
}

#[tokio::test]
async fn a_shard_that_cannot_be_read_is_given_back_to_the_queue() {
    let (mut world, _) = connected(1, &["alice"]).await;
    world.pass(3600);
    let jobs = ticked(&world).await;
    let hook = |method, phase| {
        let strikes = (method, phase) == ("due_refreshes", Phase::Before);
        strikes.then(Fault::unavailable)
    };
    let due = FaultyStore::new(Arc::clone(&world.engine.due), Arc::new(hook));
    let sound = world.engine.clone();
    world.engine = RefreshEngine {
        due: Arc::new(due),
        ..sound.clone()
    };
    assert_eq!(world.deliver(&[&jobs[0]]).await.failed, [0]);
    let failed = token_refresher::tick(&world.engine, &world.publisher).await;
    assert!(failed.is_err(), "and the tick says so");
    world.engine = sound;
    assert_eq!(world.deliver(&[&jobs[0]]).await.counts["refreshed"], 1);
}

/// A bus that takes nothing.
struct Away;

#[async_trait]
impl JobQueue for Away {
    async fn enqueue(&self, _: &[Job]) -> Result<(), QueueError> {
        Err(QueueError)
    }
}

#[tokio::test]
async fn a_tick_whose_jobs_are_not_taken_fails_and_still_publishes_lost_events() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.bus.set_down(true);
    world.connect("alice", &connector).await;
    world.bus.set_down(false);
    world.pass(3600);
    let engine = RefreshEngine {
        jobs: Arc::new(Away),
        ..world.engine.clone()
    };
    let failed = token_refresher::tick(&engine, &world.publisher).await;
    assert!(failed.is_err());
    assert_eq!(world.bus.types().last(), Some(&"connection.connected"));
    assert_eq!(
        world.tick().await,
        json!({"refreshed": 1}),
        "the next is the retry"
    );
}

#[tokio::test]
async fn nothing_is_lost_when_the_number_of_shards_is_raised() {
    let clock = ManualClock::new();
    let tables = LocalDynamo::start(&clock, 2).await;
    let with = |shards| DynamoStore::new(tables.client.clone(), tables.tables.clone(), shards);
    let mut world = World::on(with(2), clock).await;
    let connector = world.connector(&["read"]).await;
    let users = ["ann", "ben", "cat", "dan"];
    world.bus.set_down(true);
    for user in users {
        world.connect(user, &connector).await;
    }
    world.bus.set_down(false);

    let store = Arc::new(with(7));
    let publisher = shared::events::Publisher::new(Arc::clone(&world.bus) as _, store.clone());
    world.engine = RefreshEngine {
        connections: store.clone(),
        due: store.clone(),
        publisher: publisher.clone(),
        ..world.engine.clone()
    };
    world.publisher = publisher;
    world.pass(2880 + 60);
    // One is refreshed on demand, whose entry cannot be found by its name any more.
    world
        .lookup_with(json!({"connector_id": connector, "user_id": "ann", "min_ttl": 900}))
        .await
        .expect_status(200);
    let calls = refreshes(&world);
    assert_eq!(calls, 1);
    for _ in 0..3 {
        world.pass(60);
        world.tick().await;
    }
    assert_eq!(refreshes(&world), 4, "each once");
    assert_eq!(
        world
            .bus
            .types()
            .iter()
            .filter(|it| **it == "connection.connected")
            .count(),
        4,
        "events too"
    );

    // What was stale is gone, and everybody stands where the next cycle finds him.
    world.pass(3600);
    let mut standing = 0;
    for shard in 0..store.shards() {
        let due = store
            .due_refreshes(shard, world.clock.now(), None, 100)
            .await;
        standing += due.unwrap().items.len();
    }
    assert_eq!(standing, 4);
    assert_eq!(world.tick().await, json!({"refreshed": 4}));
    for user in users {
        assert_eq!(world.provider.grant_state(user), GrantState::Live);
    }
}

//! What one worker gets through, against concurrency ÷ provider latency, and what a refresh costs
//! in processor time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use shared::ports::Clock;
use shared::refresh::{DueOutcome, RefreshEngine};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::crowd::{self, Counting, tokens};
use crate::measure::{Running, Runtimes, Spent, bar, median, spread};
use crate::world::World;

const ROUNDS: usize = 9;
const CONCURRENCY: usize = 25;
const LATENCY: Duration = Duration::from_millis(100);
/// Of each call to the store.
const STORE_LATENCY: Duration = Duration::from_millis(5);
/// More than a run of [`LATENCY`] gets through.
const WORKSPACES: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
const EACH: usize = 200;
/// How many users go through a real flow, for a provider that knows their grants.
const USERS: usize = 300;
/// Tokens of an hour are all due again by then.
const AN_HOUR: u64 = 3600;

pub(crate) fn measure(runtimes: &Runtimes) {
    println!("\n## One refresh worker, medians of {ROUNDS} rounds\n");
    throughput(runtimes);
    println!("\n| processor time of a refresh | µs | |");
    println!("|---|---|---|");
    let met = |us: f64| bar(us <= 400.0);
    let us = engine_alone(runtimes);
    println!(
        "| engine, reference store | {} | {} |",
        spread(us.clone()),
        met(median(us))
    );
    let us = with_http(runtimes);
    println!(
        "| ... and the HTTP client | {} | {} |",
        spread(us.clone()),
        met(median(us))
    );
    let us = with_dynamo(runtimes);
    println!(
        "| ... and the DynamoDB client | {} | {} |",
        spread(us.clone()),
        met(median(us))
    );
}

/// A round of the worker, then one of nothing but the calls, and so on.
fn throughput(runtimes: &Runtimes) {
    let (world, clock) = runtimes.outside.block_on(crowded());
    let engine = RefreshEngine {
        providers: Arc::new(Counting::new(clock.clone(), LATENCY, tokens)),
        concurrency: CONCURRENCY,
        ..behind_latency(&world)
    };
    let (mut worker, mut calls, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        world.pass(AN_HOUR);
        let (refreshed, took) = runtimes.measured(run(&engine, 0));
        let bare = stream::iter(0..refreshed)
            .map(|_| clock.sleep(LATENCY))
            .buffer_unordered(CONCURRENCY)
            .count();
        let (_, bare) = runtimes.measured(bare);
        let per_second = |spent: Spent| refreshed as f64 / spent.time.as_secs_f64();
        worker.push(per_second(took));
        calls.push(per_second(bare));
        ratio.push(100.0 * per_second(took) / per_second(bare));
    }
    let limit = CONCURRENCY as f64 / LATENCY.as_secs_f64();
    let reached = median(worker.clone()) / limit;
    println!("| {CONCURRENCY} calls of {LATENCY:?}, store {STORE_LATENCY:?} | a second |");
    println!("|---|---|");
    println!("| limit | {limit:.0} |");
    println!("| bare calls | {} |", spread(calls));
    println!("| worker | {} |", spread(worker));
    println!(
        "| worker, % of bare calls in its round | {} |",
        spread(ratio)
    );
    println!(
        "\nOf the limit: {:.1} % (bar: 90 %, {})",
        100.0 * reached,
        bar(reached >= 0.9)
    );
}

/// A provider that answers at once and a store in memory: the engine, its cryptography, and the
/// store's maps.
fn engine_alone(runtimes: &Runtimes) -> Vec<f64> {
    let (world, clock) = runtimes.outside.block_on(crowded());
    let engine = RefreshEngine {
        providers: Arc::new(Counting::new(clock, Duration::ZERO, tokens)),
        ..world.engine.clone()
    };
    per_refresh(runtimes, &world, &engine)
}

/// The authorization server on loopback, without TLS.
fn with_http(runtimes: &Runtimes) -> Vec<f64> {
    let clock = ManualClock::new();
    let running = Arc::new(Running::from(clock.clone()));
    let world = runtimes.outside.block_on(async {
        let world = World::timed(MemoryStore::new(1), clock, running).await;
        connect_for_real(&world).await;
        world
    });
    per_refresh(runtimes, &world, &world.engine)
}

/// And DynamoDB on loopback, without TLS.
fn with_dynamo(runtimes: &Runtimes) -> Vec<f64> {
    let clock = ManualClock::new();
    let running = Arc::new(Running::from(clock.clone()));
    let (world, _dynamo) = runtimes.outside.block_on(async {
        let dynamo = LocalDynamo::start(&clock, 1).await;
        let world = World::timed(dynamo.store.clone(), clock, running).await;
        connect_for_real(&world).await;
        (world, dynamo)
    });
    per_refresh(runtimes, &world, &world.engine)
}

fn per_refresh(runtimes: &Runtimes, world: &World, engine: &RefreshEngine) -> Vec<f64> {
    let rounds = (0..=ROUNDS).map(|_| {
        world.pass(AN_HOUR);
        let (refreshed, spent) = runtimes.measured(run(engine, 0));
        spent.processor.as_secs_f64() * 1e6 / refreshed as f64
    });
    // The first warms caches up.
    rounds.skip(1).collect()
}

/// One run of the worker: how many it refreshed.
async fn run(engine: &RefreshEngine, shard: u32) -> u64 {
    let report = engine
        .refresh_shard(shard)
        .await
        .expect("the shard is read");
    let outcomes: Vec<_> = report.outcomes.keys().copied().collect();
    assert_eq!(outcomes, [DueOutcome::Refreshed], "{report:?}");
    report.outcomes[&DueOutcome::Refreshed]
}

/// A world in memory where all of [`WORKSPACES`] have connections.
async fn crowded() -> (World, Running) {
    let clock = ManualClock::new();
    let running = Running::from(clock.clone());
    let product = Arc::new(running.clone());
    let world = World::timed(MemoryStore::new(1), clock, product).await;
    for workspace in WORKSPACES {
        let connector = world.connector_of(workspace, &["read"]).await;
        crowd::connect(&world, workspace, &connector, EACH, Duration::ZERO).await;
    }
    (world, running)
}

async fn connect_for_real(world: &World) {
    let connector = world.connector(&["read"]).await;
    for n in 0..USERS {
        world.connect(&format!("user-{n}"), &connector).await;
    }
}

/// The world's engine, whose every call to connections, due entries and health takes
/// [`STORE_LATENCY`].
fn behind_latency(world: &World) -> RefreshEngine {
    let hook = |_, phase| (phase == Phase::Before).then_some(Fault::Late(STORE_LATENCY));
    let engine = world.engine.clone();
    RefreshEngine {
        connections: Arc::new(FaultyStore::new(engine.connections, Arc::new(hook))),
        due: Arc::new(FaultyStore::new(engine.due, Arc::new(hook))),
        health: Arc::new(FaultyStore::new(engine.health, Arc::new(hook))),
        ..world.engine.clone()
    }
}

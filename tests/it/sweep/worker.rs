//! Stories of one worker's run: who is next, how much at a time, when it stops and when it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{Either, join, select};
use serde_json::json;
use shared::domain::job::Job;
use shared::domain::token::{TokenAnswer, TokenFailure};
use shared::ports::Clock as _;
use shared::refresh::{DueOutcome, RefreshEngine};
use testkit::clock::ManualClock;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use super::crowd::{self, Counting, tokens};
use crate::world::World;

const SHARD: u32 = 0;

/// A world of one shard, whose provider takes so long to answer.
struct Crowd {
    world: World,
    provider: Arc<Counting<ManualClock>>,
}

impl Crowd {
    async fn start(
        takes: Duration,
        answers: fn() -> Result<TokenAnswer, TokenFailure>,
        concurrency: usize,
    ) -> Self {
        let mut world = World::on(MemoryStore::new(1), ManualClock::new()).await;
        let provider = Arc::new(Counting::new(world.clock.clone(), takes, answers));
        world.engine = RefreshEngine {
            providers: Arc::clone(&provider) as _,
            concurrency,
            ..world.engine
        };
        Self { world, provider }
    }

    /// Connects users of a workspace through a connector of its own.
    async fn connect(&self, workspace: &str, count: usize, due_in: u64) {
        let connector = self.world.connector_of(workspace, &["read"]).await;
        let due_in = Duration::from_secs(due_in);
        crowd::connect(&self.world, workspace, &connector, count, due_in).await;
    }

    /// How many entries stand in the shard.
    async fn standing(&self) -> usize {
        let end = self.world.clock.now().after(Duration::from_secs(86_400));
        let due = self
            .world
            .engine
            .due
            .due_refreshes(SHARD, end, None, u32::MAX);
        due.await.unwrap().items.len()
    }
}

const JOB: Job = Job::RefreshShard { shard: SHARD };

#[tokio::test]
async fn three_thousand_of_one_workspace_at_a_slow_provider_keep_no_ten_of_another_waiting() {
    let crowd = Crowd::start(Duration::from_secs(8), tokens, 25).await;
    crowd.connect("huge", 3000, 60).await;
    crowd.connect("small", 10, 120).await;
    crowd.world.pass(120);
    let report = crowd.world.engine.refresh_shard(SHARD).await.unwrap();
    let asked = crowd.provider.asked();
    let first = &asked[..20];
    assert_eq!(first.iter().filter(|it| *it == "small").count(), 10);
    // The 25 calls that may be in flight, and what was let in when they had been answered.
    assert_eq!(report.outcomes[&DueOutcome::Refreshed], asked.len() as u64);
    assert_eq!(asked.len(), 25);
}

#[tokio::test]
async fn a_connectors_surplus_is_left_to_the_next_run() {
    let crowd = Crowd::start(Duration::ZERO, tokens, 25).await;
    crowd.connect("huge", 1100, 60).await;
    crowd.world.pass(60);
    for refreshed in [500, 500, 100] {
        let report = crowd.world.engine.refresh_shard(SHARD).await.unwrap();
        assert_eq!(report.outcomes[&DueOutcome::Refreshed], refreshed);
        assert_eq!(report.continued, refreshed == 500);
        let handed_over = crowd.world.jobs.drain();
        assert_eq!(handed_over, vec![JOB; usize::from(report.continued)]);
    }
    assert_eq!(crowd.provider.asked().len(), 1100);
    assert_eq!(
        crowd.standing().await,
        1100,
        "each has its next entry and no other"
    );
}

#[tokio::test]
async fn no_call_begins_more_than_two_seconds_into_a_run_and_the_rest_is_handed_over() {
    let crowd = Crowd::start(Duration::from_millis(900), tokens, 10).await;
    crowd.connect("acme", 60, 60).await;
    crowd.world.pass(60);
    let begun = crowd.world.clock.monotonic();
    let report = crowd.world.engine.refresh_shard(SHARD).await.unwrap();
    let took = crowd.world.clock.monotonic() - begun;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(
        report.outcomes[&DueOutcome::Refreshed],
        30,
        "three rounds of ten"
    );
    assert!(report.continued);
    assert_eq!(crowd.world.tick().await, json!({"refreshed": 30}));
    assert_eq!(crowd.provider.asked().len(), 60);
}

#[tokio::test]
async fn a_run_without_progress_does_not_go_on_by_itself() {
    fn down() -> Result<TokenAnswer, TokenFailure> {
        Err(TokenFailure::NotSent)
    }
    let crowd = Crowd::start(Duration::ZERO, down, 25).await;
    crowd.connect("huge", 550, 60).await;
    crowd.world.pass(60);
    let report = crowd.world.engine.refresh_shard(SHARD).await.unwrap();
    assert_eq!(report.outcomes[&DueOutcome::Postponed], 500);
    assert!(!report.continued && crowd.world.jobs.drain().is_empty());
    assert_eq!(crowd.standing().await, 550);
}

#[tokio::test]
async fn the_next_call_does_not_wait_for_the_store_and_twice_the_calls_are_under_way_at_most() {
    let mut crowd = Crowd::start(Duration::ZERO, tokens, 2).await;
    crowd.connect("acme", 20, 60).await;
    crowd.world.pass(60);
    let storing = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&storing);
    let hook = move |method, phase| {
        let stores = (method, phase) == ("store_tokens", Phase::Before);
        stores.then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            // No answer for as long as anybody looks.
            Fault::Crash
        })
    };
    let sound = Arc::clone(&crowd.world.connections);
    crowd.world.engine.connections = Arc::new(FaultyStore::new(sound, Arc::new(hook)));
    let run = Box::pin(crowd.world.engine.refresh_shard(SHARD));
    let look = Box::pin(async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(select(run, look).await, Either::Right(_)));
    assert_eq!(storing.load(Ordering::SeqCst), 4);
    assert_eq!(crowd.provider.asked().len(), 4);
}

#[tokio::test]
async fn an_entry_whose_lease_is_anothers_is_left_where_it_is() {
    let crowd = Crowd::start(Duration::ZERO, tokens, 25).await;
    crowd.connect("acme", 1, 60).await;
    crowd.world.pass(60);
    let due = &crowd.world.engine.due;
    let now = crowd.world.clock.now();
    let before = due.due_refreshes(SHARD, now, None, 1).await.unwrap();
    let (_, key) = &before.items[0];
    let somebody = shared::domain::ids::AttemptId::parse("somebody").unwrap();
    let until = now.after(shared::domain::connection::LEASE);
    let taken = crowd
        .world
        .connections
        .acquire_lease(key, &somebody, now, until);
    taken.await.unwrap();

    assert_eq!(crowd.world.tick().await, json!({"held": 1}));
    assert_eq!(
        due.due_refreshes(SHARD, now, None, 1).await.unwrap(),
        before
    );
    // He died; when his lease is over, whatever he did is settled.
    crowd.world.pass(60);
    crowd.world.tick().await;
    crowd.world.pass(60);
    crowd.world.tick().await;
    assert_eq!(crowd.provider.asked().len(), 1);
}

#[tokio::test]
async fn of_two_workers_at_one_shard_the_second_gives_way() {
    let crowd = Crowd::start(Duration::from_millis(900), tokens, 5).await;
    crowd.connect("acme", 40, 60).await;
    crowd.world.pass(60);
    let run = || crowd.world.engine.refresh_shard(SHARD);
    let (first, second) = join(run(), run()).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.outcomes[&DueOutcome::Refreshed], 15);
    assert!(first.continued);
    assert_eq!(
        second.outcomes.keys().collect::<Vec<_>>(),
        [&DueOutcome::Held]
    );
    assert!(!second.continued);
    assert_eq!(crowd.provider.asked().len(), 15);
}

#[tokio::test]
async fn a_lease_that_took_too_long_to_get_is_given_back_unused() {
    let mut crowd = Crowd::start(Duration::ZERO, tokens, 25).await;
    crowd.connect("acme", 1, 60).await;
    crowd.world.pass(60);
    let clock = crowd.world.clock.clone();
    let slow = Arc::new(AtomicU32::new(1));
    let hook = move |method, phase| {
        let strikes = (method, phase) == ("acquire_lease", Phase::After);
        if strikes && slow.swap(0, Ordering::SeqCst) > 0 {
            clock.advance(Duration::from_secs(5));
        }
        None
    };
    let sound = Arc::clone(&crowd.world.connections);
    crowd.world.engine.connections = Arc::new(FaultyStore::new(sound, Arc::new(hook)));
    let report = crowd.world.engine.refresh_shard(SHARD).await.unwrap();
    assert!(
        report.outcomes.is_empty() && !report.continued,
        "{report:?}"
    );
    assert!(crowd.provider.asked().is_empty());
    assert_eq!(crowd.world.tick().await, json!({"refreshed": 1}));
}

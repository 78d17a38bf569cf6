//! What the engine leaves behind for later: tokens the table did not take, and refreshes whose
//! outcome was never learnt. Jobs are delivered by hand here, as late and as often as a story
//! wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::connection::{Connection, ConnectionStatus, ReconnectReason};
use shared::domain::connector::Connector;
use shared::domain::health::Seen;
use shared::domain::job::{EscrowedTokens, Job};
use shared::ports::{JobQueue, QueueError};
use shared::refresh::{Admitted, FreshTokens, NotFresh, RefreshEngine};
use testkit::fake_as::{Behaviour, GrantState, Rotation, When};
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::job_queue::MemoryQueue;

use crate::world::World;

/// A world whose table can go away for writing tokens, and whose bus can go away.
struct Outage {
    world: World,
    connector: String,
    engine: RefreshEngine,
    queue: Arc<MemoryQueue>,
    table_away: Arc<AtomicBool>,
    bus_away: Arc<AtomicBool>,
}

/// A bus that can be away.
struct Bus {
    queue: Arc<MemoryQueue>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl JobQueue for Bus {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(QueueError);
        }
        self.queue.enqueue(jobs).await
    }
}

impl Outage {
    async fn of(rotation: Rotation) -> Self {
        let world = World::start().await;
        world
            .provider
            .configure(|settings| settings.rotation = rotation);
        let connector = world.connector(&["read"]).await;
        world.connect("alice", &connector).await;
        world.pass(3600);
        let queue = Arc::new(MemoryQueue::default());
        let (table_away, bus_away) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let away = Arc::clone(&table_away);
        let hook = move |method, phase| {
            let writes = ["store_tokens", "store_escrowed", "record_failure"];
            let written = writes.contains(&method);
            let strikes = written && phase == Phase::Before && away.load(Ordering::SeqCst);
            strikes.then(Fault::unavailable)
        };
        let engine = RefreshEngine {
            connections: Arc::new(FaultyStore::new(
                Arc::clone(&world.connections),
                Arc::new(hook),
            )),
            jobs: Arc::new(Bus {
                queue: Arc::clone(&queue),
                away: Arc::clone(&bus_away),
            }),
            ..world.engine.clone()
        };
        Self {
            world,
            connector,
            engine,
            queue,
            table_away,
            bus_away,
        }
    }

    fn table_is_away(&self, away: bool) {
        self.table_away.store(away, Ordering::SeqCst);
    }

    async fn stored(&self) -> Connection {
        let stored = self.world.stored("alice", &self.connector).await;
        stored.expect("connected")
    }

    async fn ask(&self) -> Result<FreshTokens, NotFresh> {
        let (connector, stored) = (self.connector().await, self.stored().await);
        let minute = Duration::from_secs(60);
        self.engine.fresh_tokens(&connector, stored, minute).await
    }

    async fn connector(&self) -> Connector {
        let key = self.stored().await.key;
        let read = self
            .engine
            .registry
            .connector(&key.workspace, &key.connector);
        read.await.unwrap().expect("there")
    }

    /// The one job that waits.
    fn job(&self) -> Job {
        let mut jobs = self.queue.drain();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// Refreshes while the table is away: what was left in escrow.
    async fn refresh_into_escrow(&self) -> EscrowedTokens {
        self.table_is_away(true);
        assert!(matches!(
            self.ask().await,
            Err(NotFresh::ProviderUnavailable { .. })
        ));
        assert_eq!(self.refreshes(), 1);
        match self.job() {
            Job::StoreTokens(tokens) => *tokens,
            other => panic!("{other:?}"),
        }
    }

    fn refreshes(&self) -> u64 {
        self.world.provider.counters().total.refreshes()
    }

    async fn retry(&self, job: &Job) {
        let Job::RetryRefresh { connection, id } = job else {
            panic!("{job:?}");
        };
        self.engine.retry_refresh(connection, id).await.unwrap();
    }
}

/// F28.
#[tokio::test]
async fn h69_tokens_rotated_while_the_table_is_away_for_30_s_come_out_of_escrow() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.world.pass(30);
    outage.table_is_away(false);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    let fresh = outage.ask().await.unwrap();
    assert!(!fresh.refreshed, "what was in escrow is what is handed out");
    assert_eq!(outage.refreshes(), 1);
    assert_eq!(
        outage.world.provider.grant_state("alice"),
        GrantState::Live,
        "nobody tried the spent token"
    );
    let stored = outage.stored().await;
    assert_eq!((stored.open_attempts, stored.outcome_lost), (0, false));
    // And the sweep finds it where it says.
    outage.world.pass(3600);
    outage.world.tick().await;
    assert_eq!(outage.refreshes(), 2);
    outage.ask().await.unwrap();
}

#[tokio::test]
async fn h69_who_comes_before_the_escrow_is_delivered_does_not_spend_the_old_token_again() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.world.pass(60);
    outage.table_is_away(false);
    for _ in 0..3 {
        assert!(matches!(
            outage.ask().await,
            Err(NotFresh::ProviderUnavailable { .. })
        ));
    }
    assert_eq!(outage.refreshes(), 1);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    outage.ask().await.unwrap();
    assert_eq!(outage.refreshes(), 1);
}

#[tokio::test]
async fn h69_escrow_that_never_comes_leaves_the_old_token_to_be_tried() {
    let outage = Outage::of(Rotation::None).await;
    outage.refresh_into_escrow().await;
    outage.table_is_away(false);
    outage.world.pass(22);
    outage.ask().await.unwrap_err();
    outage.world.pass(22);
    outage.ask().await.unwrap();
    assert_eq!(outage.refreshes(), 2);
}

/// F42. A job that was handed over anew each time would come to be two, and four, and so on, where
/// queues deliver twice.
#[tokio::test]
async fn h69_f42_escrow_that_the_table_does_not_take_stays_in_its_queue_and_is_no_second_job() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    for _ in 0..5 {
        outage.engine.store_escrowed(&tokens).await.unwrap_err();
        assert_eq!(outage.queue.drain(), []);
    }
    outage.table_is_away(false);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    outage.ask().await.unwrap();
    assert_eq!(outage.refreshes(), 1);
}

#[tokio::test]
async fn f28_with_table_and_bus_both_away_a_strict_providers_grant_is_lost_and_says_so() {
    let outage = Outage::of(Rotation::Strict).await;
    outage.table_is_away(true);
    outage.bus_away.store(true, Ordering::SeqCst);
    outage.ask().await.unwrap_err();
    outage.table_is_away(false);
    outage.bus_away.store(false, Ordering::SeqCst);
    for pause in [22, 22, 60] {
        outage.world.pass(pause);
        let answer = outage.ask().await.unwrap_err();
        let lost = NotFresh::ReconnectRequired(ReconnectReason::RefreshOutcomeLost);
        assert_eq!(answer == lost, pause == 60, "{answer:?}");
    }
}

#[tokio::test]
async fn h68_escrow_delivered_again_changes_nothing() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.table_is_away(false);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    let once = outage.stored().await;
    outage.engine.store_escrowed(&tokens).await.unwrap();
    assert_eq!(outage.stored().await, once);
    // Nor after the next refresh.
    outage.world.pass(3600);
    outage.ask().await.unwrap();
    let newer = outage.stored().await;
    outage.engine.store_escrowed(&tokens).await.unwrap();
    assert_eq!(outage.stored().await, newer);
}

#[tokio::test]
async fn x9_escrow_for_a_connection_that_is_gone_is_revoked() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.table_is_away(false);
    outage
        .world
        .disconnect("alice", &outage.connector)
        .await
        .expect_status(200);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    assert!(outage.stored().await.status.is_gone(), "H-63");
    outage.world.pass(60);
    outage.world.tick_revoker().await;
    assert_eq!(
        outage.world.provider.grant_state("alice"),
        GrantState::Revoked
    );
}

#[tokio::test]
async fn c17_escrow_does_not_replace_what_the_user_connected_meanwhile() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.table_is_away(false);
    outage.world.connect("alice", &outage.connector).await;
    let reconnected = outage.stored().await;
    outage.engine.store_escrowed(&tokens).await.unwrap();
    assert_eq!(outage.stored().await, reconnected);
    outage.ask().await.unwrap();
}

#[tokio::test]
async fn h42_escrow_is_sealed_for_its_connection_and_carries_no_token_in_the_clear() {
    let outage = Outage::of(Rotation::Strict).await;
    let tokens = outage.refresh_into_escrow().await;
    outage.table_is_away(false);
    outage.engine.store_escrowed(&tokens).await.unwrap();
    let fresh = outage.ask().await.unwrap();
    let job = serde_json::to_string(&Job::StoreTokens(Box::new(tokens))).unwrap();
    assert!(!job.contains(fresh.tokens.access_token.expose()));
    let refresh_token = fresh.tokens.refresh_token.unwrap();
    assert!(!job.contains(refresh_token.expose()));
}

/// A refresh that the provider did and whose answer was lost; the job it leaves.
async fn lost_answer(outage: &Outage) -> Job {
    let drop = Behaviour::ProcessThenDrop;
    outage.world.provider.push(When::refreshing(), drop);
    outage.ask().await.unwrap_err();
    outage.job()
}

#[tokio::test]
async fn f8_a_lost_answer_is_retried_when_it_has_settled_without_waiting_for_the_tick() {
    let outage = Outage::of(Rotation::Grace { seconds: 30 }).await;
    let retry = lost_answer(&outage).await;
    outage.world.pass(22);
    outage.retry(&retry).await;
    assert_eq!(outage.refreshes(), 2);
    outage.ask().await.unwrap();
    assert_eq!(outage.refreshes(), 2);
    assert_eq!(outage.world.provider.grant_state("alice"), GrantState::Live);
}

/// As many lost answers as open the breaker would otherwise cost as many grants as their grace
/// is shorter than its pause.
#[tokio::test]
async fn f8_the_one_retry_of_a_lost_answer_does_not_wait_for_a_failing_providers_breaker() {
    let outage = Outage::of(Rotation::Grace { seconds: 30 }).await;
    let retry = lost_answer(&outage).await;
    let (engine, connector) = (&outage.engine, outage.connector().await);
    let Admitted::Go(watch) = engine.admit(&connector).await else {
        panic!("paused before there was trouble");
    };
    engine
        .observe(&connector, &watch, &[Seen::Failed; 20])
        .await;
    let paused = engine.admit(&connector).await;
    assert!(matches!(paused, Admitted::Paused { .. }));
    outage.world.pass(22);
    outage.retry(&retry).await;
    assert_eq!(outage.refreshes(), 2);
    outage.ask().await.unwrap();
}

#[tokio::test]
async fn f40_a_retry_delivered_five_times_asks_the_provider_once() {
    let outage = Outage::of(Rotation::Grace { seconds: 60 }).await;
    let retry = lost_answer(&outage).await;
    outage.world.pass(22);
    for _ in 0..5 {
        outage.retry(&retry).await;
    }
    assert_eq!(outage.refreshes(), 2);
}

#[tokio::test]
async fn f41_a_retry_that_comes_too_early_or_after_somebody_else_asks_nobody() {
    let outage = Outage::of(Rotation::Grace { seconds: 60 }).await;
    let retry = lost_answer(&outage).await;
    outage.retry(&retry).await;
    assert_eq!(outage.refreshes(), 1, "the lease still runs");
    outage.world.pass(22);
    outage.ask().await.unwrap();
    outage.retry(&retry).await;
    assert_eq!(outage.refreshes(), 2, "the look-up has settled it");
    let stored = outage.stored().await;
    assert_eq!(stored.status, ConnectionStatus::Active);
    assert!(stored.next_attempt_at.is_none());
}

#[tokio::test]
async fn f10_what_stays_unknown_is_left_to_backoff_after_one_quick_retry() {
    let outage = Outage::of(Rotation::None).await;
    let down = Behaviour::Respond {
        status: 502,
        headers: Vec::new(),
        body: String::new(),
    };
    outage.world.provider.always(When::refreshing(), down);
    outage.ask().await.unwrap_err();
    let retry = outage.job();
    outage.world.pass(22);
    outage.retry(&retry).await;
    assert_eq!(outage.refreshes(), 2);
    for job in outage.queue.drain() {
        outage.world.pass(22);
        outage.retry(&job).await;
    }
    assert!(outage.refreshes() <= 3);
    let stored = outage.stored().await;
    assert!(stored.status.is_live() && stored.next_attempt_at.is_some());
}

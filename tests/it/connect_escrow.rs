//! What becomes of a redeemed code while the table does not answer (C9, C10). The jobs are
//! delivered by hand, as late and as often as a story wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared::domain::connection::ConnectionStatus;
use shared::domain::job::Job;
use testkit::clock::ManualClock;
use testkit::fake_as::GrantState;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::world::{Answer, Call, World};

/// A world whose table can go away for connecting.
struct Outage {
    world: World,
    connector: String,
    away: Arc<AtomicBool>,
}

impl Outage {
    /// With the methods of the connections that do not answer while it is away.
    async fn of(methods: &'static [&'static str]) -> Self {
        let away = Arc::<AtomicBool>::default();
        let is_away = Arc::clone(&away);
        let hook = move |method: &'static str, phase| {
            let strikes = phase == Phase::Before
                && methods.contains(&method)
                && is_away.load(Ordering::SeqCst);
            strikes.then(Fault::unavailable)
        };
        let store = FaultyStore::new(Arc::new(MemoryStore::new(4)), Arc::new(hook));
        let world = World::on(store, ManualClock::new()).await;
        let connector = world.connector(&["read"]).await;
        Self {
            world,
            connector,
            away,
        }
    }

    fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Completes a flow of alice's while the table is away: the completion code and the answer.
    async fn complete(&self, account: &str) -> (String, Answer) {
        let code = self.world.authorize("alice", account, &self.connector);
        let code = code.await;
        self.is_away(true);
        let answer = self.world.complete("alice", &code).await;
        (code, answer)
    }

    /// The same, into escrow.
    async fn escrowed(&self, account: &str) -> (String, Job) {
        let (code, answer) = self.complete(account).await;
        let answer = answer.expect_problem(503, "temporarily_unavailable");
        assert_eq!(answer.headers["retry-after"], "5");
        (code, self.job())
    }

    /// The one job that waits.
    fn job(&self) -> Job {
        let mut jobs = self.world.jobs.drain();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    async fn deliver(&self, job: &Job) {
        let message = serde_json::to_string(job).unwrap();
        let done = self.world.deliver(&[&message]).await;
        assert!(done.failed.is_empty(), "{done:?}");
    }
}

#[tokio::test]
async fn c10_what_the_table_did_not_take_is_connected_when_it_answers_again() {
    for methods in [&["connect"][..], &["connect", "connection"]] {
        let outage = Outage::of(methods).await;
        let world = &outage.world;
        let (code, job) = outage.escrowed("alice").await;
        // Until then the flow is under way: the code is neither good nor spent in vain.
        let waiting = world.complete("alice", &code).await;
        let waiting = waiting.expect_problem(409, "conflict");
        assert_eq!(waiting.headers["retry-after"], "2");
        outage.is_away(false);
        assert!(world.stored("alice", &outage.connector).await.is_none());
        for _ in 0..2 {
            outage.deliver(&job).await;
        }
        let connected = world.complete("alice", &code).await.expect_status(200);
        assert_eq!(connected.text("status"), "connected");
        let token = world.token("alice", &outage.connector).await;
        let issued = world.provider.issued_secrets();
        assert!(issued.iter().any(|secret| secret.value == token));
        assert_eq!(world.provider.counters().total.redemptions(), 1);
        world.tick_revoker().await;
        assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
        // And it is kept alive like any other.
        world.pass(3600);
        world.token("alice", &outage.connector).await;
    }
}

#[tokio::test]
async fn c10_a_job_holds_no_secret_in_the_clear() {
    let outage = Outage::of(&["connect"]).await;
    let (_, job) = outage.escrowed("alice").await;
    let shown = format!("{job:?} {}", serde_json::to_string(&job).unwrap());
    for secret in outage.world.provider.issued_secrets() {
        assert!(!shown.contains(&secret.value), "{:?}", secret.kind);
    }
}

#[tokio::test]
async fn c10_while_the_table_is_still_away_the_job_stays_in_its_queue() {
    let outage = Outage::of(&["connect"]).await;
    let (code, job) = outage.escrowed("alice").await;
    let message = serde_json::to_string(&job).unwrap();
    let done = outage.world.deliver(&[&message]).await;
    assert_eq!(done.failed.len(), 1, "{done:?}");
    outage.is_away(false);
    outage.deliver(&job).await;
    outage
        .world
        .complete("alice", &code)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn c10_c17_what_comes_out_late_stands_above_a_refresh_that_came_in_between() {
    let outage = Outage::of(&["connect"]).await;
    let world = &outage.world;
    world.connect("alice", &outage.connector).await;
    let (code, job) = outage.escrowed("alice").await;
    world.pass(3600);
    world.token("alice", &outage.connector).await;
    let before = world.stored("alice", &outage.connector).await.unwrap();
    outage.is_away(false);
    outage.deliver(&job).await;
    let after = world.stored("alice", &outage.connector).await.unwrap();
    assert_eq!(
        (&after.id, after.generation),
        (&before.id, before.generation + 1)
    );
    assert_eq!(after.created_at, before.created_at);
    world.complete("alice", &code).await.expect_status(200);
    world.token("alice", &outage.connector).await;
}

#[tokio::test]
async fn c10_h16_another_account_out_of_escrow_is_revoked_and_the_connected_one_stays() {
    let outage = Outage::of(&["connect"]).await;
    let world = &outage.world;
    world.connect("alice", &outage.connector).await;
    let before = world.stored("alice", &outage.connector).await;
    let code = world.authorize("alice", "mallory", &outage.connector).await;
    // The account that is connected cannot be seen either.
    outage.is_away(true);
    drop(world.complete("alice", &code).await);
    outage.is_away(false);
    for job in world.jobs.drain() {
        outage.deliver(&job).await;
    }
    world.tick_revoker().await;
    assert_eq!(world.stored("alice", &outage.connector).await, before);
    assert_eq!(world.provider.grant_state("mallory"), GrantState::Revoked);
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
}

#[tokio::test]
async fn c10_x2_tokens_of_a_connector_that_went_away_meanwhile_are_revoked() {
    let outage = Outage::of(&["connect"]).await;
    let world = &outage.world;
    let (_, job) = outage.escrowed("alice").await;
    outage.is_away(false);
    let path = format!("/v1/connectors/{}?confirm=Files", outage.connector);
    let deleted = world.send(Call::delete(&path).admin_of("acme")).await;
    deleted.expect_status(202);
    outage.deliver(&job).await;
    assert!(world.stored("alice", &outage.connector).await.is_none());
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
}

#[tokio::test]
async fn c10_a_user_who_disconnected_meanwhile_stays_disconnected_from_what_stood_before() {
    let outage = Outage::of(&["connect"]).await;
    let world = &outage.world;
    world.connect("alice", &outage.connector).await;
    let (code, job) = outage.escrowed("alice").await;
    outage.is_away(false);
    world
        .disconnect("alice", &outage.connector)
        .await
        .expect_status(200);
    outage.deliver(&job).await;
    // The consent came later than what was disconnected, and is a connection of its own.
    let stored = world.stored("alice", &outage.connector).await.unwrap();
    assert_eq!(stored.status, ConnectionStatus::Active);
    let completed = world.complete("alice", &code).await.expect_status(200);
    assert_eq!(completed.text("connection_id"), stored.id.as_str());
}

#[tokio::test]
async fn c9_where_neither_table_nor_bus_takes_them_the_tokens_are_revoked_and_it_is_over() {
    let outage = Outage::of(&["connect"]).await;
    let world = &outage.world;
    world.jobs.set_away(true);
    let (code, answer) = outage.complete("alice").await;
    answer.expect_problem(503, "temporarily_unavailable");
    outage.is_away(false);
    let again = world.complete("alice", &code).await;
    again.expect_problem(400, "completion_invalid");
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
    assert!(world.stored("alice", &outage.connector).await.is_none());
}

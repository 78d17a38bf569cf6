//! Tables that do not answer, and workers that get into each other's way (F24 to F31, B1, B6,
//! B8, B10).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use serde_json::json;
use shared::crypto::vault::Vault;
use shared::domain::connection::{ConnectionStatus, LEASE};
use shared::domain::ids::AttemptId;
use shared::domain::job::Job;
use shared::domain::secret::Secret;
use shared::domain::token::{TokenSet, Validity};
use shared::oauth::http_client::HttpClient;
use shared::oauth::provider_api::HttpProviderApi;
use shared::ports::{Clock as _, Connections as _, JobQueue, LeaseAnswer, QueueError};
use shared::refresh::RefreshEngine;
use testkit::entropy::SeededEntropy;
use testkit::fake_as::{Behaviour, GrantState};
use testkit::faults::{Fault, Phase};

use super::{Ending, HOUR, Kind, LEASE_OVER, Story, at_every_provider, lost};

fn invalid_grant() -> Behaviour {
    Behaviour::OAuthError {
        status: 400,
        code: "invalid_grant".to_owned(),
    }
}

/// B6: the loser's refusal does not touch the winner's tokens.
#[tokio::test]
async fn f24_b6_a_refusal_that_comes_after_somebody_elses_tokens_blames_nobody() {
    at_every_provider(async |story| {
        story.provider_does(invalid_grant());
        let thaw = story.faults.freeze("record_failure", Phase::Before);
        let loser = story.ask();
        let winner = async {
            story.faults.struck.notified().await;
            story.world.pass(LEASE_OVER);
            if story.kind == Kind::Strict {
                // The loser has not reported, and may hold what the provider rotated.
                story.ask_in_vain().await;
                story.world.pass(LEASE_OVER);
            }
            let won = story.ask().await.expect_status(200);
            thaw.notify_one();
            won.text("access_token")
        };
        let (lost, won) = join(loser, winner).await;
        let handed_out = lost.expect_status(200).text("access_token");
        assert_eq!(handed_out, won);
        assert_eq!(story.stored().await.status, ConnectionStatus::Active);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f27_a_table_that_is_throttled_when_the_lease_is_asked_for_has_spent_nothing() {
    at_every_provider(async |story| {
        story.faults.away(&["acquire_lease"]);
        for _ in 0..5 {
            story.ask_in_vain().await;
            story.world.tick().await;
        }
        assert_eq!(story.asked(), 0);
        story.faults.away(&[]);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f27_a_lease_whose_answer_was_lost_runs_to_its_end() {
    at_every_provider(async |story| {
        let lost = Fault::unavailable();
        story.faults.once("acquire_lease", Phase::After, lost);
        story.ask_in_vain().await;
        story.world.pass(LEASE_OVER);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f28_tokens_that_the_table_does_not_take_come_out_of_escrow() {
    at_every_provider(async |story| {
        story.faults.away(&["store_tokens", "record_failure"]);
        story.ask_in_vain().await;
        story.world.pass(30);
        story.faults.away(&[]);
        story.is_kept().await;
        assert_eq!(story.asked(), 2, "the spent token was not tried again");
    })
    .await;
}

/// The table was away for longer than any grace: the first that is written is that somebody waits.
#[tokio::test]
async fn h69_a_spent_token_is_not_tried_again_while_its_successor_may_be_in_escrow() {
    at_every_provider(async |story| {
        story.faults.away(&["store_tokens", "record_failure"]);
        story.ask_in_vain().await;
        story.world.pass(120);
        story.faults.away(&[]);
        if story.kind != Kind::Fixed {
            story.ask_in_vain().await;
        }
        assert_eq!(story.asked(), 1);
        story.is_kept().await;
        assert_eq!(story.asked(), 2);
    })
    .await;
}

#[tokio::test]
async fn h69_escrow_waits_until_nobody_else_can_be_asking_the_provider() {
    at_every_provider(async |story| {
        story.faults.away(&["store_tokens", "record_failure"]);
        story.ask_in_vain().await;
        story.world.pass(LEASE_OVER);
        story.faults.away(&[]);
        let (key, now) = (story.stored().await.key, story.world.clock.now());
        let attempt = AttemptId::parse("another").unwrap();
        let taken = story
            .store
            .acquire_lease(&key, &attempt, now, now.after(LEASE));
        let Ok(LeaseAnswer::Granted(lease)) = taken.await else {
            panic!("the lease is free");
        };
        // Not stored, but kept in the queue; and a clock that is ahead does not change that.
        story.deliver().await;
        story.world.clock.set(now.after(2 * LEASE));
        story.world.clock.distrust(true);
        story.deliver().await;
        assert_eq!(story.stored().await, lease.connection);
        story.world.clock.set(now);
        story.world.clock.distrust(false);
        story.store.release_lease(&lease).await.unwrap();
        story.deliver().await;
        assert_eq!(story.stored().await.generation, 2);
        story.is_kept().await;
        assert_eq!(story.asked(), 2);
    })
    .await;
}

/// A queue that takes nothing.
struct NoQueue;

#[async_trait]
impl JobQueue for NoQueue {
    async fn enqueue(&self, _: &[Job]) -> Result<(), QueueError> {
        Err(QueueError)
    }
}

#[tokio::test]
async fn f28_with_table_and_queue_both_away_a_strict_providers_grant_is_lost() {
    at_every_provider(async |story| {
        story.faults.away(&["store_tokens", "record_failure"]);
        let cut_off = RefreshEngine {
            jobs: Arc::new(NoQueue),
            ..story.world.engine.clone()
        };
        story.ask_of(&cut_off).await.unwrap_err();
        story.faults.away(&[]);
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

/// Somebody stores tokens without a lease, which no code does: the newer ones are kept, and it
/// is noticed.
#[tokio::test]
async fn f29_tokens_stored_under_somebody_elses_lease_are_noticed_and_kept() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("store_tokens", Phase::Before);
        let owner = story.ask();
        let intruder = async {
            story.faults.struck.notified().await;
            let stored = story.stored().await;
            let keys = story.world.engine.vault.keys(&stored.key.workspace).await;
            let keys = keys.unwrap();
            let tokens = TokenSet {
                access_token: Secret::new("the intruder's"),
                ..keys.open_tokens(&stored).unwrap()
            };
            let entropy = &*story.world.engine.entropy;
            let next = stored.generation + 1;
            let sealed = keys.seal_tokens(entropy, &stored.id, next, &tokens);
            let now = story.world.clock.now();
            let validity = Validity {
                issued_at: now,
                expires_at: Some(now.after(Duration::from_secs(HOUR))),
                ..stored.validity
            };
            story.intrude(sealed, validity).await;
            thaw.notify_one();
        };
        let (answer, ()) = join(owner, intruder).await;
        let handed_out = answer.expect_status(200).text("access_token");
        assert_eq!(handed_out, "the intruder's");
        assert_eq!(story.stored().await.generation, 2);
        assert_eq!(story.logged("fence_violation"), 1);
    })
    .await;
}

/// The user's own reconnect is none.
#[tokio::test]
async fn f29_a_reconnect_during_a_refresh_is_no_violation() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("store_tokens", Phase::Before);
        let refresh = story.ask();
        let reconnect = async {
            story.faults.struck.notified().await;
            story.world.pass(1);
            story.world.connect("alice", &story.connector).await;
            thaw.notify_one();
        };
        let (answer, _) = join(refresh, reconnect).await;
        answer.expect_status(200);
        assert_eq!(story.logged("fence_violation"), 0);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f30_tokens_for_a_connection_that_is_gone_are_revoked() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("store_tokens", Phase::Before);
        let refresh = story.ask();
        let disconnect = async {
            story.faults.struck.notified().await;
            story.world.disconnect("alice", &story.connector).await;
            thaw.notify_one();
        };
        let (answer, ()) = join(refresh, disconnect).await;
        answer.expect_problem(404, "not_connected");
        story.world.pass(120);
        story.world.tick_revoker().await;
        let dead = GrantState::Revoked;
        assert_eq!(story.world.provider.grant_state("alice"), dead);
        assert!(story.stored().await.status.is_gone());
    })
    .await;
}

#[tokio::test]
async fn f31_a_due_table_that_is_away_costs_no_token_and_is_caught_up_with() {
    at_every_provider(async |story| {
        story.faults.away(&["add_refresh", "remove_refresh"]);
        story.ask().await.expect_status(200);
        assert_eq!(story.stored().await.generation, 2, "the token is safe");
        story.world.tick().await;
        story.faults.away(&[]);
        story.world.tick().await;
        let asked = story.asked();
        story.world.pass(3000);
        story.world.tick().await;
        assert_eq!(
            story.asked(),
            asked + 2,
            "alice and bob are due where they say"
        );
        story.is_kept().await;
    })
    .await;
}

/// Another process: the same tables, and nothing else in common.
fn another_process(story: &Story, seed: u64) -> RefreshEngine {
    let clock = Arc::new(story.world.clock.clone());
    let entropy = Arc::new(SeededEntropy::new(seed));
    let http = HttpClient::new(story.world.engine.address_rules);
    RefreshEngine {
        entropy: Arc::clone(&entropy) as _,
        vault: Arc::new(Vault::new(
            "stories".into(),
            Arc::new(story.store.clone()),
            Arc::clone(&story.world.kms) as _,
            Arc::clone(&clock) as _,
            Arc::clone(&entropy) as _,
        )),
        providers: Arc::new(HttpProviderApi::new(http, clock, entropy)),
        ..story.world.engine.clone()
    }
}

/// B1: a lock in memory is worth nothing where nobody shares it.
#[tokio::test]
async fn b1_of_many_processes_one_asks_the_provider() {
    at_every_provider(async |story| {
        let processes: Vec<_> = (10..30).map(|seed| another_process(story, seed)).collect();
        story.provider_does(Behaviour::Hang);
        let all = join_all(processes.iter().map(|process| story.ask_of(process)));
        let answered = async {
            story.world.provider.wait_until_held(1).await;
            story.world.provider.release();
        };
        let (answers, ()) = join(all, answered).await;
        assert_eq!(story.asked(), 1);
        let refreshed = answers.iter().flatten().filter(|fresh| fresh.refreshed);
        assert_eq!(refreshed.count(), 1);
        story.is_kept().await;
    })
    .await;
}

/// B8: both tokens are one ciphertext in one write, so whoever crashes has both or neither.
#[tokio::test]
async fn b8_access_and_refresh_token_are_stored_together_or_not_at_all() {
    at_every_provider(async |story| {
        let before = story.stored().await;
        story.crash("store_tokens", Phase::Before).await;
        let crashed = story.stored().await;
        assert_eq!(crashed.sealed, before.sealed);
        assert_eq!(crashed.validity, before.validity);
        let story = Story::of(story.kind).await;
        let before = story.stored().await;
        story.crash("store_tokens", Phase::After).await;
        let written = story.stored().await;
        assert_ne!(written.sealed, before.sealed);
        assert_eq!(written.generation, before.generation + 1);
        assert!(written.validity.expires_at > before.validity.expires_at);
        story.is_kept().await;
    })
    .await;
}

/// B10: what was not stored is not told, nor handed out.
#[tokio::test]
async fn b10_nothing_is_told_before_the_tokens_are_known_to_be_stored() {
    at_every_provider(async |story| {
        let granted = json!("read extra");
        let more = Behaviour::Amend {
            set: [("scope".to_owned(), granted)].into_iter().collect(),
            remove: Vec::new(),
        };
        story.provider_does(more);
        story.faults.away(&["store_tokens", "record_failure"]);
        let due = story.stored().await.due_at;
        story.ask_in_vain().await;
        assert!(!story.was_told("connection.scopes_changed"));
        assert_eq!(story.stored().await.due_at, due);
        story.faults.away(&[]);
        story.deliver().await;
        assert!(story.was_told("connection.scopes_changed"));
        story.is_kept().await;
    })
    .await;
}

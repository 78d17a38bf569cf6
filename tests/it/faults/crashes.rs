//! Workers that die, are stopped or freeze on their way through a refresh (F1 to F7, F36, F37).

use futures_util::future::join;
use serde_json::json;
use shared::domain::connection::ConnectionStatus;
use testkit::fake_as::Behaviour;
use testkit::faults::{Fault, Phase};

use super::{Ending, HOUR, LEASE_OVER, at_every_provider, lost};

#[tokio::test]
async fn f1_a_crash_before_the_lease_costs_nothing() {
    at_every_provider(async |story| {
        story.crash("acquire_lease", Phase::Before).await;
        assert_eq!(story.asked(), 0);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f2_a_crash_between_lease_and_request_costs_the_rest_of_the_lease() {
    at_every_provider(async |story| {
        story.crash("acquire_lease", Phase::After).await;
        story.world.pass(18);
        story.ask_in_vain().await;
        assert_eq!(story.asked(), 0, "the lease still runs");
        story.is_kept().await;
    })
    .await;
}

/// B14: there is no lock but the lease, and it ends by itself.
#[tokio::test]
async fn b14_no_lock_outlives_the_lease_of_whoever_died_with_it() {
    at_every_provider(async |story| {
        for _ in 0..3 {
            story.crash("acquire_lease", Phase::After).await;
            story.world.pass(LEASE_OVER);
        }
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f3_a_crash_after_a_request_that_never_arrived_costs_nothing_but_time() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::RefuseBeforeProcessing);
        story.crash("record_failure", Phase::Before).await;
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f4_a_crash_between_rotation_and_store_loses_the_grant_of_a_strict_provider_only() {
    at_every_provider(async |story| {
        story.crash("store_tokens", Phase::Before).await;
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

#[tokio::test]
async fn f5_a_crash_after_a_store_whose_answer_was_lost_costs_nothing() {
    at_every_provider(async |story| {
        story.crash("store_tokens", Phase::After).await;
        story.ask().await.expect_status(200);
        assert_eq!(story.asked(), 1, "what is stored is handed out");
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f5_a_store_whose_answer_was_lost_is_recognised_by_its_attempt() {
    at_every_provider(async |story| {
        let lost_answer = Fault::unavailable();
        story.faults.once("store_tokens", Phase::After, lost_answer);
        story.ask().await.expect_status(200);
        assert_eq!(story.asked(), 1);
        assert_eq!(story.stored().await.generation, 2, "written once");
        story.is_kept().await;
    })
    .await;
}

/// The sweep finds the entry that was not moved, sees that nothing is due, and moves it.
#[tokio::test]
async fn f6_a_crash_between_store_and_due_entry_is_mended_by_the_sweep() {
    at_every_provider(async |story| {
        story.crash("add_refresh", Phase::Before).await;
        story.world.tick().await;
        story.world.lookup("bob", &story.connector).await;
        let asked = story.asked();
        assert_eq!(asked, 2, "alice's first and bob's");
        story.world.pass(HOUR - 60);
        story.world.tick().await;
        assert_eq!(story.asked(), asked + 2, "both were due again");
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f7_a_crash_before_an_event_is_published_leaves_it_to_the_next_sweep() {
    at_every_provider(async |story| {
        let granted = json!("read extra");
        story.provider_does(Behaviour::Amend {
            set: [("scope".to_owned(), granted)].into_iter().collect(),
            remove: Vec::new(),
        });
        story.crash("store_tokens", Phase::After).await;
        assert!(!story.was_told("connection.scopes_changed"));
        story.world.pass(60);
        story.world.tick().await;
        assert!(story.was_told("connection.scopes_changed"));
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f7_a_crash_after_a_grant_was_declared_dead_does_not_hide_it() {
    at_every_provider(async |story| {
        story.world.provider.withdraw_grants("alice");
        story.ask_in_vain().await;
        story.world.pass(60);
        story.crash("require_reconnect", Phase::After).await;
        assert!(!story.was_told("connection.reconnect_required"));
        story.world.pass(60);
        story.world.tick().await;
        let lost = || lost("grant_revoked");
        story.ends(lost(), lost(), lost()).await;
    })
    .await;
}

/// The client hangs up in the middle of the answer, as when its function is stopped after 15 s.
#[tokio::test]
async fn f36_a_function_stopped_in_the_middle_of_the_call_is_a_lost_answer() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::ProcessThenHold);
        tokio::select! {
            answer = story.ask() => panic!("it was to be stopped: {answer:?}"),
            () = story.world.provider.wait_until_held(1) => story.world.pass(15),
        }
        story.world.pass(3);
        story.ask_in_vain().await;
        assert_eq!(story.asked(), 1, "the lease outlives the function");
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

/// A sandbox that is frozen with an answer in its hands, and thawed minutes later, when nobody
/// has refreshed meanwhile.
#[tokio::test]
async fn f38_who_learns_with_the_lease_that_the_clock_was_set_asks_nobody() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("acquire_lease", Phase::After);
        let frozen = story.ask();
        let clock_set = async {
            story.faults.struck.notified().await;
            story.world.clock.distrust(true);
            thaw.notify_one();
        };
        let (answer, ()) = join(frozen, clock_set).await;
        answer.expect_problem(503, "provider_unavailable");
        assert_eq!(story.asked(), 0);
        story.world.clock.distrust(false);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f37_tokens_of_a_thawed_worker_are_stored_if_nobody_was_faster() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("store_tokens", Phase::Before);
        let frozen = story.ask();
        let minutes_later = async {
            story.faults.struck.notified().await;
            story.world.pass(300);
            thaw.notify_one();
        };
        let (answer, ()) = join(frozen, minutes_later).await;
        answer.expect_status(200);
        assert_eq!(story.asked(), 1);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f37_tokens_of_a_thawed_worker_replace_nothing_newer() {
    at_every_provider(async |story| {
        let thaw = story.faults.freeze("store_tokens", Phase::Before);
        let frozen = story.ask();
        let meanwhile = async {
            story.faults.struck.notified().await;
            story.world.pass(LEASE_OVER);
            // Where the old token may not be used again, everybody waits for the frozen one.
            let other = story.ask().await;
            let newer = story.kind.of(503, 200, 200);
            let other = other.expect_status(newer);
            thaw.notify_one();
            (newer == 200).then(|| other.text("access_token"))
        };
        let (thawed, newer) = join(frozen, meanwhile).await;
        let handed_out = thawed.expect_status(200).text("access_token");
        assert_eq!(newer.unwrap_or(handed_out.clone()), handed_out);
        let stored = story.stored().await;
        assert_eq!(stored.generation, 2, "one of them was stored");
        assert_eq!(stored.status, ConnectionStatus::Active);
        assert_eq!(story.logged("fence_violation"), 0, "its lease was over");
        story.is_kept().await;
    })
    .await;
}

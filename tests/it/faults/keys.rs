//! Keys that cannot be used, and ciphertexts that do not open (F32 to F35).

use futures_util::future::join;
use serde_json::json;
use shared::domain::connection::ConnectionStatus;
use testkit::fake_as::Behaviour;
use testkit::fake_kms::KmsState;

use super::{HOUR, Story, at_every_provider};

/// Look-ups and sweeps for two hours while no key can be opened.
async fn without_keys(story: &Story) {
    for _ in 0..24 {
        let refused = story.ask().await;
        refused.expect_problem(503, "kms_unavailable");
        story.world.tick().await;
        story.world.pass(300);
    }
    assert_eq!(story.asked(), 0, "nothing is spent that cannot be kept");
    let stored = story.stored().await;
    assert_eq!(stored.status, ConnectionStatus::Active);
    assert_eq!((stored.failures, stored.open_attempts), (0, 0));
    story.world.kms.become_state(KmsState::Serving);
    story.is_kept().await;
}

#[tokio::test]
async fn f32_a_kms_that_does_not_answer_costs_no_token() {
    at_every_provider(async |story| {
        story.world.kms.become_state(KmsState::Unavailable);
        without_keys(story).await;
    })
    .await;
}

#[tokio::test]
async fn f32_keys_that_are_in_memory_serve_on() {
    at_every_provider(async |story| {
        let soon = [("expires_in".to_owned(), json!(200))].into_iter();
        story.provider_does(Behaviour::Amend {
            set: soon.collect(),
            remove: Vec::new(),
        });
        story.ask().await.expect_status(200);
        story.world.kms.become_state(KmsState::Unavailable);
        story.world.pass(200);
        story.ask().await.expect_status(200);
        assert_eq!(story.asked(), 2);
        story.world.kms.become_state(KmsState::Serving);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f33_a_disabled_kms_key_stops_everything_and_makes_nobody_reconnect() {
    at_every_provider(async |story| {
        story.world.kms.become_state(KmsState::Refused);
        without_keys(story).await;
    })
    .await;
}

/// The keys that opened a token set are held until its successor is sealed, however long that
/// takes and whatever becomes of the cache.
#[tokio::test]
async fn f34_keys_that_go_after_the_rotation_have_sealed_what_it_brought() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::ProcessThenHold);
        let refresh = story.ask();
        let keys_go = async {
            story.world.provider.wait_until_held(1).await;
            story.world.kms.become_state(KmsState::Refused);
            story.world.pass(400);
            story.world.provider.release();
        };
        let (answer, ()) = join(refresh, keys_go).await;
        answer.expect_status(200);
        assert_eq!(story.stored().await.generation, 2);
        story.world.kms.become_state(KmsState::Serving);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f35_a_ciphertext_that_does_not_open_is_kept_refused_and_not_tried_every_minute() {
    at_every_provider(async |story| {
        let bob = story.world.stored("bob", &story.connector).await;
        let (sealed, validity) = (bob.unwrap().sealed.unwrap(), story.stored().await.validity);
        story.intrude(sealed, validity).await;
        let before = story.stored().await;
        for _ in 0..60 {
            story.world.tick().await;
            story.world.pass(60);
        }
        assert!(
            (1..=2).contains(&story.logged("do not open")),
            "by the sweep"
        );
        story.ask().await.expect_problem(500, "internal");
        let after = story.stored().await;
        assert_eq!(after.sealed, before.sealed, "for a person to look at");
        assert_eq!(after.generation, before.generation);
        assert_eq!(after.status, ConnectionStatus::Active);
        let grants = story.world.provider.grants();
        assert_eq!(story.asked(), grants[1].refreshes, "bob's");
        // The user has a way out.
        story.world.connect("alice", &story.connector).await;
        story.world.pass(HOUR);
        story.is_kept().await;
    })
    .await;
}

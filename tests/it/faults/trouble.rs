//! Answers that are lost, late, or none at all (F8 to F16).

use shared::domain::connection::ConnectionStatus;
use shared::refresh::NotFresh;
use testkit::fake_as::Behaviour;

use super::detour::Detour;
use super::{Ending, HOUR, Kind, LEASE_OVER, Story, at_every_provider, lost};

#[tokio::test]
async fn f8_a_lost_answer_loses_the_grant_of_a_strict_provider_only() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::ProcessThenDrop);
        story.ask_in_vain().await;
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

/// Alice's request leaves, its client dies, and nobody knows where the request is.
async fn request_on_its_way(story: &Story) {
    story.provider_does(Behaviour::Hang);
    tokio::select! {
        answer = story.ask() => panic!("nobody has answered: {answer:?}"),
        () = story.world.provider.wait_until_held(1) => {}
    }
}

/// What held a request back lets go, and the provider has handled it.
async fn arrives(story: &Story) {
    let before = story.world.provider.grants();
    assert_eq!(story.world.provider.release(), 1);
    while story.world.provider.grants() == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn f9_a_request_that_arrives_late_has_arrived_before_the_next_is_sent() {
    at_every_provider(async |story| {
        request_on_its_way(story).await;
        story.world.pass(10);
        arrives(story).await;
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

/// Where tokens are good for one use, no protocol can tell this from a theft. A provider with a
/// grace gives the late request tokens that nobody hears of, and the stored ones a minute.
#[tokio::test]
async fn f9_a_request_that_arrives_after_its_retry_ends_a_grant_whose_tokens_rotate() {
    at_every_provider(async |story| {
        request_on_its_way(story).await;
        story.world.pass(LEASE_OVER);
        if story.kind == Kind::Strict {
            // First the tokens of whoever has not reported are waited for.
            story.ask_in_vain().await;
            story.world.pass(LEASE_OVER);
        }
        story.ask().await.expect_status(200);
        arrives(story).await;
        story.world.pass(HOUR);
        let lost = || lost("grant_revoked");
        story.ends(lost(), lost(), Ending::Kept).await;
    })
    .await;
}

#[tokio::test]
async fn f10_a_provider_that_fails_for_hours_makes_nobody_reconnect() {
    for status in [500, 502, 503, 504] {
        at_every_provider(async |story| {
            story.provider_keeps(Behaviour::Respond {
                status,
                headers: Vec::new(),
                body: "<html>out of order".to_owned(),
            });
            fails_for_hours(story, 40).await;
        })
        .await;
    }
}

/// Nobody is declared dead while the provider does what it was told, and it is asked this often
/// at most.
async fn fails_for_hours(story: &Story, at_most: u64) {
    for _ in 0..60 {
        story.ask_in_vain().await;
        story.world.pass(120);
        story.deliver().await;
    }
    let stored = story.stored().await;
    assert!(stored.status.is_live(), "{:?}", stored.status);
    let asked = story.asked();
    assert!((2..=at_most).contains(&asked), "{asked} requests in 2 h");
    story.world.provider.clear_script();
    story.is_kept().await;
}

#[tokio::test]
async fn f11_a_provider_that_names_a_time_is_not_asked_before() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::RetryAfter {
            status: 429,
            seconds: Some(120),
        });
        let refused = story.ask().await;
        let refused = refused.expect_problem(503, "provider_unavailable");
        assert_eq!(refused.headers["retry-after"], "120");
        story.world.pass(119);
        story.ask_in_vain().await;
        assert_eq!(story.asked(), 1);
        story.world.pass(1);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f12_a_provider_that_throttles_without_naming_a_time_is_asked_ever_more_rarely() {
    at_every_provider(async |story| {
        story.provider_keeps(Behaviour::RetryAfter {
            status: 429,
            seconds: None,
        });
        fails_for_hours(story, 12).await;
    })
    .await;
}

#[tokio::test]
async fn f13_a_request_that_was_never_sent_has_spent_nothing_and_blocks_nobody() {
    at_every_provider(async |story| {
        let unplugged = Detour::to_a_closed_port(story);
        for _ in 0..60 {
            let refused = story.ask_of(&unplugged).await.unwrap_err();
            assert!(matches!(refused, NotFresh::ProviderUnavailable { .. }));
            story.world.pass(60);
        }
        let stored = story.stored().await;
        assert_eq!(stored.status, ConnectionStatus::Active);
        assert!(!stored.has_lost_outcome());
        assert_eq!(story.asked(), 0);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f13_who_was_not_reached_is_asked_again_within_seconds() {
    at_every_provider(async |story| {
        let unplugged = Detour::to_a_closed_port(story);
        story.ask_of(&unplugged).await.unwrap_err();
        story.world.pass(5);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f15_an_answer_that_is_no_token_set_is_an_unknown_outcome() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::Garbage);
        story.ask_in_vain().await;
        assert!(story.stored().await.has_lost_outcome());
        story.is_kept().await;
    })
    .await;
    at_every_provider(async |story| {
        story.provider_does(Behaviour::TruncatedJson);
        story.ask_in_vain().await;
        let lost = lost("refresh_outcome_lost");
        story.ends(lost, Ending::Kept, Ending::Kept).await;
    })
    .await;
}

#[tokio::test]
async fn f16_an_answer_of_100_mb_is_cut_off_and_a_compressed_one_is_not_unpacked() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::HugeBody { bytes: 100 << 20 });
        story.ask_in_vain().await;
        story.is_kept().await;
    })
    .await;
    at_every_provider(async |story| {
        story.provider_does(Behaviour::Respond {
            status: 200,
            headers: vec![("content-encoding".to_owned(), "gzip".to_owned())],
            body: "\u{1f}what would unpack to gigabytes".to_owned(),
        });
        story.ask_in_vain().await;
        story.is_kept().await;
    })
    .await;
}

/// Nor is any of it a reason to do nothing for longer than an hour.
#[tokio::test]
async fn f10_a_provider_that_was_down_for_a_day_is_asked_within_the_hour() {
    at_every_provider(async |story| {
        story.provider_keeps(Behaviour::RefuseBeforeProcessing);
        for _ in 0..48 {
            story.ask_in_vain().await;
            story.world.pass(HOUR / 2);
        }
        story.world.provider.clear_script();
        story.world.pass(HOUR / 2);
        story.ask().await.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

//! Ways to get a refresh wrong that others have found (B4, B7, B11, B12, B15).

use futures_util::future::join;
use serde_json::json;
use testkit::fake_as::{Behaviour, GrantState};

use super::{HOUR, Story, at_every_provider};
use crate::world::{Call, World};

/// B4: whoever waits in vain does not go ahead without the lease.
#[tokio::test]
async fn b4_a_waiter_gives_up_and_asks_nobody() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::Hang);
        let holder = story.ask();
        let waiters = async {
            story.world.provider.wait_until_held(1).await;
            for _ in 0..3 {
                story.ask_in_vain().await;
            }
            assert_eq!(story.asked(), 1);
            story.world.provider.release();
        };
        let (held, ()) = join(holder, waiters).await;
        held.expect_status(200);
        story.is_kept().await;
    })
    .await;
}

/// B7: what a refresh brought is what the next one spends.
#[tokio::test]
async fn b7_each_refresh_spends_what_the_last_one_brought() {
    at_every_provider(async |story| {
        for _ in 0..5 {
            story.ask().await.expect_status(200);
            story.world.pass(HOUR);
        }
        let mut spent: Vec<_> = story.world.provider.requests();
        spent.retain(|request| request.field("grant_type") == Some("refresh_token"));
        let mut spent: Vec<_> = spent.iter().map(|it| it.field("refresh_token")).collect();
        assert_eq!(spent.len(), 5);
        spent.dedup();
        assert_eq!(spent.len(), story.kind.of(5, 5, 1));
        story.is_kept().await;
    })
    .await;
}

/// B11: nothing that is looked at, changed or begun spends a token before there is a connection
/// to keep what it brings.
#[tokio::test]
async fn b11_the_token_endpoint_is_asked_to_redeem_refresh_and_revoke_and_for_nothing_else() {
    let world = World::start().await;
    let asked = || world.provider.counters().total;
    let connector = world.connector(&["read"]).await;
    let path = format!("/v1/connectors/{connector}");
    for read in [
        path.clone(),
        format!("{path}/connections"),
        "/v1/connectors".into(),
    ] {
        let read = Call::get(&read).admin_of("acme");
        world.send(read).await.expect_status(200);
    }
    let change = Call::patch(&path)
        .admin_of("acme")
        .header("if-match", "\"1\"")
        .json(&json!({"name": "Other files"}));
    world.send(change).await.expect_status(200);
    let code = world.authorize("alice", "alice", &connector).await;
    world.tick().await;
    assert_eq!((asked().token, asked().revoke), (0, 0));
    world.complete("alice", &code).await.expect_status(200);
    assert_eq!((asked().redemptions(), asked().token), (1, 1));
    // Nor does looking at a connection, while its token is fresh.
    world.status("alice", &connector).await;
    world.token("alice", &connector).await;
    world.tick().await;
    assert_eq!(asked().token, 1);
    world.disconnect("alice", &connector).await;
    assert_eq!((asked().token, asked().revoke), (1, 1));
}

/// B12: a token ages from when it was issued, whoever reads it how often.
#[tokio::test]
async fn b12_an_expiry_is_an_instant_and_does_not_move_with_its_reader() {
    at_every_provider(async |story| {
        let first = story.ask().await.expect_status(200);
        for _ in 0..3 {
            story.world.pass(1000);
            let again = story.ask().await.expect_status(200);
            assert_eq!(again.body, first.body);
            assert_eq!(again.body.get("expires_in"), None);
        }
        assert_eq!(story.asked(), 1);
        story.world.pass(541);
        let fresh = story.ask().await.expect_status(200);
        assert_ne!(fresh.body["expires_at"], first.body["expires_at"]);
        story.is_kept().await;
    })
    .await;
}

/// B15: the provider would still take the old token, and does not get to see it.
#[tokio::test]
async fn b15_a_retry_within_grace_brings_no_disconnected_grant_back() {
    at_every_provider(async |story| {
        story.provider_does(Behaviour::ProcessThenDrop);
        story.ask_in_vain().await;
        disconnected(story).await;
        story.world.pass(22);
        story.deliver().await;
        story.world.tick().await;
        let bobs = story.world.provider.grants()[1].refreshes;
        assert_eq!(story.asked(), 1 + bobs);
        assert!(story.stored().await.status.is_gone());
        assert_eq!(
            story.world.provider.grant_state("alice"),
            GrantState::Revoked
        );
    })
    .await;
}

async fn disconnected(story: &Story) {
    let answer = story.world.disconnect("alice", &story.connector).await;
    answer.expect_status(200);
    let refused = story.ask().await;
    refused.expect_problem(404, "not_connected");
}

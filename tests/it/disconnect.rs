//! Stories of disconnecting (faults K1 to K13).

use serde_json::json;
use testkit::fake_as::{Behaviour, Endpoint, GrantState};
use testkit::fake_kms::KmsState;

use crate::world::{Call, World};

async fn connected() -> (World, String) {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    (world, connector)
}

#[tokio::test]
async fn k1_a_disconnect_stops_hand_out_revokes_and_erases() {
    let (world, connector) = connected().await;
    let answer = world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(
        answer.body,
        json!({"status": "disconnected", "revocation": "revoked"})
    );
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "not_connected"
    );
    assert!(
        world
            .stored("alice", &connector)
            .await
            .unwrap()
            .sealed
            .is_none()
    );
    assert_eq!(world.bus.types().last(), Some(&"connection.disconnected"));
}

#[tokio::test]
async fn k9_disconnecting_twice_or_without_a_connection_is_no_error() {
    let (world, connector) = connected().await;
    for _ in 0..2 {
        world
            .disconnect("alice", &connector)
            .await
            .expect_status(200);
    }
    world.disconnect("bob", &connector).await.expect_status(200);
    world
        .disconnect("alice", "never-heard-of")
        .await
        .expect_status(200);
    assert_eq!(world.provider.counters().total.revoke, 1);
    let told = world
        .bus
        .types()
        .into_iter()
        .filter(|kind| *kind == "connection.disconnected");
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn k4_a_provider_that_does_not_confirm_is_asked_again_in_the_background() {
    let (world, connector) = connected().await;
    let busy = Behaviour::RetryAfter {
        status: 503,
        seconds: Some(90),
    };
    world.provider.push(Endpoint::Revoke, busy);
    let answer = world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(
        answer.body,
        json!({"status": "disconnected"}),
        "no outcome yet"
    );
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
    world.pass(60);
    world.tick_revoker().await;
    assert_eq!(
        world.provider.counters().total.revoke,
        1,
        "not before it asked for"
    );
    world.pass(60);
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
    world.pass(3600);
    world.tick_revoker().await;
    assert_eq!(world.provider.counters().total.revoke, 2);
}

#[tokio::test]
async fn k7_after_a_day_the_ciphertext_is_erased_whatever_the_provider_says() {
    let (world, connector) = connected().await;
    let down = Behaviour::Respond {
        status: 503,
        headers: vec![],
        body: String::new(),
    };
    world.provider.always(Endpoint::Revoke, down);
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    for _ in 0..26 {
        world.pass(3600);
        world.tick_revoker().await;
    }
    let asked = world.provider.counters().total.revoke;
    assert!((20..=40).contains(&asked), "{asked}");
    world.pass(24 * 3600);
    world.tick_revoker().await;
    assert_eq!(world.provider.counters().total.revoke, asked, "given up");
    let stored = world.stored("alice", &connector).await.unwrap();
    assert!(
        matches!(
            stored.status,
            shared::domain::connection::ConnectionStatus::Disconnected {
                outcome: shared::domain::connection::RevocationOutcome::Failed,
                ..
            }
        ),
        "{:?}",
        stored.status
    );
}

#[tokio::test]
async fn k6_a_provider_without_revocation_is_local_only_and_says_so() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["config"].as_object_mut().unwrap().remove("revoke_url");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.expect_status(201).text("id");
    world.connect("alice", &connector).await;
    let answer = world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(answer.text("revocation"), "unsupported");
}

#[tokio::test]
async fn k11_a_disconnect_needs_no_kms_and_revokes_when_it_is_back() {
    let (world, connector) = connected().await;
    world.kms.become_state(KmsState::Refused);
    world.pass(301);
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    world.kms.become_state(KmsState::Serving);
    world.pass(61);
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
}

#[tokio::test]
async fn an_apps_back_end_and_an_admin_can_disconnect_a_user() {
    let (world, connector) = connected().await;
    world.connect("bob", &connector).await;
    let path = format!("/v1/users/alice/connections/{connector}");
    let key = world.key_of("acme", "shop");
    world
        .send(Call::delete(&path))
        .await
        .expect_problem(401, "unauthenticated");
    let status = Call::get("/v1/users/alice/connections");
    world
        .send(status.clone())
        .await
        .expect_problem(401, "unauthenticated");
    let status = world.send(status.bearer(&key)).await.expect_status(200);
    assert_eq!(status.body["items"][0]["status"], "connected");
    assert_eq!(status.body["items"][0].get("access_token"), None);
    world
        .send(Call::delete(&path).bearer(&key))
        .await
        .expect_status(200);
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);

    let connections = format!("/v1/connectors/{connector}/connections");
    let list = world
        .send(Call::get(&connections).admin_of("acme"))
        .await
        .expect_status(200);
    let items = list.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["user_id"], "bob");
    let bob = format!(
        "{connections}/{}",
        items[0]["connection_id"].as_str().unwrap()
    );
    world
        .send(Call::delete(&bob).admin_of("acme"))
        .await
        .expect_status(200);
    assert_eq!(world.provider.grant_state("bob"), GrantState::Revoked);
    let unknown = format!("{connections}/unknown");
    world
        .send(Call::delete(&unknown).admin_of("acme"))
        .await
        .expect_problem(404, "not_found");
}

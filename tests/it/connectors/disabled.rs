//! Connectors that an admin has disabled, and enabled again.

use serde_json::json;

use crate::world::{Answer, Call, RETURN, World};

async fn switch(world: &World, connector: &str, to: &str) -> Answer {
    let path = format!("/v1/connectors/{connector}/{to}");
    world.send(Call::post(&path).admin_of("acme")).await
}

fn token_requests(world: &World) -> u64 {
    world.provider.counters().total.token
}

#[tokio::test]
async fn a_disabled_connector_hands_out_nothing_and_goes_on_where_it_was() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let token = world.token("alice", &connector).await;
    let code = world.authorize("bob", "bob", &connector).await;
    let link = world.begin("carol", &connector).await;
    let asked = token_requests(&world);

    let disabled = switch(&world, &connector, "disable").await;
    assert_eq!(disabled.expect_status(200).text("status"), "disabled");
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "connector_disabled");
    let begin = json!({"connector_id": connector, "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").user("dave").json(&begin);
    world
        .send(begin)
        .await
        .expect_problem(409, "connector_disabled");
    world.send(Call::get(&link)).await.expect_status(410);
    world
        .complete("bob", &code)
        .await
        .expect_problem(409, "connector_disabled");
    assert!(world.stored("bob", &connector).await.is_none());
    let status = world.status("alice", &connector).await;
    assert_eq!(
        (&status["status"], &status["connector_disabled"]),
        (&json!("connected"), &json!(true))
    );
    assert_eq!(token_requests(&world), asked);

    let enabled = switch(&world, &connector, "enable").await;
    assert_eq!(enabled.expect_status(200).text("status"), "enabled");
    assert_eq!(world.token("alice", &connector).await, token);
    let status = world.status("alice", &connector).await;
    assert_eq!(status["connector_disabled"], json!(null));
    world.connect("bob", &connector).await;
}

#[tokio::test]
async fn to_disable_twice_is_to_disable_once() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for to in ["disable", "enable"] {
        let first = switch(&world, &connector, to).await.expect_status(200);
        let second = switch(&world, &connector, to).await.expect_status(200);
        assert_eq!(second.body, first.body);
        assert_eq!(second.headers["etag"], first.headers["etag"]);
    }
    assert_eq!(
        world.bus.types(),
        [
            "connector.created",
            "connector.disabled",
            "connector.enabled"
        ]
    );
    let audit = Call::get("/v1/audit?action=connector.disabled").admin_of("acme");
    let audit = world.send(audit).await.expect_status(200);
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(audit.body["items"][0]["connector_id"], json!(connector));
}

#[tokio::test]
async fn what_is_due_meanwhile_is_set_aside_without_a_request_and_comes_again() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    switch(&world, &connector, "disable").await;
    let asked = token_requests(&world);
    for _ in 0..5 {
        world.pass(7200);
        assert_eq!(world.tick().await, json!({"postponed": 1}));
        assert_eq!(world.tick().await, json!({}), "nothing spins");
    }
    assert_eq!(token_requests(&world), asked);

    switch(&world, &connector, "enable").await;
    world.pass(7200);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    assert_eq!(token_requests(&world), asked + 1);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn a_look_up_refreshes_as_soon_as_the_connector_is_enabled() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let token = world.token("alice", &connector).await;
    switch(&world, &connector, "disable").await;
    world.pass(7200);
    world.tick().await;
    switch(&world, &connector, "enable").await;
    assert_ne!(world.token("alice", &connector).await, token);
    // The entry that was set aside is found stale when it is due.
    world.pass(2 * 3600);
    world.tick().await;
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn an_entry_that_was_set_aside_ends_with_its_connection() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    switch(&world, &connector, "disable").await;
    world.pass(7200);
    assert_eq!(world.tick().await, json!({"postponed": 1}));
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    world.pass(7200);
    assert_eq!(world.tick().await, json!({"gone": 1}));
    world.pass(7200);
    assert_eq!(world.tick().await, json!({}));
}

#[tokio::test]
async fn a_disabled_connector_can_be_changed_and_deleted_and_stays_disabled() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let disabled = switch(&world, &connector, "disable").await;
    let path = format!("/v1/connectors/{connector}");
    let rename = Call::patch(&path)
        .admin_of("acme")
        .header("if-match", &disabled.headers["etag"])
        .json(&json!({"name": "Drive"}));
    let renamed = world.send(rename).await.expect_status(200);
    assert_eq!(renamed.text("status"), "disabled");

    let delete = Call::delete(&format!("{path}?confirm=Drive")).admin_of("acme");
    world.send(delete).await.expect_status(202);
    switch(&world, &connector, "enable")
        .await
        .expect_problem(409, "conflict");
    world.pass(61);
    for _ in 0..2 {
        world.tick_revoker().await;
    }
    assert_eq!(
        world.provider.grant_state("alice"),
        testkit::fake_as::GrantState::Revoked
    );
    let view = Call::get(&path).admin_of("acme");
    world.send(view).await.expect_problem(404, "not_found");
}

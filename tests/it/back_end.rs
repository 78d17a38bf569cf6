//! What an app's back end does for its users: it begins to connect them, and forgets them.

use serde_json::{Value, json};
use testkit::fake_as::{Behaviour, Endpoint, When};

use crate::world::{Answer, Call, RETURN, World};

async fn send(world: &World, call: Call) -> Answer {
    world.send(call.bearer(&world.key_of("acme", "shop"))).await
}

fn begin(user: &str, connector: &str) -> Call {
    let body = json!({"connector_id": connector, "return_url": RETURN});
    Call::post(&format!("/v1/users/{user}/connections")).json(&body)
}

async fn erase(world: &World, user: &str) -> Value {
    let erased = send(world, Call::delete(&format!("/v1/users/{user}"))).await;
    erased.expect_status(202).body
}

/// Follows a link that a back end got, to the completion code.
async fn walk(world: &World, begun: &Answer, account: &str) -> String {
    let link = begun.text("connect_url");
    let link = link.strip_prefix(crate::world::API).unwrap();
    let (url, cookie) = world.follow(link).await;
    let callback = world.consent(&url, account).await;
    let returned = world.send(Call::get(&callback).cookie(&cookie)).await;
    returned.location_params()["code"].clone()
}

#[tokio::test]
async fn h01_a_flow_that_a_back_end_began_is_finished_by_its_user_alone() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let begun = send(&world, begin("alice", &connector)).await;
    let code = walk(&world, &begun.expect_status(201), "alice").await;
    // Neither the key nor another user can, and who tries spoils the code.
    let body = json!({"code": code});
    let complete = || Call::post("/v1/me/connections/complete").json(&body);
    let by_key = send(&world, complete()).await;
    by_key.expect_problem(401, "unauthenticated");
    let refused = world.complete("mallory", &code).await;
    refused.expect_problem(403, "user_mismatch");
    assert!(world.stored("alice", &connector).await.is_none());

    let begun = send(&world, begin("alice", &connector)).await;
    let code = walk(&world, &begun.expect_status(201), "alice").await;
    world.complete("alice", &code).await.expect_status(200);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn a_back_end_begins_under_the_same_rules_as_its_users() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let elsewhere = json!({"connector_id": connector, "return_url": "https://evil.example"});
    let path = "/v1/users/alice/connections";
    let refused = send(&world, Call::post(path).json(&elsewhere)).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "return_url");
    let unknown = send(&world, begin("alice", "unknown")).await;
    unknown.expect_problem(404, "not_found");
    let make = json!({"name": "reads", "scopes": ["tokens:read", "connections:read"]});
    let make = Call::post("/v1/apps/shop/keys")
        .admin_of("acme")
        .json(&make);
    let key = world.send(make).await.text("key");
    for call in [begin("alice", &connector), Call::delete("/v1/users/alice")] {
        let refused = world.send(call.bearer(&key)).await;
        let refused = refused.expect_problem(403, "insufficient_scope");
        assert_eq!(refused.text("required_scope"), "connections:write");
    }
    let other = begin("bob", &connector).on_behalf_of(&world.jwt("alice"));
    let refused = send(&world, other).await;
    refused.expect_problem(400, "invalid_request");
    let own = begin("alice", &connector).on_behalf_of(&world.jwt("alice"));
    send(&world, own).await.expect_status(201);
}

#[tokio::test]
async fn h88_who_is_erased_has_no_token_left_and_the_others_keep_theirs() {
    let world = World::start().await;
    world.register_app("acme", "blog").await;
    let (one, other) = (
        world.connector(&["read"]).await,
        world.connector(&["write"]).await,
    );
    for connector in [&one, &other] {
        for user in ["alice", "bob"] {
            world.connect(user, connector).await;
        }
    }
    world.connect_as(["acme", "blog", "alice"], &one).await;
    world.disconnect("alice", &other).await.expect_status(200);

    assert_eq!(erase(&world, "alice").await, json!({"disconnected": 1}));
    for connector in [&one, &other] {
        let gone = world.lookup("alice", connector).await;
        gone.expect_problem(404, "not_connected");
        let status = world.status("alice", connector).await;
        assert_eq!(status["status"], "not_connected");
        assert!(status.get("account_label").is_none(), "{status}");
        let left = world.stored("alice", connector).await.unwrap();
        assert!(left.is_forgotten() && left.sealed.is_none(), "{left:?}");
        world.token("bob", connector).await;
    }
    // The user of this name in another app is another one.
    let body = json!({"connector_id": one, "user_id": "alice"});
    let blog = world.key_of("acme", "blog");
    let read = Call::post("/v1/tokens").bearer(&blog).json(&body);
    world.send(read).await.expect_status(200);

    // The provider is told in the background.
    let before = world.provider.counters().total.revoke;
    let report = world.tick_revoker().await;
    assert_eq!(report["revoked"], 1);
    assert!(world.provider.counters().total.revoke > before);
    assert!(world.stored("alice", &one).await.unwrap().is_forgotten());
    // And a user who comes back is welcome.
    world.connect("alice", &one).await;
    world.token("alice", &one).await;
}

#[tokio::test]
async fn an_erasure_is_told_once_and_each_connections_end_as_well() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(1);
    for expected in [1, 0, 0] {
        assert_eq!(
            erase(&world, "alice").await,
            json!({ "disconnected": expected })
        );
        world.pass(1);
    }
    assert_eq!(erase(&world, "nobody").await, json!({"disconnected": 0}));
    let types = world.bus.types();
    let ended = types.iter().filter(|it| **it == "connection.disconnected");
    assert_eq!(ended.count(), 1);
    let audit = Call::get("/v1/audit?user_id=alice").admin_of("acme");
    let audit = world.send(audit).await.expect_status(200);
    let items = audit.body["items"].as_array().unwrap();
    let of = |action: &str| {
        let found = items.iter().filter(|item| item["action"] == action);
        found.cloned().collect::<Vec<_>>()
    };
    let erased = of("user.erased");
    assert_eq!(erased.len(), 1);
    assert_eq!(erased[0]["actor"]["kind"], "app_key");
    assert_eq!(erased[0]["app_id"], "shop");
    assert_eq!(of("connection.disconnected").len(), 1);
    let nobody = Call::get("/v1/audit?user_id=nobody").admin_of("acme");
    assert_eq!(world.send(nobody).await.body["items"], json!([]));
}

/// A refresh that was under way brings tokens that nobody may have any more.
#[tokio::test]
async fn h88_a_refresh_under_way_stores_nothing_of_who_was_erased() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenHold);
    let lookup = world.lookup("alice", &connector);
    let erasing = async {
        world.provider.wait_until_held(1).await;
        let erased = erase(&world, "alice").await;
        world.provider.release();
        erased
    };
    let (found, erased) = futures_util::future::join(lookup, erasing).await;
    assert_eq!(erased, json!({"disconnected": 1}));
    found.expect_problem(404, "not_connected");
    assert!(
        world
            .stored("alice", &connector)
            .await
            .unwrap()
            .sealed
            .is_none()
    );
}

/// What the provider does not take at once is asked of it again, and nothing is handed out
/// meanwhile.
#[tokio::test]
async fn h88_a_provider_that_is_away_keeps_nobody_from_being_erased() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let away = Behaviour::Respond {
        status: 503,
        headers: vec![],
        body: String::new(),
    };
    world.provider.push(Endpoint::Revoke, away);
    assert_eq!(erase(&world, "alice").await, json!({"disconnected": 1}));
    assert_eq!(world.tick_revoker().await["postponed"], 1);
    let gone = world.lookup("alice", &connector).await;
    gone.expect_problem(404, "not_connected");
    world.pass(60);
    assert_eq!(world.tick_revoker().await["revoked"], 1);
}

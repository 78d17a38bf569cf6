//! Stories of token look-ups: what is handed out, what is refused, and what it costs.

use futures_util::future::join_all;
use serde_json::json;
use testkit::fake_as::{Behaviour, When};
use testkit::fake_kms::KmsState;

use crate::world::{Call, World};

#[tokio::test]
async fn a_fresh_token_costs_one_round_trip_no_kms_call_and_one_write_an_hour() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
    let kms = world.kms.calls();
    let noted = world
        .stored("alice", &connector)
        .await
        .unwrap()
        .last_read_at;
    assert!(noted.is_some());
    for _ in 0..10 {
        world.pass(60);
        world.token("alice", &connector).await;
    }
    // Ten minutes are two key life times.
    assert!(world.kms.calls() - kms <= 2, "{}", world.kms.calls() - kms);
    assert_eq!(
        world
            .stored("alice", &connector)
            .await
            .unwrap()
            .last_read_at,
        noted
    );
    assert_eq!(world.provider.counters().total.refreshes(), 0);
}

#[tokio::test]
async fn nobody_without_a_live_key_of_the_app_gets_a_token() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let key = world.key_of("acme", "shop");
    let mut other = key.clone();
    other.replace_range(key.len() - 1.., if key.ends_with('A') { "B" } else { "A" });
    let wrong = [
        Call::post("/v1/tokens"),
        Call::post("/v1/tokens").bearer(""),
        Call::post("/v1/tokens").bearer("grantry_sk_"),
        Call::post("/v1/tokens").bearer(&other),
        Call::post("/v1/tokens").header("authorization", &key),
        Call::post("/v1/tokens").header("authorization", &format!("Basic {key}")),
        // Verified claims are not what this route asks for.
        Call::post("/v1/tokens").admin_of("acme"),
        Call::post("/v1/tokens").user("alice"),
    ];
    for call in wrong {
        let refused = world
            .send(call.json(&body))
            .await
            .expect_problem(401, "unauthenticated");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn h20_a_key_that_names_another_workspace_or_app_is_no_key_there() {
    let world = World::start().await;
    world.register_app("globex", "shop").await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    // Globex's secret under acme's name: the hash of the whole key is not that of a key.
    let globex = world.key_of("globex", "shop");
    let forged = globex.replace("globex.shop", "acme.shop");
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let call = |key: &str| Call::post("/v1/tokens").bearer(key).json(&body);
    world
        .send(call(&forged))
        .await
        .expect_problem(401, "unauthenticated");
    world
        .send(call(&globex))
        .await
        .expect_problem(404, "not_connected");
}

/// F45.
#[tokio::test]
async fn h71_a_thousand_lookups_of_an_expired_token_make_one_provider_call() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let old = world.token("alice", &connector).await;
    world.pass(3600);
    let answers = join_all((0..1000).map(|_| world.lookup("alice", &connector))).await;
    assert_eq!(world.provider.counters().total.refreshes(), 1);
    let new = world.token("alice", &connector).await;
    assert_ne!(new, old);
    for answer in answers {
        match answer.status {
            200 => assert_eq!(answer.text("access_token"), new),
            _ => {
                let busy = answer.expect_problem(503, "provider_unavailable");
                assert!(busy.headers.contains_key("retry-after"));
            }
        }
    }
}

#[tokio::test]
async fn h70_min_ttl_is_met_or_the_token_is_refreshed() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let first = world.token("alice", &connector).await;
    world.pass(3540);
    assert_eq!(
        world.token("alice", &connector).await,
        first,
        "exactly 60 s are left"
    );
    let body = json!({"connector_id": connector, "user_id": "alice", "min_ttl": 61});
    let second = world
        .lookup_with(body)
        .await
        .expect_status(200)
        .text("access_token");
    assert_ne!(second, first);
    for min_ttl in [json!(3601), json!(-1), json!("a while")] {
        let body = json!({"connector_id": connector, "user_id": "alice", "min_ttl": min_ttl});
        let refused = world
            .lookup_with(body)
            .await
            .expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "min_ttl");
    }
}

#[tokio::test]
async fn widened_scopes_make_lookups_409_until_the_user_reconnects() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    set_scopes(&world, &connector, json!(["read", "write"])).await;
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "scopes_changed");
    let status = world.status("alice", &connector).await;
    assert_eq!(status["status"], "reconnect_required");
    assert_eq!(status["missing_scopes"], json!(["write"]));
    // A caller who needs only what was granted is served.
    let covered = json!({"connector_id": connector, "user_id": "alice", "scopes": ["read"]});
    world.lookup_with(covered).await.expect_status(200);

    world.connect("alice", &connector).await;
    world.lookup("alice", &connector).await.expect_status(200);
    // Narrowing forces nobody.
    set_scopes(&world, &connector, json!(["read"])).await;
    world.lookup("alice", &connector).await.expect_status(200);
}

/// F46.
#[tokio::test]
async fn h38_tokens_are_not_sent_to_a_connectors_new_endpoint() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let evil = testkit::fake_as::FakeAs::start(testkit::fake_as::FakeAsConfig::new(
        std::sync::Arc::new(|| 0),
    ))
    .await;
    let mut config = world.connector_body(&[])["config"].clone();
    config["token_url"] = json!(format!("{}/token", evil.url()));
    config["revoke_url"] = json!(format!("{}/revoke", evil.url()));
    let change = json!({"config": config, "client_secret": "client-secret"});
    update(&world, &connector, change).await;

    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "connector_changed");
    world.pass(3600);
    world.tick().await;
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    world.tick_revoker().await;
    assert_eq!(evil.requests().len(), 0);
}

/// F33.
#[tokio::test]
async fn h46_a_disabled_kms_key_stops_hand_out_within_the_key_life_time() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
    world.kms.become_state(KmsState::Refused);
    world.pass(300);
    let refused = world.lookup("alice", &connector).await;
    let refused = refused.expect_problem(503, "kms_unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    world.kms.become_state(KmsState::Serving);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn f10_a_provider_that_is_down_is_a_503_and_no_reason_to_reconnect() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    let down = Behaviour::Respond {
        status: 502,
        headers: vec![],
        body: "<html>".into(),
    };
    world.provider.push(When::refreshing(), down);
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    let wait: u64 = refused.headers["retry-after"].parse().unwrap();
    // Nobody asks again before the settle time is over.
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert_eq!(world.provider.counters().total.refreshes(), 1);
    world.pass(wait);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn f11_a_provider_that_asks_to_wait_is_left_alone_that_long() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    let wait = Behaviour::RetryAfter {
        status: 429,
        seconds: Some(120),
    };
    world.provider.push(When::refreshing(), wait);
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert!(refused.headers["retry-after"].parse::<u64>().unwrap() >= 119);
    world.pass(100);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert_eq!(world.provider.counters().total.refreshes(), 1);
    world.pass(21);
    world.token("alice", &connector).await;
}

/// Changes a connector's scopes as an admin.
pub(crate) async fn set_scopes(world: &World, connector: &str, scopes: serde_json::Value) {
    update(world, connector, json!({"scopes": scopes})).await;
}

async fn update(world: &World, connector: &str, change: serde_json::Value) {
    let changed = world.change_connector(connector, &change).await;
    changed.expect_status(200);
}

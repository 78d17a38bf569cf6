//! Stories of API keys: how many there may be, what each is for, and how a leaked one is found.

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::tidy::source::read;
use crate::world::{Answer, Call, World};

const KEYS: &str = "/v1/apps/shop/keys";

async fn make(world: &World, body: Value) -> Answer {
    let make = Call::post(KEYS).admin_of("acme").json(&body);
    world.send(make).await
}

#[tokio::test]
async fn h86_a_third_key_is_refused_until_one_of_the_two_is_removed() {
    let world = World::start().await;
    // The world's own is the first.
    let second = make(&world, json!({"name": "second"})).await;
    let second = second.expect_status(201).text("id");
    let third = json!({"name": "third"});
    make(&world, third.clone())
        .await
        .expect_problem(409, "too_many_keys");
    let remove = Call::delete(&format!("{KEYS}/{second}")).admin_of("acme");
    world.send(remove).await.expect_status(204);
    make(&world, third).await.expect_status(201);
}

#[tokio::test]
async fn h86_a_key_is_good_for_its_scopes_alone() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let disconnect = format!("/v1/users/alice/connections/{connector}");
    // The last one ends what the others ask about.
    let calls = [
        ("tokens:read", Call::post("/v1/tokens").json(&body)),
        ("connections:read", Call::get("/v1/users/alice/connections")),
        ("connections:write", Call::delete(&disconnect)),
    ];
    for (scope, own) in &calls {
        let made = make(&world, json!({"name": scope, "scopes": [scope]})).await;
        let made = made.expect_status(201);
        assert_eq!(made.body["scopes"], json!([scope]));
        let key = made.text("key");
        for (other, call) in calls.iter().filter(|(other, _)| other != scope) {
            let refused = world.send(call.clone().bearer(&key)).await;
            let refused = refused.expect_problem(403, "insufficient_scope");
            assert_eq!(refused.text("required_scope"), *other);
        }
        world
            .send(own.clone().bearer(&key))
            .await
            .expect_status(200);
        let remove = Call::delete(&format!("{KEYS}/{}", made.text("id")));
        world.send(remove.admin_of("acme")).await.expect_status(204);
    }
}

/// It would read like none, and a key for everything is what no scopes mean.
#[tokio::test]
async fn a_key_with_null_for_its_scopes_is_refused() {
    let world = World::start().await;
    let refused = make(&world, json!({"name": "second", "scopes": null})).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "scopes");
}

#[tokio::test]
async fn a_key_without_named_scopes_has_all_and_one_of_none_or_unknown_ones_is_refused() {
    let world = World::start().await;
    let listed = world.send(Call::get(KEYS).admin_of("acme")).await;
    assert_eq!(
        listed.expect_status(200).body["items"][0]["scopes"],
        json!(["tokens:read", "connections:read", "connections:write"])
    );
    for (scopes, field) in [
        (json!([]), "scopes"),
        (json!(["tokens:write"]), "scopes[0]"),
        (json!("tokens:read"), "scopes"),
    ] {
        let refused = make(&world, json!({"name": "odd", "scopes": scopes})).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

/// H-86: docs/SECURITY.md gives secret scanners an expression.
#[tokio::test]
async fn h86_a_secret_scanner_finds_a_key_by_the_documented_expression() {
    let security = read("docs/SECURITY.md");
    let expression = security.lines().find_map(|line| {
        let line = line.trim();
        line.starts_with("grantry_sk_[").then_some(line)
    });
    let expression = Regex::new(expression.expect("an expression")).unwrap();
    let world = World::start().await;
    world.register_app("a-workspace_1", "An-App_2").await;
    for (workspace, app) in [("acme", "shop"), ("a-workspace_1", "An-App_2")] {
        let key = world.key_of(workspace, app);
        let leaked = format!("const KEY = \"{key}\"; // to be removed");
        let found = expression.find(&leaked).map(|found| found.as_str());
        assert_eq!(found, Some(key.as_str()));
    }
    for harmless in ["grantry_sk_", "grantry_sk_w.a.short", "sk_live_51H"] {
        assert!(!expression.is_match(harmless), "{harmless}");
    }
}

//! Where an admin, or who runs a provider, would like our requests to go (A-13 to A-15, H-39).

use serde_json::{Value, json};
use shared::domain::provider_hosts::ProviderHosts;
use testkit::fake_as::{FakeAs, FakeAsConfig};

use crate::world::{Answer, Call, Limits, World};

async fn create(world: &World, body: &Value) -> Answer {
    let create = Call::post("/v1/connectors").admin_of("acme").json(body);
    world.send(create).await
}

async fn another_provider() -> FakeAs {
    FakeAs::start(FakeAsConfig::new(std::sync::Arc::new(|| 0))).await
}

#[tokio::test]
async fn a14_a_host_that_is_no_host_is_refused_where_the_connector_is_saved() {
    let world = World::start().await;
    for host in [
        "evil.example/",
        "evil.example#",
        "evil.example%2f",
        "evil.example",
        "a.b",
        "",
        "xn--a",
        &format!("{}.my.salesforce.com", "a".repeat(64)),
    ] {
        let mut body = world.connector_body(&["api"]);
        body["provider"] = json!("salesforce");
        body["config"] = json!({"host": host});
        let refused = create(&world, &body).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "config.host", "{host}");
    }
    assert_eq!(world.bus.types(), Vec::<&str>::new(), "nothing was saved");
}

/// Whichever of its endpoints changes: it is another provider, which gets nothing of what was
/// granted at the one before.
#[tokio::test]
async fn a15_no_endpoint_can_be_moved_under_tokens_that_are_there() {
    for field in [
        "authorize_url",
        "token_url",
        "revoke_url",
        "userinfo_url",
        "exchange_url",
    ] {
        let world = World::start().await;
        let mut body = world.connector_body(&["read"]);
        if field == "exchange_url" {
            body["config"]["exchange_grant_type"] = json!("x_exchange");
        }
        let connector = create(&world, &body).await.expect_status(201).text("id");
        world.connect("alice", &connector).await;

        let evil = another_provider().await;
        let mut change = json!({"config": body["config"]});
        change["config"][field] = json!(format!("{}/token", evil.url()));
        let refused = world.change_connector(&connector, &change).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(
            refused.body["errors"][0]["field"], "client_secret",
            "{field}"
        );

        change["client_secret"] = json!("client-secret");
        world
            .change_connector(&connector, &change)
            .await
            .expect_status(200);
        for _ in 0..2 {
            let refused = world.lookup("alice", &connector).await;
            let refused = refused.expect_problem(409, "reconnect_required");
            assert_eq!(refused.text("reason"), "connector_changed", "{field}");
            world.pass(3600);
            world.tick().await;
        }
        world
            .disconnect("alice", &connector)
            .await
            .expect_status(200);
        world.tick_revoker().await;
        assert_eq!(evil.requests().len(), 0, "{field}");
    }
}

#[tokio::test]
async fn h39_a_connector_is_saved_with_hosts_of_the_list_only() {
    let limits = Limits {
        hosts: ProviderHosts::parse("*.provider.example, github.com, api.github.com").unwrap(),
        ..Limits::default()
    };
    let world = World::limited(limits).await;
    let custom = |host: &str, userinfo: &str| {
        let mut body = world.connector_body(&["read"]);
        body["config"] = json!({
            "authorize_url": format!("https://{host}/authorize"),
            "token_url": format!("https://{host}/token"),
            "userinfo_url": format!("https://{userinfo}/me"),
        });
        body
    };
    let listed = "auth.provider.example";
    for body in [
        custom("evil.example", listed),
        custom(listed, "evil.example"),
    ] {
        let refused = create(&world, &body).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "config");
    }
    let of_catalogue = |provider: &str| {
        let mut body = world.connector_body(&["read"]);
        (body["provider"], body["config"]) = (json!(provider), json!({}));
        body
    };
    let refused = create(&world, &of_catalogue("google")).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "provider");
    create(&world, &of_catalogue("github"))
        .await
        .expect_status(201);

    let created = create(&world, &custom(listed, listed)).await;
    let connector = created.expect_status(201).text("id");
    let mut change = json!({"config": custom("evil.example", listed)["config"]});
    change["client_secret"] = json!("client-secret");
    let refused = world.change_connector(&connector, &change).await;
    refused.expect_problem(400, "invalid_request");
}

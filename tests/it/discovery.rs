//! Stories of connectors that are made from an issuer, and of issuers that lie.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::ports::Clock as _;
use testkit::fake_as::{Client, FakeAs, FakeAsConfig};

use crate::world::{API, Answer, Call, World};

/// What an admin sends who knows no more than the issuer.
fn by_issuer(world: &World, issuer: &str) -> Value {
    let mut body = world.connector_body(&["read"]);
    body["config"] = json!({"issuer": issuer});
    body
}

async fn create(world: &World, body: &Value) -> Answer {
    let create = Call::post("/v1/connectors").admin_of("acme").json(body);
    world.send(create).await
}

/// What an admin is told whose issuer is of no use.
async fn undiscovered(world: &World, issuer: &str) -> Answer {
    let refused = create(world, &by_issuer(world, issuer)).await;
    refused.expect_problem(502, "discovery_failed")
}

async fn connectors(world: &World) -> usize {
    let list = Call::get("/v1/connectors").admin_of("acme");
    let list = world.send(list).await.expect_status(200);
    list.body["items"].as_array().unwrap().len()
}

/// The issuer says another thing of itself.
fn says(provider: &FakeAs, member: &str, value: Value) {
    provider.configure(|settings| {
        settings.metadata.insert(member.to_owned(), value);
    });
}

/// Another authorization server, whose clients have secrets of their own.
async fn second(world: &World) -> FakeAs {
    let clock = world.clock.clone();
    let mut config = FakeAsConfig::new(Arc::new(move || clock.now().millis()));
    config.clients = vec![Client::new("client", "second-secret")];
    FakeAs::start(config).await
}

#[tokio::test]
async fn h36_an_issuer_alone_makes_a_connector() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    let made = create(&world, &by_issuer(&world, &issuer)).await;
    let made = made.expect_status(201);
    let expected = json!({
        "issuer": issuer,
        "authorize_url": format!("{issuer}/authorize"),
        "token_url": format!("{issuer}/token"),
        "revoke_url": format!("{issuer}/revoke"),
        "userinfo_url": format!("{issuer}/userinfo"),
        "jwks_url": format!("{issuer}/jwks"),
        "token_auth": "basic",
        "iss": "promised",
    });
    assert_eq!(made.body["config"], expected);
    // The issuer is not asked again.
    world
        .provider
        .configure(|settings| settings.metadata_at = [false; 2]);
    world.connect("alice", &made.text("id")).await;
}

#[tokio::test]
async fn h36_metadata_is_found_in_either_place() {
    let world = World::start().await;
    let body = by_issuer(&world, world.provider.url());
    for places in [[true, false], [false, true]] {
        world
            .provider
            .configure(|settings| settings.metadata_at = places);
        create(&world, &body).await.expect_status(201);
    }
}

#[tokio::test]
async fn c15_an_issuer_that_is_away_or_says_nothing_of_use_makes_no_connector() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    for issuer in ["http://127.0.0.1:1", &format!("{issuer}/tenant")] {
        let problem = undiscovered(&world, issuer).await;
        assert!(problem.text("detail").contains(issuer), "{problem:?}");
    }
    for (member, value) in [
        ("issuer", json!(format!("{issuer}/"))),
        ("issuer", json!(issuer.to_uppercase())),
        ("token_endpoint", Value::Null),
        ("token_endpoint", json!("http://10.0.0.1/token")),
        (
            "token_endpoint",
            json!(format!("{issuer}/token?client_id=x")),
        ),
        ("authorization_endpoint", json!("ftp://as.example")),
        ("jwks_uri", json!("http://169.254.169.254/")),
        ("response_types_supported", json!(["token"])),
        ("code_challenge_methods_supported", json!(["plain"])),
        (
            "token_endpoint_auth_methods_supported",
            json!(["private_key_jwt"]),
        ),
    ] {
        says(&world.provider, member, value);
        undiscovered(&world, &issuer).await;
        world.provider.reset();
    }
    assert_eq!(connectors(&world).await, 0);
    assert!(world.bus.types().is_empty());
}

#[tokio::test]
async fn h31_an_issuer_that_may_not_be_called_is_refused_before_it_is() {
    let world = World::start().await;
    for issuer in [
        "http://as.example",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://u:p@as.example",
        "https://as.example?x",
        "as.example",
    ] {
        let refused = create(&world, &by_issuer(&world, issuer)).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "config.issuer");
    }
}

#[tokio::test]
async fn h36_endpoints_given_by_hand_need_no_metadata_and_are_never_mixed_with_it() {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.metadata_at = [false; 2]);
    let mut body = world.connector_body(&["read"]);
    body["config"]["issuer"] = json!(world.provider.url());
    let made = create(&world, &body).await.expect_status(201);
    assert_eq!(made.body["config"], body["config"]);
    world.connect("alice", &made.text("id")).await;

    world
        .provider
        .configure(|settings| settings.metadata_at = [true; 2]);
    let mut mixed = by_issuer(&world, world.provider.url());
    mixed["config"]["revoke_url"] = json!(format!("{}/revoke", world.provider.url()));
    let refused = create(&world, &mixed).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "config.authorize_url");
}

#[tokio::test]
async fn a06_h36_an_attackers_document_in_the_honest_issuers_name_is_refused() {
    let world = World::start().await;
    let evil = second(&world).await;
    says(&evil, "issuer", json!(world.provider.url()));
    says(
        &evil,
        "authorization_endpoint",
        json!(format!("{}/authorize", world.provider.url())),
    );
    let refused = create(&world, &by_issuer(&world, evil.url())).await;
    refused.expect_problem(502, "discovery_failed");
    assert_eq!(connectors(&world).await, 0);
}

#[tokio::test]
async fn a07_an_issuer_that_names_an_honest_token_endpoint_brings_there_no_honest_secret() {
    let world = World::start().await;
    let honest = world.connector(&["read"]).await;
    let evil = second(&world).await;
    let stolen = format!("{}/token", world.provider.url());
    says(&evil, "token_endpoint", json!(stolen));
    let mut body = by_issuer(&world, evil.url());
    body["client_secret"] = json!("second-secret");
    let made = create(&world, &body).await.expect_status(201).text("id");
    let code = world.authorize("alice", "alice", &made).await;
    let refused = world.complete("alice", &code).await;
    refused.expect_problem(502, "code_refused");
    assert!(world.stored("alice", &made).await.is_none());

    // What arrived there was what the evil issuer's own connector has, and nothing else.
    let seen = world.provider.requests();
    let [request] = &seen[..] else {
        panic!("{seen:?}")
    };
    let shown = format!("{request:?}");
    let basic = |secret: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("client:{secret}"))
    };
    assert!(shown.contains(&basic("second-secret")), "{shown}");
    for honest in ["client-secret", &basic("client-secret")] {
        assert!(!shown.contains(honest), "{shown}");
    }
    // And the honest connector is what it was.
    world.connect("alice", &honest).await;
}

#[tokio::test]
async fn a06_h07_an_answer_of_another_issuer_is_not_taken_for_the_one_asked() {
    let world = World::start().await;
    let evil = second(&world).await;
    let mut body = by_issuer(&world, evil.url());
    body["client_secret"] = json!("second-secret");
    let made = create(&world, &body).await.expect_status(201).text("id");
    // The evil server sends the browser on to the honest one, in the hope for its code.
    let (url, cookie) = world.follow(&world.begin("alice", &made).await).await;
    let onwards = url.replace(evil.url(), world.provider.url());
    let callback = world.consent(&onwards, "alice").await;
    let refused = world.send(Call::get(&callback).cookie(&cookie)).await;
    refused.expect_status(400);
    for server in [&world.provider, &evil] {
        assert_eq!(server.counters().total.token, 0);
    }
}

/// The table of RFC 9207 section 2.4: what is promised, what comes, and what follows. Errors are
/// answers too.
#[tokio::test]
async fn h07_r20_iss_is_compared_to_the_letter_and_missed_where_it_is_promised() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    let port = issuer.rsplit(':').next().unwrap().to_owned();
    let promised = create(&world, &by_issuer(&world, &issuer)).await;
    let promised = promised.expect_status(201).text("id");
    says(
        &world.provider,
        "authorization_response_iss_parameter_supported",
        json!(false),
    );
    let optional = create(&world, &by_issuer(&world, &issuer)).await;
    let optional = optional.expect_status(201).text("id");
    let wrong = [
        format!("{issuer}/"),
        issuer.to_uppercase(),
        issuer.replace("127.0.0.1", "127.0.0.1."),
        issuer.replace("127.0.0.1", "localhost"),
        issuer.replace(&port, &format!("0{port}")),
        issuer.replace("http", "https"),
        issuer.replace("127", "%3127"),
        format!("{issuer}#"),
        format!(" {issuer}"),
        String::new(),
    ];
    let mut cases: Vec<(&String, Option<String>, bool)> = vec![
        (&promised, Some(issuer.clone()), true),
        (&promised, None, false),
        (&optional, Some(issuer.clone()), true),
        (&optional, None, true),
    ];
    for wrong in wrong {
        cases.push((&promised, Some(wrong.clone()), false));
        cases.push((&optional, Some(wrong), false));
    }
    for (connector, iss, right) in cases {
        for (name, value) in [("code", "x"), ("error", "access_denied")] {
            let (url, cookie) = world.follow(&world.begin("alice", connector).await).await;
            let url = url::Url::parse(&url).unwrap();
            let state = url.query_pairs().find(|(name, _)| name == "state");
            let mut callback =
                url::Url::parse(&format!("{API}/oauth/callback/{connector}")).unwrap();
            callback
                .query_pairs_mut()
                .append_pair(name, value)
                .append_pair("state", &state.unwrap().1)
                .extend_pairs(iss.iter().map(|iss| ("iss", iss)));
            let callback = callback.as_str().strip_prefix(API).unwrap();
            let answer = world.send(Call::get(callback).cookie(&cookie)).await;
            let expected = if right { 303 } else { 400 };
            assert_eq!(answer.status, expected, "{name} {iss:?}");
            let shown = format!("{answer:?}");
            assert!(right || !shown.contains("access_denied"), "{shown}");
        }
    }
}

#[tokio::test]
async fn h37_h38_an_issuer_whose_endpoints_moved_needs_the_secret_again_and_starts_over() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    let made = create(&world, &by_issuer(&world, &issuer)).await;
    let connector = made.expect_status(201).text("id");
    world.connect("alice", &connector).await;
    let config = json!({"config": {"issuer": issuer}});

    // Read again, and the same.
    world
        .change_connector(&connector, &config)
        .await
        .expect_status(200);
    world.token("alice", &connector).await;

    let evil = second(&world).await;
    let elsewhere = format!("{}/token", evil.url());
    says(&world.provider, "token_endpoint", json!(elsewhere));
    // What is not sent is not read again.
    let renamed = world
        .change_connector(&connector, &json!({"name": "Other"}))
        .await;
    let config_before = renamed.expect_status(200).body["config"].clone();
    assert_eq!(config_before["token_url"], format!("{issuer}/token"));

    let refused = world.change_connector(&connector, &config).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "client_secret");
    let mut with_secret = config.clone();
    with_secret["client_secret"] = json!("second-secret");
    let moved = world.change_connector(&connector, &with_secret).await;
    assert_eq!(
        moved.expect_status(200).body["config"]["token_url"],
        elsewhere
    );
    world.pass(3600);
    let refused = world.lookup("alice", &connector).await;
    let refused = refused.expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "connector_changed");
    assert_eq!(evil.counters().total.token, 0);
}

#[tokio::test]
async fn c15_a_change_whose_metadata_cannot_be_read_changes_nothing() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    let made = create(&world, &by_issuer(&world, &issuer)).await;
    let connector = made.expect_status(201).text("id");
    world
        .provider
        .configure(|settings| settings.metadata_at = [false; 2]);
    let body = json!({"name": "Other", "config": {"issuer": issuer}});
    let refused = world.change_connector(&connector, &body).await;
    let refused = refused.expect_problem(502, "discovery_failed");
    assert!(refused.text("detail").contains("404"), "{refused:?}");
    let viewed = Call::get(&format!("/v1/connectors/{connector}")).admin_of("acme");
    assert_eq!(world.send(viewed).await.text("name"), "Files");
}

#[tokio::test]
async fn a15_h38_every_endpoint_that_is_sent_a_secret_or_a_token_is_one_that_matters() {
    let world = World::start().await;
    let at = world.provider.url().to_owned();
    let mut body = world.connector_body(&["read"]);
    body["config"]["issuer"] = json!(at);
    body["config"]["jwks_url"] = json!(format!("{at}/jwks"));
    body["config"]["exchange_grant_type"] = json!("x");
    body["config"]["exchange_url"] = json!(format!("{at}/exchange"));
    let connector = create(&world, &body).await.expect_status(201).text("id");
    for field in [
        "authorize_url",
        "token_url",
        "revoke_url",
        "userinfo_url",
        "exchange_url",
        "jwks_url",
        "issuer",
    ] {
        let mut config = body["config"].clone();
        config[field] = json!("https://evil.example/x");
        let refused = world
            .change_connector(&connector, &json!({"config": config}))
            .await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(
            refused.body["errors"][0]["field"], "client_secret",
            "{field}"
        );
    }
}

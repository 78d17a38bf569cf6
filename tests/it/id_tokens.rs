//! Stories of providers that sign ID tokens: what is checked before anything is stored (H-17).

use serde_json::json;
use testkit::fake_as::{GrantState, IdTokenFlaw};

use crate::world::{Call, World};

/// A connector of the stories' provider, whose issuer and keys are known.
async fn openid(world: &World, scopes: &[&str], told: &[(&str, &str)]) -> String {
    let at = world.provider.url().to_owned();
    let mut body = world.connector_body(scopes);
    let config = &mut body["config"];
    config["issuer"] = json!(at);
    config["jwks_url"] = json!(format!("{at}/jwks"));
    config.as_object_mut().unwrap().remove("userinfo_url");
    for (field, value) in told {
        config[field] = json!(value);
    }
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

async fn signing() -> World {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.id_token = true);
    world
}

fn flawed(world: &World, flaw: IdTokenFlaw) {
    world
        .provider
        .configure(|settings| settings.id_token_flaw = Some(flaw));
}

/// The `nonce` of an authorization request.
async fn nonce(world: &World, connector: &str) -> Option<String> {
    let (url, _) = world.follow(&world.begin("alice", connector).await).await;
    let url = url::Url::parse(&url).unwrap();
    let found = url.query_pairs().find(|(name, _)| name == "nonce");
    found.map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn h17_an_id_token_names_the_account_and_nobody_else_is_asked() {
    let world = signing().await;
    let connector = openid(&world, &["openid", "read"], &[("userinfo_label", "/email")]).await;
    let connected = world.connect("alice", &connector).await;
    assert_eq!(connected.text("account_label"), "alice@provider.example");
    let account = world.stored("alice", &connector).await.unwrap().account;
    assert_eq!(account.unwrap().id, "alice");
    assert_eq!(world.provider.counters().total.userinfo, 0);
}

#[tokio::test]
async fn h17_a_nonce_is_fresh_and_sent_only_where_its_answer_is_checked() {
    let world = signing().await;
    let connector = openid(&world, &["openid"], &[]).await;
    let nonces = [
        nonce(&world, &connector).await.unwrap(),
        nonce(&world, &connector).await.unwrap(),
    ];
    assert!(nonces.iter().all(|nonce| nonce.len() == 43) && nonces[0] != nonces[1]);
    let plain = openid(&world, &["read"], &[]).await;
    assert_eq!(nonce(&world, &plain).await, None);
    let keyless = world.connector(&["openid"]).await;
    assert_eq!(nonce(&world, &keyless).await, None);
}

#[tokio::test]
async fn h17_nothing_is_stored_of_an_answer_whose_id_token_is_not_right() {
    let flaws = [
        IdTokenFlaw::Issuer,
        IdTokenFlaw::Audience,
        IdTokenFlaw::Audiences,
        IdTokenFlaw::AuthorizedParty,
        IdTokenFlaw::Unsigned,
        IdTokenFlaw::PublicKeyAsSecret,
        IdTokenFlaw::ClientSecret,
        IdTokenFlaw::ForeignKey,
        IdTokenFlaw::Altered,
        IdTokenFlaw::UnknownKey,
        IdTokenFlaw::Expired,
        IdTokenFlaw::Early,
        IdTokenFlaw::Nonce,
        IdTokenFlaw::NoNonce,
        IdTokenFlaw::NoSubject,
        IdTokenFlaw::Text,
    ];
    let world = signing().await;
    let connector = openid(&world, &["openid", "read"], &[]).await;
    for (number, flaw) in flaws.into_iter().enumerate() {
        flawed(&world, flaw);
        let user = format!("user-{number}");
        let code = world.authorize(&user, &user, &connector).await;
        let refused = world.complete(&user, &code).await;
        refused.expect_problem(502, "id_token_invalid");
        assert!(world.stored(&user, &connector).await.is_none(), "{flaw:?}");
        assert_eq!(world.provider.grant_state(&user), GrantState::Live);
        world.tick_revoker().await;
        assert_eq!(
            world.provider.grant_state(&user),
            GrantState::Revoked,
            "{flaw:?}"
        );
        let again = world.complete(&user, &code).await;
        again.expect_problem(400, "completion_invalid");
    }
    assert_eq!(world.bus.types(), ["connector.created"]);
}

#[tokio::test]
async fn h17_a_bad_id_token_leaves_the_connection_that_stands_as_it_was() {
    let world = signing().await;
    let connector = openid(&world, &["openid", "read"], &[]).await;
    world.connect("alice", &connector).await;
    let before = world.stored("alice", &connector).await;
    flawed(&world, IdTokenFlaw::Altered);
    let code = world.authorize("alice", "alice", &connector).await;
    let refused = world.complete("alice", &code).await;
    refused.expect_problem(502, "id_token_invalid");
    assert_eq!(world.stored("alice", &connector).await, before);
}

#[tokio::test]
async fn h17_a_token_that_names_no_key_is_checked_by_the_only_one_there_is() {
    let world = signing().await;
    flawed(&world, IdTokenFlaw::NoKeyName);
    let connector = openid(&world, &["openid"], &[]).await;
    world.connect("alice", &connector).await;
}

#[tokio::test]
async fn h17_an_id_token_that_was_not_asked_for_is_validated_too() {
    let world = signing().await;
    let connector = openid(&world, &["read"], &[]).await;
    world.connect("alice", &connector).await;
    flawed(&world, IdTokenFlaw::ForeignKey);
    let code = world.authorize("bob", "bob", &connector).await;
    let refused = world.complete("bob", &code).await;
    refused.expect_problem(502, "id_token_invalid");
}

#[tokio::test]
async fn h17_where_no_key_is_known_an_id_token_is_not_believed_in_anything() {
    let world = signing().await;
    flawed(&world, IdTokenFlaw::Subject);
    let connector = world.connector(&["openid", "read"]).await;
    world.connect("alice", &connector).await;
    let account = world.stored("alice", &connector).await.unwrap().account;
    assert_eq!(account.unwrap().id, "alice", "userinfo says so");
}

#[tokio::test]
async fn h17_while_the_issuers_keys_are_away_the_code_is_not_spent() {
    let world = signing().await;
    let connector = openid(&world, &["openid"], &[]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    world
        .provider
        .configure(|settings| settings.keys_down = true);
    let refused = world.complete("alice", &code).await;
    let refused = refused.expect_problem(503, "provider_unavailable");
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(world.provider.counters().total.token, 0);
    world
        .provider
        .configure(|settings| settings.keys_down = false);
    world.complete("alice", &code).await.expect_status(200);
}

#[tokio::test]
async fn h17_f22_a_refresh_whose_id_token_names_another_account_is_not_stored() {
    let world = signing().await;
    let connector = openid(&world, &["openid", "read"], &[]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    world.token("alice", &connector).await;
    flawed(&world, IdTokenFlaw::Subject);
    world.pass(3600);
    let refused = world.lookup("alice", &connector).await;
    let refused = refused.expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "account_mismatch");
}

#[tokio::test]
async fn a_key_set_without_an_issuer_is_refused_when_it_is_configured() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["config"]["jwks_url"] = json!("https://as.example/keys");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let refused = world.send(create).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "config.jwks_url");
}

//! `POST /v1/oauth/token`: the look-up as an OAuth token exchange (RFC 8693).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use testkit::issuer::Mint;

use crate::world::{Answer, Call, World};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn connected() -> (World, String) {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    (world, connector)
}

fn form(fields: &[(&str, &str)]) -> Call {
    Call::post("/v1/oauth/token").form(fields)
}

/// What a client sends, with some of it changed: an empty value takes the field away.
fn asked<'a>(
    jwt: &'a str,
    connector: &'a str,
    changed: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("grant_type", EXCHANGE),
        ("subject_token", jwt),
        ("subject_token_type", JWT),
        ("audience", connector),
    ];
    for (name, value) in changed {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    fields
}

#[track_caller]
fn expect_error(answer: &Answer, status: u64, error: &str, code: &str) {
    let told = (answer.status, &answer.body["error"], &answer.body["code"]);
    assert_eq!(told, (status, &json!(error), &json!(code)), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let description = answer.text("error_description");
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    assert!(description.chars().all(allowed), "{description}");
}

#[tokio::test]
async fn a_users_jwt_is_exchanged_for_their_access_token() {
    let (world, connector) = connected().await;
    let key = world.key_of("acme", "shop");
    let basic = BASE64_STANDARD.encode(format!("shop:{key}"));
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    for user in ["alice", "bob"] {
        let jwt = world.jwt(user);
        for changed in [
            &[][..],
            &[("requested_token_type", ACCESS_TOKEN)],
            &[("subject_token_type", id_token), ("scope", "read")],
        ] {
            let call = form(&asked(&jwt, &connector, changed));
            for call in [
                call.clone().bearer(&key),
                call.header("authorization", &format!("Basic {basic}")),
            ] {
                let answer = world.send(call).await.expect_status(200);
                let expected = json!({
                    "access_token": world.token(user, &connector).await,
                    "issued_token_type": ACCESS_TOKEN,
                    "token_type": "Bearer",
                    "expires_in": 3600,
                    "scope": "read write",
                });
                assert_eq!(answer.body, expected);
                assert_eq!(answer.headers["cache-control"], "no-store");
            }
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_on_this_way_too_and_the_reading_is_written_down() {
    let (world, connector) = connected().await;
    let key = world.key_of("acme", "shop");
    world.pass(3600);
    let jwt = world.jwt("alice");
    let call = form(&asked(&jwt, &connector, &[])).bearer(&key);
    let answer = world.send(call).await.expect_status(200);
    assert_eq!(answer.body["expires_in"], 3600);
    let audit = Call::get("/v1/audit?action=token.read").admin_of("acme");
    let audit = world.send(audit).await.expect_status(200);
    assert_eq!(audit.body["items"][0]["user_id"], "alice", "{audit:?}");
}

#[tokio::test]
async fn what_cannot_be_exchanged_is_refused_in_the_words_of_the_rfc() {
    let (world, connector) = connected().await;
    let key = world.key_of("acme", "shop");
    let jwt = world.jwt("alice");
    let expired = world.issuer.mint(&Mint {
        ttl: -5,
        ..Mint::new("alice")
    });
    let quoted = "\"quoted\\é";
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    let invalid = "invalid_request";
    for (changed, error, code) in [
        (
            ("grant_type", "client_credentials"),
            "unsupported_grant_type",
            invalid,
        ),
        (("subject_token", ""), invalid, invalid),
        (("subject_token", expired.as_str()), invalid, invalid),
        (("subject_token", &key), invalid, invalid),
        (("subject_token_type", ""), invalid, invalid),
        (("subject_token_type", saml), invalid, invalid),
        (("requested_token_type", JWT), invalid, invalid),
        (("actor_token", &jwt), invalid, invalid),
        (("audience", ""), invalid, invalid),
        (("audience", "unknown"), "invalid_target", "not_connected"),
        (("audience", quoted), "invalid_target", "not_connected"),
        (("resource", "https://x.example"), "invalid_target", invalid),
        (("scope", quoted), "invalid_scope", invalid),
        (("scope", "other"), "invalid_grant", "reconnect_required"),
    ] {
        let call = form(&asked(&jwt, &connector, &[changed])).bearer(&key);
        let answer = world.send(call).await;
        expect_error(&answer, 400, error, code);
    }
    let mut twice = asked(&jwt, &connector, &[]);
    twice.push(("audience", &connector));
    let answer = world.send(form(&twice).bearer(&key)).await;
    expect_error(&answer, 400, invalid, invalid);
    let body = Call::post("/v1/oauth/token").json(&json!({})).bearer(&key);
    expect_error(&world.send(body).await, 400, invalid, invalid);
}

/// RFC 6749 section 5.2: 401 names the way that was tried.
#[tokio::test]
async fn a_client_without_a_live_key_is_invalid() {
    let (world, connector) = connected().await;
    let jwt = world.jwt("alice");
    let fields = asked(&jwt, &connector, &[]);
    let forged = format!("grantry_sk_acme.shop.{}", "A".repeat(43));
    let basic = |password: &str| {
        let encoded = BASE64_STANDARD.encode(format!("x:{password}"));
        format!("Basic {encoded}")
    };
    for (sent, told) in [
        (None, "Bearer"),
        (Some(format!("Bearer {forged}")), "Bearer"),
        (Some(basic(&forged)), "Basic realm=\"grantry\""),
        (Some(basic("nothing")), "Basic realm=\"grantry\""),
        (Some("Basic ???".into()), "Basic realm=\"grantry\""),
    ] {
        let call = form(&fields);
        let call = match &sent {
            Some(sent) => call.header("authorization", sent),
            None => call,
        };
        let answer = world.send(call).await;
        expect_error(&answer, 401, "invalid_client", "unauthenticated");
        assert_eq!(answer.headers["www-authenticate"], told);
    }
}

#[tokio::test]
async fn h20_a_user_of_another_app_or_workspace_is_not_exchanged() {
    let (world, connector) = connected().await;
    let key = world.key_of("acme", "shop");
    for of in [["acme", "blog", "alice"], ["globex", "shop", "alice"]] {
        let jwt = world.jwt_of(of);
        let call = form(&asked(&jwt, &connector, &[])).bearer(&key);
        let answer = world.send(call).await;
        expect_error(&answer, 400, "unauthorized_client", "forbidden");
    }
}

#[tokio::test]
async fn a_key_for_something_else_or_for_riders_is_told_apart() {
    let (world, connector) = connected().await;
    let jwt = world.jwt("alice");
    let key = async |body| {
        let make = Call::post("/v1/apps/shop/keys")
            .admin_of("acme")
            .json(&body);
        world.send(make).await.expect_status(201)
    };
    let lists = key(json!({"name": "lists", "scopes": ["connections:read"]})).await;
    let call = form(&asked(&jwt, &connector, &[])).bearer(&lists.text("key"));
    let answer = world.send(call).await;
    expect_error(&answer, 400, "unauthorized_client", "insufficient_scope");
    let path = format!("/v1/apps/shop/keys/{}", lists.text("id"));
    world.send(Call::delete(&path).admin_of("acme")).await;
    // The subject of an exchange has always proven themselves.
    let riders = key(json!({"name": "riders", "on_behalf_of_only": true})).await;
    let call = form(&asked(&jwt, &connector, &[])).bearer(&riders.text("key"));
    world.send(call).await.expect_status(200);
}

#[tokio::test]
async fn what_is_away_is_told_with_its_own_status() {
    let (world, connector) = connected().await;
    let key = world.key_of("acme", "shop");
    world.issuer.set_away(true);
    let jwt = world.jwt("alice");
    let call = form(&asked(&jwt, &connector, &[])).bearer(&key);
    let answer = world.send(call).await;
    let away = "temporarily_unavailable";
    expect_error(&answer, 503, away, away);
    assert!(answer.headers.contains_key("retry-after"));
}

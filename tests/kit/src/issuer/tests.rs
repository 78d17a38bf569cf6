use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::{Issuer, Mint};
use crate::loopback::client;

const NOW_S: i64 = 1_800_000_000;

async fn issuer() -> Issuer {
    Issuer::start(Arc::new(|| NOW_S * 1000)).await
}

async fn get(url: &str) -> Value {
    let text = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Checks a token against the published key set, and nothing but its signature.
fn verified(jwks: Value, token: &str) -> Option<Value> {
    let keys: JwkSet = serde_json::from_value(jwks).unwrap();
    let key = keys.find(&decode_header(token).unwrap().kid?)?;
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_aud = false;
    // The library compares `exp` with the wall clock.
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    decode::<Value>(token, &key, &rules)
        .ok()
        .map(|token| token.claims)
}

#[tokio::test]
async fn a_minted_token_verifies_with_the_key_the_discovery_document_leads_to() {
    let issuer = issuer().await;
    let discovery = get(&format!(
        "{}/.well-known/openid-configuration",
        issuer.url()
    ))
    .await;
    assert_eq!(discovery["issuer"], issuer.url());
    let jwks = get(discovery["jwks_uri"].as_str().unwrap()).await;
    assert_eq!(jwks["keys"][0]["alg"], "RS256");
    assert_eq!(jwks["keys"][0]["use"], "sig");
    let claims = verified(jwks, &issuer.mint(&Mint::new("kim").claim("app_id", "a1"))).unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": issuer.url(), "sub": "kim", "aud": "grantry", "app_id": "a1",
            "iat": NOW_S, "exp": NOW_S + 300,
        })
    );
}

#[tokio::test]
async fn the_mint_route_takes_every_override() {
    let issuer = issuer().await;
    let wanted = json!({
        "sub": "kim", "claims": { "workspace_id": "w1" }, "ttl": -10, "aud": "b", "iss": "https://x",
    });
    let request = client().post(format!("{}/_mint", issuer.url()));
    let request = request
        .header("content-type", "application/json")
        .body(wanted.to_string());
    let answer: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let claims = verified(issuer.jwks(), answer["token"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&claims["aud"], &claims["iss"]),
        (&json!("b"), &json!("https://x"))
    );
    assert_eq!(claims["workspace_id"], "w1");
    assert_eq!(claims["exp"], NOW_S - 10);
    assert!(claims["iat"].as_i64().unwrap() < NOW_S - 10);
}

#[tokio::test]
async fn a_foreign_key_is_betrayed_by_its_signature_alone() {
    let issuer = issuer().await;
    let foreign = issuer.mint(&Mint {
        foreign_key: true,
        ..Mint::new("kim")
    });
    let genuine = issuer.mint(&Mint::new("kim"));
    assert_eq!(
        decode_header(&foreign).unwrap().kid,
        decode_header(&genuine).unwrap().kid
    );
    assert_eq!(verified(issuer.jwks(), &foreign), None);
    assert!(verified(issuer.jwks(), &genuine).is_some());
}

#[tokio::test]
async fn an_unknown_key_id_finds_no_key() {
    let issuer = issuer().await;
    let token = issuer.mint(&Mint {
        kid: Some("nobody".to_owned()),
        ..Mint::new("kim")
    });
    assert_eq!(verified(issuer.jwks(), &token), None);
}

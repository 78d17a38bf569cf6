//! Consent, codes, client authentication and token answers with nothing scripted.

use http::{StatusCode, header};
use jsonwebtoken::jwk::JwkSet;

use super::{Provider, RETURN, VERIFIER, basic, param, reply};
use crate::fake_as::{
    Exchange, GrantState, Rotation, SecretKind, consent, consent_by_form, deny, deny_by_form,
};
use crate::loopback::client;

#[tokio::test]
async fn consent_leads_to_tokens_for_the_account_that_gave_it() {
    let provider = Provider::start().await;
    let location = consent(provider.authorize_url().as_str(), "kim").await;
    assert!(location.starts_with(RETURN));
    assert_eq!(param(&location, "state").as_deref(), Some("st&te"));
    assert_eq!(
        param(&location, "iss").as_deref(),
        Some(provider.fake.url())
    );

    let tokens = provider.redeem(&param(&location, "code").unwrap()).await;
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.text("scope"), "mail calendar");
    assert_eq!(tokens.body["expires_in"], 3600);
    assert!(tokens.text("access_token").starts_with("fas_at_"));
    assert!(tokens.text("refresh_token").starts_with("fas_rt_"));
    let me = provider.userinfo(&tokens.text("access_token")).await;
    assert_eq!(me.text("sub"), "kim");
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Live);
    assert_eq!(provider.fake.grant_state("somebody"), GrantState::None);
}

#[tokio::test]
async fn an_answer_that_is_asked_to_be_posted_is_a_form() {
    let provider = Provider::start().await;
    let mut url = provider.authorize_url();
    url.query_pairs_mut()
        .append_pair("response_mode", "form_post");
    let (action, fields) = consent_by_form(url.as_str(), "kim").await;
    assert_eq!(action, RETURN);
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).unwrap();
    assert_eq!(field("state").1, "st&te");
    assert_eq!(field("iss").1, provider.fake.url());
    assert_eq!(provider.redeem(&field("code").1).await.status, 200);

    let (_, denied) = deny_by_form(url.as_str()).await;
    assert!(denied.contains(&("error".into(), "access_denied".into())));
}

#[tokio::test]
async fn cancel_returns_access_denied_and_grants_nothing() {
    let provider = Provider::start().await;
    let location = deny(provider.authorize_url().as_str()).await;
    assert_eq!(param(&location, "error").as_deref(), Some("access_denied"));
    assert_eq!(param(&location, "state").as_deref(), Some("st&te"));
    assert_eq!(param(&location, "code"), None);
    assert!(provider.fake.grants().is_empty());
}

#[tokio::test]
async fn auto_approval_redirects_at_once_as_the_hinted_account() {
    let provider = Provider::start().await;
    provider.fake.configure(|settings| {
        settings.auto_approve = true;
        settings.iss = false;
    });
    let mut url = provider.authorize_url();
    url.query_pairs_mut().append_pair("login_hint", "pat");
    let location = consent(url.as_str(), "ignored").await;
    assert_eq!(param(&location, "iss"), None);
    let tokens = provider.redeem(&param(&location, "code").unwrap()).await;
    assert_eq!(
        provider
            .userinfo(&tokens.text("access_token"))
            .await
            .text("sub"),
        "pat"
    );
}

#[tokio::test]
async fn a_foreign_redirect_uri_is_shown_to_the_person_and_not_followed() {
    let provider = Provider::start().await;
    let url = provider
        .authorize_url()
        .as_str()
        .replace("callback%2Fc1", "callback%2Fc2");
    let response = client().get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers().get(header::LOCATION), None);
}

#[tokio::test]
async fn an_authorization_request_without_pkce_is_sent_back() {
    let provider = Provider::start().await;
    let url = provider.authorize_url().as_str().replace("S256", "plain");
    let location = consent(&url, "kim").await;
    assert_eq!(
        param(&location, "error").as_deref(),
        Some("invalid_request")
    );
}

#[tokio::test]
async fn a_consent_page_escapes_what_the_request_brought() {
    let provider = Provider::start().await;
    let mut url = provider.authorize_url();
    url.query_pairs_mut()
        .append_pair("login_hint", "\"><script>x</script>");
    let page = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!page.contains("<script>"));
    assert!(page.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn a_wrong_verifier_is_refused_and_leaves_the_code_unspent() {
    let provider = Provider::start().await;
    let code = provider.code("kim").await;
    let mut fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", RETURN),
        (
            "code_verifier",
            "another-verifier-of-forty-three-characters-too",
        ),
    ];
    assert_eq!(
        provider.token(&fields).await.error(),
        (400, "invalid_grant")
    );
    fields[3].1 = VERIFIER;
    assert_eq!(provider.token(&fields).await.status, 200);
}

#[tokio::test]
async fn another_redirect_uri_at_redemption_is_refused() {
    let provider = Provider::start().await;
    let code = provider.code("kim").await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "https://grantry.example/oauth/callback/c2"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        provider.token(&fields).await.error(),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn a_code_used_twice_ends_the_grant_it_was_redeemed_for() {
    let provider = Provider::start().await;
    let code = provider.code("kim").await;
    let tokens = provider.redeem(&code).await;
    assert_eq!(provider.redeem(&code).await.error(), (400, "invalid_grant"));
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Revoked);
    assert_eq!(
        provider.userinfo(&tokens.text("access_token")).await.status,
        401
    );
}

#[tokio::test]
async fn a_code_expires() {
    let provider = Provider::start().await;
    let code = provider.code("kim").await;
    provider.pass(60);
    assert_eq!(provider.redeem(&code).await.error(), (400, "invalid_grant"));
}

#[tokio::test]
async fn an_access_token_works_until_it_expires() {
    let provider = Provider::start().await;
    let token = provider.connect("kim").await.text("access_token");
    provider.pass(3599);
    assert_eq!(provider.userinfo(&token).await.status, 200);
    provider.pass(1);
    assert_eq!(
        provider.userinfo(&token).await.error(),
        (401, "invalid_token")
    );
}

#[tokio::test]
async fn a_client_proves_itself_in_the_header_or_the_body_but_not_in_both() {
    let provider = Provider::start().await;
    let refresh_token = provider.connect("kim").await.text("refresh_token");
    let body = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let attempt = |authorization: String, body: String| {
        let request = provider.request("/token", body);
        request.header(header::AUTHORIZATION, authorization).send()
    };
    let good = attempt(basic("client", "s3cret:&+"), body.clone())
        .await
        .unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    let bad = attempt(basic("client", "guess"), body.clone())
        .await
        .unwrap();
    assert!(bad.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(reply(bad).await.error(), (401, "invalid_client"));
    let both = format!("{body}&client_secret=s3cret%3A%26%2B");
    let both = attempt(basic("client", "s3cret:&+"), both).await.unwrap();
    assert_eq!(reply(both).await.error(), (400, "invalid_request"));
    let nothing = provider.request("/token", body).send().await.unwrap();
    assert_eq!(reply(nothing).await.error(), (401, "invalid_client"));
}

#[tokio::test]
async fn another_client_cannot_use_or_burn_a_refresh_token() {
    let provider = Provider::rotating(Rotation::Strict).await;
    let token = provider.connect("kim").await.text("refresh_token");
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    let request = provider
        .request("/token", body)
        .header(header::AUTHORIZATION, basic("other", "o"));
    assert_eq!(
        reply(request.send().await.unwrap()).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(provider.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn settings_shape_the_token_answer() {
    let provider = Provider::start().await;
    provider.fake.configure(|settings| {
        settings.omit_expires_in = true;
        settings.granted_scopes = Some(vec!["mail".to_owned()]);
        settings.id_token = true;
        settings
            .token_extras
            .insert("instance_url".to_owned(), "https://eu.example".into());
        let claims = serde_json::json!({ "email": "k@work.example" });
        settings
            .identity
            .insert("kim".to_owned(), claims.as_object().unwrap().clone());
    });
    let tokens = provider.connect("kim").await;
    assert!(tokens.body.get("expires_in").is_none());
    assert_eq!(tokens.text("scope"), "mail");
    assert_eq!(tokens.text("instance_url"), "https://eu.example");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_audience(&["client"]);
    // The library compares `exp` with the wall clock; the token lives by the test's.
    rules.validate_exp = false;
    let keys = client().get(format!("{}/jwks", provider.fake.url()));
    let keys = keys.send().await.unwrap().bytes().await.unwrap();
    let keys: JwkSet = serde_json::from_slice(&keys).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let id = jsonwebtoken::decode::<serde_json::Value>(tokens.text("id_token"), &key, &rules);
    let claims = id.unwrap().claims;
    assert_eq!(claims["sub"], "kim");
    assert_eq!(claims["email"], "k@work.example");
    assert_eq!(claims["iss"], provider.fake.url());
}

#[tokio::test]
async fn every_secret_is_listed_once_and_none_repeats() {
    let provider = Provider::rotating(Rotation::Strict).await;
    let token = provider.connect("kim").await.text("refresh_token");
    provider.refresh(&token).await;
    provider.fake.reset();
    let issued = provider.fake.issued_secrets();
    let kinds: Vec<_> = issued.iter().map(|secret| secret.kind).collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == SecretKind::Code)
            .count(),
        1
    );
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == SecretKind::AccessToken)
            .count(),
        2
    );
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == SecretKind::RefreshToken)
            .count(),
        2
    );
    let mut values: Vec<_> = issued.iter().map(|secret| &secret.value).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), issued.len());
}

#[tokio::test]
async fn an_access_token_that_lives_is_exchanged_by_its_client_or_by_whoever_has_it() {
    let provider = Provider::start().await;
    provider.fake.configure(|settings| {
        settings.omit_refresh_token = true;
        settings.exchange = Some(Exchange {
            grant_type: "x_exchange".to_owned(),
            token_param: "x_token".to_owned(),
        });
    });
    let tokens = provider.connect("kim").await;
    assert_eq!(tokens.body.get("refresh_token"), None);
    let token = tokens.text("access_token");
    let fields = [("grant_type", "x_exchange"), ("x_token", token.as_str())];
    let by_client = provider.token(&fields).await;
    assert_eq!(by_client.status, 200);
    let me = provider.userinfo(&by_client.text("access_token")).await;
    assert_eq!(me.text("sub"), "kim");

    let at = format!("{}/exchange?grant_type=x_exchange", provider.fake.url());
    let get = async |token: &str| {
        let url = format!("{at}&x_token={token}");
        reply(client().get(url).send().await.unwrap()).await
    };
    assert_eq!(get(&token).await.status, 200);
    assert_eq!(get("fas_at_unknown").await.error(), (400, "invalid_grant"));
    provider.pass(3600);
    assert_eq!(get(&token).await.error(), (400, "invalid_grant"));
    assert_eq!(
        provider.token(&fields).await.error(),
        (400, "invalid_grant")
    );
    provider.fake.configure(|settings| settings.exchange = None);
    let refused = (400, "unsupported_grant_type");
    assert_eq!(get(&token).await.error(), refused);
    assert_eq!(provider.token(&fields).await.error(), refused);
}

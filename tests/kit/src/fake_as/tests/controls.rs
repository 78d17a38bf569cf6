//! Observation and control, in the process and over HTTP.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Provider, RETURN, reply};
use crate::fake_as::{
    Behaviour, Client, Endpoint, FakeAsControl, GrantState, Redirects, Rotation, When, deny,
};
use crate::loopback::client;

async fn controlled() -> (Provider, FakeAsControl) {
    let provider = Provider::start().await;
    let control = FakeAsControl::new(provider.fake.url());
    (provider, control)
}

#[tokio::test]
async fn requests_are_counted_in_total_and_by_client() {
    let (provider, control) = controlled().await;
    let tokens = provider.connect("kim").await;
    provider.refresh(&tokens.text("refresh_token")).await;
    provider.userinfo(&tokens.text("access_token")).await;
    provider
        .request("/token", "client_id=stranger&client_secret=x".to_owned())
        .send()
        .await
        .unwrap();
    let counters = control.counters().await;
    assert_eq!(counters, provider.fake.counters());
    assert_eq!((counters.total.authorize, counters.total.decision), (1, 1));
    assert_eq!((counters.total.token, counters.total.userinfo), (3, 1));
    let ours = counters.client("client");
    assert_eq!((ours.redemptions(), ours.refreshes()), (1, 1));
    assert_eq!(counters.client("stranger").token, 1);
}

#[tokio::test]
async fn the_log_shows_what_was_sent_where_and_how_it_was_answered() {
    let (provider, control) = controlled().await;
    let token = provider.connect("kim").await.text("refresh_token");
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    provider
        .request("/token?client_secret=in-the-url", body)
        .send()
        .await
        .unwrap();
    let log = control.requests().await;
    let lines: Vec<_> = log
        .iter()
        .map(|entry| (entry.request.as_str(), entry.status))
        .collect();
    assert_eq!(
        lines,
        [
            ("GET /authorize", Some(200)),
            ("POST /authorize/decision", Some(303)),
            ("POST /token", Some(200)),
            ("POST /token", Some(401)),
        ]
    );
    assert_eq!(log[3].query.as_deref(), Some("client_secret=in-the-url"));
    assert_eq!(log[3].field("refresh_token"), Some(token.as_str()));
}

#[tokio::test]
async fn settings_changed_from_afar_hold_at_once_and_leave_the_rest() {
    let (provider, control) = controlled().await;
    provider
        .fake
        .configure(|settings| settings.access_token_lifetime_s = 90);
    control
        .configure(|settings| settings.rotation = Rotation::Grace { seconds: 5 })
        .await;
    let settings = control.settings().await;
    assert_eq!(settings.rotation, Rotation::Grace { seconds: 5 });
    assert_eq!(settings.access_token_lifetime_s, 90);
    assert!(provider.connect("kim").await.body["expires_in"] == 90);
}

#[tokio::test]
async fn a_misspelt_setting_is_refused() {
    let (provider, _) = controlled().await;
    let request = client().patch(format!("{}/_control/config", provider.fake.url()));
    let request = request
        .header("content-type", "application/json")
        .body("{\"rotatoin\":1}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn steps_pushed_from_afar_are_followed() {
    let (provider, control) = controlled().await;
    let token = provider.connect("kim").await.text("refresh_token");
    let slow_down = Behaviour::OAuthError {
        status: 400,
        code: "slow_down".to_owned(),
    };
    control
        .push(When::refreshing().account("kim"), slow_down)
        .await;
    control.always(Endpoint::Userinfo, Behaviour::Garbage).await;
    assert_eq!(control.steps_left().await, 1);
    assert_eq!(provider.refresh(&token).await.error(), (400, "slow_down"));
    assert_eq!(control.steps_left().await, 0);
    assert_eq!(provider.userinfo("any").await.status, 200);
    control.clear_script().await;
    assert_eq!(provider.userinfo("any").await.status, 401);
}

#[tokio::test]
async fn held_requests_are_awaited_and_released_from_afar() {
    let (provider, control) = controlled().await;
    let token = provider.connect("kim").await.text("refresh_token");
    control.push(When::refreshing(), Behaviour::Hang).await;
    let release = async {
        control.wait_until_held(1).await;
        assert_eq!(control.held().await, 1);
        control.release().await
    };
    let (tokens, released) = tokio::join!(provider.refresh(&token), release);
    assert_eq!((tokens.status, released), (200, 1));
}

#[tokio::test]
async fn grants_and_tokens_are_ended_from_afar() {
    let (provider, control) = controlled().await;
    let kim = provider.connect("kim").await;
    let pat = provider.connect("pat").await;
    assert_eq!(control.expire_access_tokens(Some("kim")).await, 1);
    assert_eq!(
        provider.userinfo(&kim.text("access_token")).await.status,
        401
    );
    assert_eq!(
        provider.userinfo(&pat.text("access_token")).await.status,
        200
    );
    assert_eq!(control.expire_access_tokens(None).await, 1);
    assert_eq!(control.withdraw_grants("kim").await, 1);
    assert_eq!(
        provider.refresh(&kim.text("refresh_token")).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(control.grant_state("kim").await, GrantState::Revoked);
    assert_eq!(control.grant_state("pat").await, GrantState::Live);
    assert_eq!(control.grants().await, provider.fake.grants());
    assert_eq!(
        control.issued_secrets().await,
        provider.fake.issued_secrets()
    );
}

#[tokio::test]
async fn a_reset_restores_behaviour_and_keeps_grants() {
    let (provider, control) = controlled().await;
    provider.connect("kim").await;
    control.configure(|settings| settings.iss = false).await;
    control.always(Endpoint::Token, Behaviour::Garbage).await;
    control.reset().await;
    assert!(control.settings().await.iss);
    assert_eq!(control.counters().await, Default::default());
    assert!(control.requests().await.is_empty());
    assert_eq!(provider.connect("pat").await.status, 200);
    assert_eq!(control.grant_state("kim").await, GrantState::Live);
}

#[tokio::test]
async fn a_client_registered_from_afar_is_bound_to_its_redirects() {
    let (provider, control) = controlled().await;
    let late = Client::new("late", "s").redirecting(Redirects::PathContains("/oauth/".to_owned()));
    control.add_client(late).await;
    let url = provider
        .authorize_url()
        .as_str()
        .replace("client_id=client", "client_id=late");
    assert!(deny(&url).await.starts_with(RETURN));
    let elsewhere = url.replace("%2Foauth%2F", "%2Felse%2F");
    let response = client().get(elsewhere).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn metadata_names_every_endpoint() {
    let (provider, _) = controlled().await;
    let url = provider.fake.url();
    let document = format!("{url}/.well-known/oauth-authorization-server");
    let document = reply(client().get(document).send().await.unwrap())
        .await
        .body;
    assert_eq!(document["issuer"], url);
    for (member, path) in [
        ("authorization_endpoint", "authorize"),
        ("token_endpoint", "token"),
        ("revocation_endpoint", "revoke"),
        ("userinfo_endpoint", "userinfo"),
    ] {
        assert_eq!(document[member], format!("{url}/{path}"));
    }
    assert_eq!(
        document["authorization_response_iss_parameter_supported"],
        true
    );
}

#[test]
fn behaviours_are_spelled_as_scripts_write_them() {
    let spelled = |value: Value| serde_json::from_value::<Behaviour>(value).unwrap();
    assert_eq!(
        spelled(json!({ "kind": "oauth_error", "status": 400, "code": "invalid_grant" })),
        Behaviour::OAuthError {
            status: 400,
            code: "invalid_grant".to_owned()
        }
    );
    assert_eq!(
        spelled(json!({ "kind": "process_then_hold" })),
        Behaviour::ProcessThenHold
    );
    assert_eq!(
        serde_json::from_value::<When>(json!({ "endpoint": "token" })).unwrap(),
        When::from(Endpoint::Token)
    );
}

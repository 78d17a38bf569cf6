//! Each scripted behaviour, and whether it leaves the grant as it found it.

use http::{StatusCode, header};
use serde_json::json;

use super::{Provider, Reply, reply};
use crate::fake_as::{Behaviour, Endpoint, GrantState, Rotation, When};

const REFRESH: &str = "refresh_token";

/// A strictly rotating provider with one connected account, whose next refresh does `behaviour`.
/// Strict, because there a second use of the same token tells whether the first was handled.
async fn scripted(behaviour: Behaviour) -> (Provider, String) {
    let provider = Provider::rotating(Rotation::Strict).await;
    let token = provider.connect("kim").await.text(REFRESH);
    provider.fake.push(When::refreshing(), behaviour);
    (provider, token)
}

impl Provider {
    async fn refresh_raw(&self, token: &str) -> reqwest::Result<reqwest::Response> {
        let body = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id=client\
             &client_secret=s3cret%3A%26%2B"
        );
        self.request("/token", body).send().await
    }

    /// Whether the token is still current: if so, this spends it.
    async fn accepts(&self, token: &str) -> bool {
        self.refresh(token).await.status == 200
    }
}

#[tokio::test]
async fn a_step_is_used_up_by_one_request() {
    let error = Behaviour::OAuthError {
        status: 403,
        code: "invalid_grant".to_owned(),
    };
    let (provider, token) = scripted(error).await;
    assert_eq!(provider.fake.steps_left(), 1);
    assert_eq!(
        provider.refresh(&token).await.error(),
        (403, "invalid_grant")
    );
    assert_eq!(provider.fake.steps_left(), 0);
    assert!(provider.accepts(&token).await);
}

#[tokio::test]
async fn steps_wait_for_the_requests_they_name() {
    let (provider, token) = scripted(Behaviour::Garbage).await;
    provider.fake.clear_script();
    let busy = || Behaviour::RetryAfter {
        status: 429,
        seconds: None,
    };
    provider.fake.push(When::redeeming(), busy());
    provider
        .fake
        .push(When::refreshing().account("pat"), busy());
    provider
        .fake
        .push(When::refreshing().client("other"), busy());
    provider.fake.push(Endpoint::Revoke, busy());
    assert!(provider.accepts(&token).await);
    assert_eq!(provider.connect("pat").await.status, 429);
    let token = provider.connect("pat").await.text(REFRESH);
    assert_eq!(provider.refresh(&token).await.status, 429);
    let revocation = provider.post("/revoke", &[("token", &token)]).await;
    assert_eq!(revocation.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        provider.fake.steps_left(),
        1,
        "nobody called as the other client"
    );
}

#[tokio::test]
async fn a_standing_step_answers_what_no_single_step_covers() {
    let provider = Provider::start().await;
    let token = provider.connect("kim").await.text(REFRESH);
    let respond = |status| Behaviour::Respond {
        status,
        headers: Vec::new(),
        body: String::new(),
    };
    provider.fake.always(Endpoint::Token, respond(503));
    provider.fake.push(Endpoint::Token, respond(500));
    assert_eq!(provider.refresh(&token).await.status, 500);
    assert_eq!(provider.refresh(&token).await.status, 503);
    assert_eq!(provider.refresh(&token).await.status, 503);
    provider.fake.clear_script();
    assert!(provider.accepts(&token).await);
}

#[tokio::test]
async fn answers_that_are_not_handled_leave_the_token_current() {
    let text = |text: &str| text.to_owned();
    let headers = vec![(text("x-request-id"), text("r1"))];
    let cases = [
        (
            Behaviour::Respond {
                status: 502,
                headers,
                body: text("<h1>"),
            },
            502,
        ),
        (
            Behaviour::RetryAfter {
                status: 503,
                seconds: Some(120),
            },
            503,
        ),
        (
            Behaviour::Redirect {
                to: text("https://elsewhere.example/"),
            },
            307,
        ),
        (Behaviour::Garbage, 200),
        (Behaviour::HugeBody { bytes: 100_000 }, 200),
    ];
    for (behaviour, status) in cases {
        let (provider, token) = scripted(behaviour.clone()).await;
        let response = provider.refresh_raw(&token).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{behaviour:?}");
        let head = response.headers().clone();
        let body = response.bytes().await.unwrap();
        match behaviour {
            Behaviour::Respond { .. } => assert_eq!(head["x-request-id"], "r1"),
            Behaviour::RetryAfter { .. } => assert_eq!(head[header::RETRY_AFTER], "120"),
            Behaviour::Redirect { .. } => {
                assert_eq!(head[header::LOCATION], "https://elsewhere.example/");
            }
            Behaviour::Garbage => assert!(body.starts_with(b"<!doctype html>")),
            _ => assert_eq!(body.len(), 100_000),
        }
        assert!(provider.accepts(&token).await);
    }
}

#[tokio::test]
async fn a_refused_connection_leaves_the_token_current() {
    let (provider, token) = scripted(Behaviour::RefuseBeforeProcessing).await;
    assert!(provider.refresh_raw(&token).await.is_err());
    assert!(provider.accepts(&token).await);
}

#[tokio::test]
async fn a_dropped_connection_after_handling_has_spent_the_token() {
    let (provider, token) = scripted(Behaviour::ProcessThenDrop).await;
    assert!(provider.refresh_raw(&token).await.is_err());
    assert!(!provider.accepts(&token).await);
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Revoked);
}

#[tokio::test]
async fn a_scripted_answer_after_handling_has_spent_the_token() {
    let answer = Behaviour::ProcessThenRespond {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
    };
    let (provider, token) = scripted(answer).await;
    assert_eq!(provider.refresh(&token).await.status, 500);
    assert!(!provider.accepts(&token).await);
}

#[tokio::test]
async fn truncated_json_is_half_of_the_true_answer() {
    let (provider, token) = scripted(Behaviour::TruncatedJson).await;
    let body = provider
        .refresh_raw(&token)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(body.starts_with("{\"access_token\":\"fas_at_"));
    assert!(!body.ends_with('}'));
    assert!(!provider.accepts(&token).await);
}

#[tokio::test]
async fn amended_members_replace_or_leave_the_true_answer() {
    let set = json!({ "expires_in": "3600", "refresh_token": null });
    let set = set.as_object().unwrap().clone();
    let amend = Behaviour::Amend {
        set,
        remove: vec!["scope".to_owned()],
    };
    let (provider, token) = scripted(amend).await;
    let Reply { body, .. } = provider.refresh(&token).await;
    assert_eq!(body["expires_in"], "3600");
    assert!(body["refresh_token"].is_null() && body.get("scope").is_none());
    assert!(body["access_token"].is_string());
}

#[tokio::test]
async fn a_slow_drip_arrives_whole_in_the_end() {
    let (provider, token) = scripted(Behaviour::SlowDrip {
        bytes: 100,
        interval_ms: 1,
    })
    .await;
    assert_eq!(provider.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn a_delayed_request_is_handled_when_its_time_has_come() {
    let (provider, token) = scripted(Behaviour::Delay { ms: 1 }).await;
    assert_eq!(provider.refresh(&token).await.status, 200);
    assert!(!provider.accepts(&token).await);
}

#[tokio::test]
async fn a_held_answer_has_rotated_and_arrives_after_the_release() {
    let (provider, token) = scripted(Behaviour::ProcessThenHold).await;
    let response = provider.refresh_raw(&token).await.unwrap();
    provider.fake.wait_until_held(1).await;
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "the head is there before the release"
    );
    assert_eq!(provider.fake.grants()[0].refreshes, 1);
    assert_eq!(provider.fake.release(), 1);
    let tokens = reply(response).await;
    assert!(provider.accepts(&tokens.text(REFRESH)).await);
}

#[tokio::test]
async fn a_held_answer_ends_when_its_client_hangs_up() {
    let (provider, token) = scripted(Behaviour::ProcessThenHold).await;
    let response = provider.refresh_raw(&token).await.unwrap();
    provider.fake.wait_until_held(1).await;
    drop(response);
    // The server runs on this thread: yielding lets it see the hang-up.
    while provider.fake.held() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(provider.fake.release(), 0);
}

#[tokio::test]
async fn a_hanging_request_is_handled_at_its_release_even_if_nobody_listens() {
    let (provider, token) = scripted(Behaviour::Hang).await;
    tokio::select! {
        _ = provider.refresh_raw(&token) => panic!("nothing was released yet"),
        () = provider.fake.wait_until_held(1) => {}
    }
    assert_eq!(provider.fake.grants()[0].refreshes, 0);
    provider.fake.release();
    while provider.fake.grants()[0].refreshes == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!provider.accepts(&token).await);
}

#[tokio::test]
async fn refreshes_in_flight_are_counted_by_grant() {
    let (provider, token) = scripted(Behaviour::ProcessThenHold).await;
    provider
        .fake
        .configure(|settings| settings.rotation = Rotation::Sliding);
    let held = provider.refresh_raw(&token).await.unwrap();
    assert_eq!(provider.fake.counters().max_in_flight(), 1);
    let other = provider.connect("pat").await.text(REFRESH);
    assert!(provider.accepts(&other).await);
    assert_eq!(
        provider.fake.counters().max_in_flight(),
        1,
        "another grant is another family"
    );
    assert!(provider.accepts(&token).await);
    assert_eq!(provider.fake.counters().max_in_flight(), 2);
    drop(held);
}

#[tokio::test]
async fn userinfo_follows_the_script_too() {
    let provider = Provider::start().await;
    let token = provider.connect("kim").await.text("access_token");
    provider.fake.push(
        When::from(Endpoint::Userinfo).account("kim"),
        Behaviour::Amend {
            set: json!({"sub": "mal"}).as_object().unwrap().clone(),
            remove: vec![],
        },
    );
    assert_eq!(provider.userinfo(&token).await.text("sub"), "mal");
    assert_eq!(provider.userinfo(&token).await.text("sub"), "kim");
}

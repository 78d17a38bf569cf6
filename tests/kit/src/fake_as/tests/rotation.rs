//! What refreshing and revoking do to a grant.

use http::StatusCode;

use super::Provider;
use crate::fake_as::{GrantState, Rotation};
use crate::loopback::client;

#[tokio::test]
async fn without_rotation_a_refresh_returns_no_refresh_token_and_the_old_one_stays() {
    let provider = Provider::start().await;
    let token = provider.connect("kim").await.text("refresh_token");
    let first = provider.refresh(&token).await;
    assert!(first.body.get("refresh_token").is_none());
    assert_eq!(provider.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn sliding_rotation_keeps_every_refresh_token_valid() {
    let provider = Provider::rotating(Rotation::Sliding).await;
    let old = provider.connect("kim").await.text("refresh_token");
    let new = provider.refresh(&old).await.text("refresh_token");
    assert_ne!(old, new);
    assert_eq!(provider.refresh(&old).await.status, 200);
    assert_eq!(provider.refresh(&new).await.status, 200);
}

#[tokio::test]
async fn strict_rotation_ends_the_family_when_a_replaced_token_is_used() {
    let provider = Provider::rotating(Rotation::Strict).await;
    let old = provider.connect("kim").await.text("refresh_token");
    let rotated = provider.refresh(&old).await;
    assert_eq!(provider.refresh(&old).await.error(), (400, "invalid_grant"));
    let new = rotated.text("refresh_token");
    assert_eq!(provider.refresh(&new).await.error(), (400, "invalid_grant"));
    assert_eq!(
        provider
            .userinfo(&rotated.text("access_token"))
            .await
            .status,
        401
    );
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Revoked);
}

#[tokio::test]
async fn grace_accepts_a_replaced_token_until_its_time_is_up_and_then_ends_the_family() {
    let provider = Provider::rotating(Rotation::Grace { seconds: 60 }).await;
    let first = provider.connect("kim").await.text("refresh_token");
    let lost = provider.refresh(&first).await.text("refresh_token");
    provider.pass(59);
    let current = provider.refresh(&first).await.text("refresh_token");
    assert_ne!(lost, current);
    provider.pass(1);
    assert_eq!(
        provider.refresh(&lost).await.status,
        200,
        "replaced one second ago"
    );
    assert_eq!(
        provider.refresh(&first).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        provider.refresh(&current).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Revoked);
}

#[tokio::test]
async fn a_server_without_refresh_tokens_neither_issues_nor_rotates_them() {
    let provider = Provider::rotating(Rotation::Strict).await;
    let token = provider.connect("kim").await.text("refresh_token");
    provider
        .fake
        .configure(|settings| settings.omit_refresh_token = true);
    assert!(
        provider
            .connect("pat")
            .await
            .body
            .get("refresh_token")
            .is_none()
    );
    assert!(
        provider
            .refresh(&token)
            .await
            .body
            .get("refresh_token")
            .is_none()
    );
    provider
        .fake
        .configure(|settings| settings.omit_refresh_token = false);
    assert_eq!(provider.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn a_refresh_may_narrow_scopes_but_never_widen_them() {
    let provider = Provider::start().await;
    let token = provider.connect("kim").await.text("refresh_token");
    let with = |scope| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
            ("scope", scope),
        ]
    };
    assert_eq!(provider.token(&with("mail")).await.text("scope"), "mail");
    assert_eq!(
        provider.token(&with("mail admin")).await.error(),
        (400, "invalid_scope")
    );
    assert_eq!(
        provider.refresh(&token).await.text("scope"),
        "mail calendar"
    );
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_grant_and_a_second_time_is_fine() {
    let provider = Provider::rotating(Rotation::Strict).await;
    let old = provider.connect("kim").await.text("refresh_token");
    let tokens = provider.refresh(&old).await;
    let current = tokens.text("refresh_token");
    for token in [current.as_str(), current.as_str(), "never-issued"] {
        let response = provider.post("/revoke", &[("token", token)]).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(provider.fake.grant_state("kim"), GrantState::Revoked);
    assert_eq!(
        provider.userinfo(&tokens.text("access_token")).await.status,
        401
    );
    assert_eq!(
        provider.refresh(&current).await.error(),
        (400, "invalid_grant")
    );
    let page = client()
        .get(format!("{}/grants", provider.fake.url()))
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("revoked by the client") && page.contains("kim"));
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_grant() {
    let provider = Provider::start().await;
    let tokens = provider.connect("kim").await;
    let token = tokens.text("access_token");
    provider.post("/revoke", &[("token", &token)]).await;
    assert_eq!(provider.userinfo(&token).await.status, 401);
    assert_eq!(
        provider.refresh(&tokens.text("refresh_token")).await.status,
        200
    );
}

#[tokio::test]
async fn revoking_can_end_sibling_grants_of_the_same_account_and_client() {
    let provider = Provider::start().await;
    provider
        .fake
        .configure(|settings| settings.revoke_ends_siblings = true);
    let first = provider.connect("kim").await.text("refresh_token");
    let second = provider.connect("kim").await.text("refresh_token");
    provider.connect("pat").await;
    provider.post("/revoke", &[("token", &first)]).await;
    assert_eq!(
        provider.refresh(&second).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(provider.fake.grant_state("pat"), GrantState::Live);
}

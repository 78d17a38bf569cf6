//! The one true path, and what an admin's change does to it.

use std::time::Duration;

use http::Method;
use serde_json::json;
use testkit::fake_as::GrantState;

use crate::stack::{Workspace, eventually};

#[tokio::test]
async fn connect_look_up_and_disconnect() {
    let acme = Workspace::new("flow").await;
    let connector = acme.connector("Files", &["read", "write"]).await;
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");

    let connected = acme.connect("alice", &connector).await;
    assert_eq!(connected.body["account_label"], json!(null));
    assert_eq!(connected.body["granted_scopes"], json!(["read", "write"]));
    let token = acme.token("alice", &connector).await;
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
    let jwt = acme.user("alice").await;
    let mine = acme
        .call(Method::GET, "/v1/me/connectors", &jwt, None)
        .await
        .expect(200);
    assert_eq!(mine.body["items"][0]["status"], "connected");

    let path = format!("/v1/me/connections/{connector}");
    let gone = acme
        .call(Method::DELETE, &path, &jwt, None)
        .await
        .expect(200);
    assert_eq!(
        gone.body,
        json!({"status": "disconnected", "revocation": "revoked"})
    );
    assert_eq!(
        acme.provider.grant_state(&acme.account("alice")).await,
        GrantState::Revoked
    );
    assert_eq!(acme.whose(&token).await, None);
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    acme.call(Method::DELETE, &path, &jwt, None)
        .await
        .expect(200);
}

#[tokio::test]
async fn two_connectors_of_one_provider_have_scopes_and_grants_of_their_own() {
    let acme = Workspace::new("two-connectors").await;
    let reading = acme.connector("Reading", &["read"]).await;
    let writing = acme.connector("Writing", &["read", "write"]).await;
    acme.connect("alice", &reading).await;
    acme.connect("alice", &writing).await;
    let read = acme.lookup("alice", &reading).await.expect(200);
    let write = acme.lookup("alice", &writing).await.expect(200);
    assert_eq!(read.body["scopes"], json!(["read"]));
    assert_eq!(write.body["scopes"], json!(["read", "write"]));
    assert_ne!(read.text("access_token"), write.text("access_token"));
}

#[tokio::test]
async fn changed_scopes_make_lookups_409_until_the_user_reconnects() {
    let acme = Workspace::new("scopes").await;
    let connector = acme.connector("Files", &["read"]).await;
    let first = acme
        .connect("alice", &connector)
        .await
        .text("connection_id");
    acme.update(&connector, json!({"scopes": "read\nwrite\n"}))
        .await
        .expect(200);
    let refused = acme
        .lookup("alice", &connector)
        .await
        .problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "scopes_changed");

    let again = acme
        .connect("alice", &connector)
        .await
        .text("connection_id");
    assert_eq!(again, first, "reconnecting keeps the connection");
    let answer = acme.lookup("alice", &connector).await.expect(200);
    assert_eq!(answer.body["scopes"], json!(["read", "write"]));
}

#[tokio::test]
async fn an_app_disconnects_a_user_whose_id_needs_escaping() {
    let acme = Workspace::new("escaping").await;
    let connector = acme.connector("Files", &["read"]).await;
    let user = "auth0|ärger & co @example";
    acme.connect(user, &connector).await;
    acme.token(user, &connector).await;
    let escaped = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/users/{escaped}/connections");
    let list = acme
        .call(Method::GET, &path, &acme.key, None)
        .await
        .expect(200);
    assert_eq!(list.body["items"][0]["status"], "connected");
    let path = format!("{path}/{connector}");
    acme.call(Method::DELETE, &path, &acme.key, None)
        .await
        .expect(200);
    acme.lookup(user, &connector)
        .await
        .problem(404, "not_connected");
}

#[tokio::test]
async fn a_deleted_connector_disconnects_everyone_by_itself() {
    let acme = Workspace::new("deletion").await;
    let connector = acme.connector("Files", &["read"]).await;
    acme.connect("alice", &connector).await;
    let admin = acme.admin().await;
    let path = format!("/v1/connectors/{connector}");
    let delete = format!("{path}?confirm=Files");
    acme.call(Method::DELETE, &delete, &admin, None)
        .await
        .expect(202);
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    // The schedule runs every minute, and the index gets a minute to settle.
    eventually(
        Duration::from_secs(240),
        "the connector is gone",
        || async { acme.call(Method::GET, &path, &admin, None).await.status == 404 },
    )
    .await;
    assert_eq!(
        acme.provider.grant_state(&acme.account("alice")).await,
        GrantState::Revoked
    );
}

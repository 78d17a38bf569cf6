//! Nobody sees, uses or disconnects what is somebody else's.

use http::Method;
use serde_json::json;

use crate::stack::{RETURN, Workspace};

#[tokio::test]
async fn two_users_have_tokens_of_their_own_and_reach_no_others() {
    let acme = Workspace::new("two-users").await;
    let connector = acme.connector("Files", &["read"]).await;
    acme.connect("alice", &connector).await;
    acme.connect("bob", &connector).await;
    let (alice, bob) = (
        acme.token("alice", &connector).await,
        acme.token("bob", &connector).await,
    );
    assert_eq!(acme.whose(&alice).await, Some(acme.account("alice")));
    assert_eq!(acme.whose(&bob).await, Some(acme.account("bob")));

    // Alice's own list and disconnect concern Alice, whoever else is connected.
    let jwt = acme.user("alice").await;
    let mine = acme
        .call(Method::GET, "/v1/me/connectors", &jwt, None)
        .await
        .expect(200);
    assert_eq!(mine.body["items"].as_array().unwrap().len(), 1);
    let path = format!("/v1/me/connections/{connector}");
    acme.call(Method::DELETE, &path, &jwt, None)
        .await
        .expect(200);
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    assert_eq!(acme.token("bob", &connector).await, bob);
    assert_eq!(acme.whose(&bob).await, Some(acme.account("bob")));
}

#[tokio::test]
async fn h01_a_flow_that_alice_started_and_bob_finished_connects_nobody() {
    let acme = Workspace::new("fixation").await;
    let connector = acme.connector("Files", &["read"]).await;
    let code = acme
        .authorize("alice", &acme.account("bob"), &connector)
        .await;
    acme.complete("bob", &code)
        .await
        .problem(403, "user_mismatch");
    acme.complete("alice", &code)
        .await
        .problem(400, "completion_invalid");
    let counters = acme.provider.counters().await;
    assert_eq!(
        counters.client("client-fixation").token,
        0,
        "the code was never redeemed"
    );
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    acme.lookup("bob", &connector)
        .await
        .problem(404, "not_connected");
}

#[tokio::test]
async fn h21_one_workspace_reaches_nothing_of_another() {
    let acme = Workspace::new("ours").await;
    let globex = Workspace::new("theirs").await;
    let connector = acme.connector("Files", &["read"]).await;
    let connection = acme
        .connect("alice", &connector)
        .await
        .text("connection_id");
    let token = acme.token("alice", &connector).await;

    let (admin, user) = (globex.admin().await, globex.user("alice").await);
    let view = format!("/v1/connectors/{connector}");
    let list = format!("{view}/connections");
    let one = format!("{list}/{connection}");
    let delete = format!("{view}?confirm=Files");
    for (method, path) in [
        (Method::GET, &view),
        (Method::DELETE, &delete),
        (Method::GET, &list),
        (Method::DELETE, &one),
    ] {
        globex
            .call(method, path, &admin, None)
            .await
            .problem(404, "not_found");
    }
    let rename = Some(json!({"name": "Ours now"}));
    let rename = globex.call_with(
        Method::PATCH,
        &view,
        &admin,
        &[("if-match", "\"1\"")],
        rename,
    );
    rename.await.problem(404, "not_found");
    let begin = Some(json!({"connector_id": connector, "return_url": RETURN}));
    let begin = globex
        .call(Method::POST, "/v1/me/connections", &user, begin)
        .await;
    begin.problem(404, "not_found");
    globex
        .lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    for (path, bearer) in [
        (format!("/v1/me/connections/{connector}"), &user),
        (
            format!("/v1/users/alice/connections/{connector}"),
            &globex.key,
        ),
    ] {
        // There is no such connection there, and saying so twice is no error.
        globex
            .call(Method::DELETE, &path, bearer, None)
            .await
            .expect(200);
    }
    assert_eq!(acme.token("alice", &connector).await, token);
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
}

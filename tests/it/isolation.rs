//! Nobody reaches what is somebody else's, and cannot tell it from what does not exist.

use serde_json::json;

use crate::world::{Call, RETURN, World};

#[tokio::test]
async fn a_user_sees_uses_and_disconnects_their_own_only() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.connect("bob", &connector).await;
    let (alice, bob) = (
        world.token("alice", &connector).await,
        world.token("bob", &connector).await,
    );
    assert_ne!(alice, bob);
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(world.status("bob", &connector).await["status"], "connected");
    assert_eq!(world.token("bob", &connector).await, bob);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
}

#[tokio::test]
async fn two_connectors_of_one_provider_hold_grants_of_their_own() {
    let world = World::start().await;
    let (reading, writing) = (
        world.connector(&["read"]).await,
        world.connector(&["write"]).await,
    );
    world.connect("alice", &reading).await;
    world
        .lookup("alice", &writing)
        .await
        .expect_problem(404, "not_connected");
    world.connect("alice", &writing).await;
    let read = world.lookup("alice", &reading).await.expect_status(200);
    let write = world.lookup("alice", &writing).await.expect_status(200);
    assert_eq!(read.body["scopes"], json!(["read"]));
    assert_eq!(write.body["scopes"], json!(["write"]));
    assert_ne!(read.text("access_token"), write.text("access_token"));
}

#[tokio::test]
async fn h21_another_workspaces_ids_read_like_ids_that_do_not_exist() {
    let world = World::start().await;
    world.register_app("globex", "shop").await;
    let theirs = world.connector_of("acme", &["read"]).await;
    let connected = world.connect("alice", &theirs).await.text("connection_id");
    let key = world.key_of("globex", "shop");
    let update = json!({"name": "Mine now"});
    let begin = json!({"connector_id": theirs, "return_url": RETURN});
    let lookup = json!({"connector_id": theirs, "user_id": "alice"});
    let calls = [
        Call::get("/v1/connectors/ID").admin_of("globex"),
        Call::patch("/v1/connectors/ID")
            .admin_of("globex")
            .header("if-match", "\"1\"")
            .json(&update),
        Call::delete("/v1/connectors/ID?confirm=Files").admin_of("globex"),
        Call::get("/v1/connectors/ID/connections").admin_of("globex"),
        Call::delete(&format!("/v1/connectors/ID/connections/{connected}")).admin_of("globex"),
        Call::post("/v1/me/connections")
            .user_of("globex", "shop", "alice")
            .json(&begin),
        Call::delete("/v1/me/connections/ID").user_of("globex", "shop", "alice"),
        Call::post("/v1/tokens").bearer(&key).json(&lookup),
        Call::delete("/v1/users/alice/connections/ID").bearer(&key),
    ];
    for call in calls {
        let foreign = world.send(call.clone().renamed("ID", &theirs)).await;
        let unknown = world
            .send(
                call.clone()
                    .renamed("ID", "unknown")
                    .renamed(&theirs, "unknown"),
            )
            .await;
        assert_eq!(foreign.status, unknown.status, "{call:?}");
        assert_eq!(foreign.body, unknown.body, "{call:?}");
        assert_eq!(foreign.headers, unknown.headers, "{call:?}");
    }
    let list = world
        .send(Call::get("/v1/connectors").admin_of("globex"))
        .await;
    assert_eq!(list.expect_status(200).body, json!({"items": []}));
    let mine = Call::get("/v1/me/connectors").user_of("globex", "shop", "alice");
    assert_eq!(world.send(mine).await.body, json!({"items": []}));
    // Nothing of it happened.
    world.lookup("alice", &theirs).await.expect_status(200);
}

#[tokio::test]
async fn another_app_of_the_workspace_has_other_connections() {
    let world = World::start().await;
    world.register_app("acme", "blog").await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let blog = world.key_of("acme", "blog");
    let lookup = Call::post("/v1/tokens").bearer(&blog).json(&body);
    world
        .send(lookup)
        .await
        .expect_problem(404, "not_connected");
    let path = format!("/v1/users/alice/connections/{connector}");
    world
        .send(Call::delete(&path).bearer(&blog))
        .await
        .expect_status(200);
    world.lookup("alice", &connector).await.expect_status(200);
}

#[tokio::test]
async fn a_connector_with_an_allow_list_serves_the_apps_on_it() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["allowed_apps"] = json!(["blog"]);
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.expect_status(201).text("id");
    assert_eq!(world.status("alice", &connector).await, json!(null));
    let begin = json!({"connector_id": connector, "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
    world.send(begin).await.expect_problem(404, "not_found");
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
}

#[tokio::test]
async fn a_workspace_in_a_header_path_or_body_is_nobodys_business() {
    let world = World::start().await;
    world.connector(&["read"]).await;
    let call = Call::get("/v1/connectors?workspace_id=acme")
        .admin_of("globex")
        .header("x-workspace-id", "acme")
        .header("workspace_id", "acme");
    assert_eq!(
        world.send(call).await.expect_status(200).body,
        json!({"items": []})
    );
    let mut body = world.connector_body(&["read"]);
    body["workspace_id"] = json!("acme");
    let create = Call::post("/v1/connectors").admin_of("globex").json(&body);
    world
        .send(create)
        .await
        .expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn claims_without_a_usable_workspace_app_or_subject_are_refused() {
    let world = World::start().await;
    for claims in [
        json!({"sub": "alice"}),
        json!({"sub": "alice", "workspace_id": "", "app_id": "shop"}),
        json!({"sub": "alice", "workspace_id": "a#b", "app_id": "shop"}),
        json!({"sub": "alice", "workspace_id": "acme"}),
    ] {
        let call = Call::get("/v1/me/connectors").claims(claims);
        world.send(call).await.expect_problem(403, "forbidden");
    }
    let nobody = json!({"workspace_id": "acme", "app_id": "shop"});
    let call = Call::get("/v1/me/connectors").claims(nobody);
    world
        .send(call)
        .await
        .expect_problem(401, "unauthenticated");
}

//! Connectors whose id the admin chooses, and connectors whose secret is not known yet.

use serde_json::{Value, json};

use crate::world::{Answer, Call, RETURN, World};

async fn put(world: &World, workspace: &str, id: &str, body: &Value) -> Answer {
    let put = Call::put(&format!("/v1/connectors/{id}")).json(body);
    world.send(put.admin_of(workspace)).await
}

/// Deletes a connector, until it is gone.
async fn delete(world: &World, workspace: &str, id: &str) {
    let path = format!("/v1/connectors/{id}?confirm=Files");
    let delete = Call::delete(&path).admin_of(workspace);
    world.send(delete).await.expect_status(202);
    world.pass(61);
    world.tick_revoker().await;
    let view = Call::get(&format!("/v1/connectors/{id}")).admin_of(workspace);
    world.send(view).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_redirect_uri_is_known_before_the_secret_and_nobody_connects_until_then() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body.as_object_mut().unwrap().remove("client_secret");
    let made = put(&world, "acme", "files", &body).await.expect_status(201);
    assert_eq!(made.text("id"), "files");
    assert_eq!(
        made.text("redirect_uri"),
        "https://api.grantry.test/oauth/callback/files"
    );
    assert_eq!(made.body["client_secret_set_at"], Value::Null);

    let begin = json!({"connector_id": "files", "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
    world
        .send(begin)
        .await
        .expect_problem(409, "connector_incomplete");

    let change = Call::patch("/v1/connectors/files")
        .admin_of("acme")
        .header("if-match", &made.headers["etag"])
        .json(&json!({"client_secret": "client-secret"}));
    let changed = world.send(change).await.expect_status(200);
    assert_eq!(changed.text("client_secret_last_four"), "cret");
    world.connect("alice", "files").await;
    world.token("alice", "files").await;
}

/// H-37: there is no secret yet that could come into the wrong hands.
#[tokio::test]
async fn h37_an_endpoint_may_change_without_the_secret_while_there_is_none() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body.as_object_mut().unwrap().remove("client_secret");
    let made = put(&world, "acme", "files", &body).await.expect_status(201);
    let change = Call::patch("/v1/connectors/files")
        .admin_of("acme")
        .header("if-match", &made.headers["etag"])
        .json(&json!({"client_id": "other"}));
    world.send(change).await.expect_status(200);
}

#[tokio::test]
async fn the_same_put_again_changes_nothing_and_another_one_is_refused() {
    let world = World::start().await;
    let body = world.connector_body(&["read"]);
    let made = put(&world, "acme", "files", &body).await.expect_status(201);
    let again = put(&world, "acme", "files", &body).await.expect_status(200);
    assert_eq!(again.body, made.body);
    assert_eq!(again.headers["etag"], made.headers["etag"]);
    // Who names no secret asks for none.
    let mut unnamed = body.clone();
    unnamed.as_object_mut().unwrap().remove("client_secret");
    put(&world, "acme", "files", &unnamed)
        .await
        .expect_status(200);

    for (member, value) in [
        ("name", json!("Other files")),
        ("client_id", json!("other")),
        ("client_secret", json!("another-secret")),
        ("scopes", json!(["read", "write"])),
        ("allowed_apps", json!(["shop"])),
    ] {
        let mut other = body.clone();
        other[member] = value;
        let refused = put(&world, "acme", "files", &other).await;
        refused.expect_problem(409, "already_exists");
    }
    let viewed = Call::get("/v1/connectors/files").admin_of("acme");
    let viewed = world.send(viewed).await.expect_status(200);
    assert_eq!(viewed.headers["etag"], made.headers["etag"]);
    assert_eq!(world.bus.types(), ["connector.created"]);
}

/// H-06, A-01: two tenants never share a redirect URI, not even one after the other.
#[tokio::test]
async fn h06_a01_an_id_is_its_workspaces_for_good() {
    let world = World::start().await;
    let body = world.connector_body(&["read"]);
    put(&world, "acme", "files", &body).await.expect_status(201);
    let random = world.connector(&["read"]).await;
    for id in ["files", &random] {
        let refused = put(&world, "globex", id, &body).await;
        refused.expect_problem(409, "already_exists");
        delete(&world, "acme", id).await;
        let refused = put(&world, "globex", id, &body).await;
        refused.expect_problem(409, "already_exists");
        put(&world, "acme", id, &body).await.expect_status(201);
    }
    let theirs = Call::get("/v1/connectors").admin_of("globex");
    let theirs = world.send(theirs).await.expect_status(200);
    assert_eq!(theirs.body, json!({"items": []}));
}

/// Nothing of what one connector was granted comes to another one that has its id now.
#[tokio::test]
async fn h38_a_connector_under_an_id_that_is_used_again_is_another_one() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    put(&world, "acme", "files", &body).await.expect_status(201);
    let code = world.authorize("alice", "alice", "files").await;
    delete(&world, "acme", "files").await;
    body["client_id"] = json!("another");
    put(&world, "acme", "files", &body).await.expect_status(201);
    let asked = world.provider.requests().len();
    let late = world.complete("alice", &code).await;
    late.expect_problem(409, "conflict");
    assert_eq!(world.provider.requests().len(), asked);
}

#[tokio::test]
async fn what_cannot_be_an_id_is_named_and_a_post_has_its_secret() {
    let world = World::start().await;
    let body = world.connector_body(&["read"]);
    for id in ["a.b", "a%23b", &"x".repeat(65)] {
        let refused = put(&world, "acme", id, &body).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "connector_id", "{id}");
    }
    let mut unnamed = body;
    unnamed.as_object_mut().unwrap().remove("client_secret");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&unnamed);
    let refused = world.send(create).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "client_secret");
}

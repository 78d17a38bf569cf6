//! An app is deleted: its keys at once, its users' connections in the background, and then it is
//! gone.

use serde_json::{Value, json};
use testkit::fake_as::{Behaviour, Endpoint, GrantState};

use crate::world::{Answer, Call, RETURN, World};

const DELETE: &str = "/v1/apps/shop?confirm=Shop";

async fn delete(world: &World) -> Answer {
    world.send(Call::delete(DELETE).admin_of("acme")).await
}

async fn view(world: &World) -> Answer {
    world
        .send(Call::get("/v1/apps/shop").admin_of("acme"))
        .await
}

#[tokio::test]
async fn an_app_is_deleted_by_name_with_its_keys_and_everything_its_users_granted() {
    let world = World::start().await;
    world.register_app("acme", "blog").await;
    let (files, mail) = (
        world.connector(&["read"]).await,
        world.connector(&["write"]).await,
    );
    for user in ["alice", "bob"] {
        world.connect(user, &files).await;
    }
    world.connect("alice", &mail).await;
    world.connect_as(["acme", "blog", "carol"], &files).await;
    for wrong in ["/v1/apps/shop", "/v1/apps/shop?confirm=shop"] {
        let refused = world.send(Call::delete(wrong).admin_of("acme")).await;
        refused.expect_problem(400, "confirmation_required");
    }
    let begun = delete(&world).await.expect_status(202);
    assert_eq!(begun.body["deletion"]["remaining"], 3);
    delete(&world).await.expect_status(202);

    // Before anything else has happened.
    let keys = Call::get("/v1/apps/shop/keys").admin_of("acme");
    let keys = world.send(keys).await.expect_status(200);
    assert_eq!(keys.body["items"], json!([]));
    world
        .lookup("alice", &files)
        .await
        .expect_problem(401, "unauthenticated");

    world.pass(1);
    for _ in 0..2 {
        world.tick_revoker().await;
    }
    for user in ["alice", "bob"] {
        assert_eq!(world.provider.grant_state(user), GrantState::Revoked);
    }
    assert_eq!(view(&world).await.body["deletion"]["remaining"], 0);
    // Flows that were under way have their time.
    world.pass(15 * 60);
    assert_eq!(world.tick_revoker().await["apps_deleted"], 1);
    view(&world).await.expect_problem(404, "not_found");
    assert_eq!(world.bus.types().last(), Some(&"app.deleted"));
    let audit = Call::get("/v1/audit?app_id=shop&action=app.deleting").admin_of("acme");
    let audit = world.send(audit).await.expect_status(200);
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 1);

    // What is another app's has not been touched.
    assert_eq!(world.provider.grant_state("carol"), GrantState::Live);
    let body = json!({"connector_id": files, "user_id": "carol"});
    let blog = world.key_of("acme", "blog");
    let lookup = Call::post("/v1/tokens").bearer(&blog).json(&body);
    world.send(lookup).await.expect_status(200);
    // And another app may have the name.
    world.register_app("acme", "shop").await;
    assert_eq!(
        world.status("alice", &files).await["status"],
        "not_connected"
    );
}

#[tokio::test]
async fn x2_to_its_users_an_app_that_is_being_deleted_is_gone() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let code = world.authorize("bob", "bob", &connector).await;
    let (authorize_url, cookie) = world.follow(&world.begin("carol", &connector).await).await;
    let link = world.begin("dave", &connector).await;
    delete(&world).await.expect_status(202);

    let begin = json!({"connector_id": connector, "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
    world.send(begin).await.expect_problem(404, "not_found");
    let list = Call::get("/v1/me/connectors").user("alice");
    world.send(list).await.expect_problem(404, "not_found");
    // Whatever stage a flow was in, it brings no connection.
    world
        .complete("bob", &code)
        .await
        .expect_problem(409, "conflict");
    let callback = world.consent(&authorize_url, "carol").await;
    let returned = world.send(Call::get(&callback).cookie(&cookie)).await;
    assert!(returned.status >= 400, "{returned:?}");
    world.send(Call::get(&link)).await;
    for user in ["bob", "carol", "dave"] {
        assert!(world.stored(user, &connector).await.is_none());
    }
    // What bob's code brought is revoked.
    world.pass(1);
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("bob"), GrantState::Revoked);
}

#[tokio::test]
async fn an_app_that_is_being_deleted_is_not_changed_and_gets_no_key() {
    let world = World::start().await;
    delete(&world).await.expect_status(202);
    let put = json!({"name": "Shop", "return_urls": [RETURN]});
    let put = Call::put("/v1/apps/shop").admin_of("acme").json(&put);
    world.send(put).await.expect_problem(409, "conflict");
    let key = Call::post("/v1/apps/shop/keys")
        .admin_of("acme")
        .json(&json!({"name": "late"}));
    world.send(key).await.expect_problem(409, "conflict");
}

/// X1, X6: every run goes on where the one before was stopped.
#[tokio::test]
async fn x1_a_deletion_goes_on_after_any_stop_and_waits_for_the_provider() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for n in 0..60 {
        world.connect(&format!("user{n}"), &connector).await;
    }
    let busy = Behaviour::RetryAfter {
        status: 503,
        seconds: Some(60),
    };
    world.provider.always(Endpoint::Revoke, busy);
    delete(&world).await.expect_status(202);
    let left = async || view(&world).await.body["deletion"]["remaining"].clone();
    world.pass(16 * 60);
    for _ in 0..3 {
        world.tick_revoker().await;
        assert_eq!(left().await, json!(60), "stopped, and not confirmed");
    }
    world.provider.clear_script();
    world.pass(3600);
    let mut runs = 0;
    while left().await != Value::Null {
        world.tick_revoker().await;
        runs += 1;
        assert!(runs < 10, "it does not end");
    }
    view(&world).await.expect_problem(404, "not_found");
}

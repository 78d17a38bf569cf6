//! Stories of accounts that everyone in an app uses: connectors of kind `app`.

use serde_json::{Value, json};
use testkit::fake_as::GrantState;

use crate::confirm::{html, set_app};
use crate::world::for_apps::{begin_shared, complete_shared};
use crate::world::{API, Call, RETURN, World};

/// Somebody in a role of a workspace, on a plan that may change no connector.
fn admin(call: Call, workspace: &str, sub: &str, role: &str) -> Call {
    call.claims(json!({
        "sub": sub, "workspace_id": workspace, "role": role, "plan": "free",
        "email": format!("{sub}@{workspace}.example"),
    }))
}

async fn connected() -> (World, String, String) {
    let world = World::start().await;
    let connector = world.shared_connector().await;
    let connection = world.connect_shared("acme", "shop", &connector).await;
    (world, connector, connection)
}

/// What an admin sees of a connector's connections.
async fn listed(world: &World, connector: &str) -> Vec<Value> {
    let path = format!("/v1/connectors/{connector}/connections");
    let list = world.send(Call::get(&path).admin_of("acme")).await;
    let list = list.expect_status(200);
    list.body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_admin_connects_one_account_and_everyone_in_the_app_uses_it() {
    let (world, connector, connection) = connected().await;
    let token = world.lookup_shared(&connector).await.expect_status(200);
    assert_eq!(token.body["scopes"], json!(["read"]));

    let list = listed(&world, &connector).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["connection_id"], json!(connection));
    assert_eq!(list[0]["subject"], "app");
    assert_eq!(list[0].get("user_id"), None);
    // Connected again it stays the same.
    let again = world.connect_shared("acme", "shop", &connector).await;
    assert_eq!(again, connection);
    assert_eq!(listed(&world, &connector).await.len(), 1);
}

#[tokio::test]
async fn h83_events_and_audit_say_that_it_is_the_apps_account_and_which_admin_acted() {
    let (world, connector, connection) = connected().await;
    world.lookup_shared(&connector).await.expect_status(200);
    let events = world.bus.events();
    let told = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap());
    let told: Vec<_> = told
        .filter(|event| event["connection_id"] == json!(connection))
        .collect();
    assert_eq!(told.len(), 1);
    let actor = json!({"kind": "admin", "id": "root"});
    assert_eq!(told[0]["type"], "connection.connected");
    assert_eq!(
        (&told[0]["subject"], &told[0]["actor"]),
        (&json!("app"), &actor)
    );
    assert_eq!(told[0].get("user_id"), None);

    let path = format!("/v1/audit?connector_id={connector}");
    let trail = world.send(Call::get(&path).admin_of("acme")).await;
    let trail = trail.expect_status(200);
    let entries = trail.body["items"].as_array().unwrap();
    for (action, actor) in [("connection.connected", "admin"), ("token.read", "app_key")] {
        let entry = entries.iter().find(|entry| entry["action"] == action);
        let entry = entry.expect(action);
        assert_eq!(
            (&entry["subject"], &entry["app_id"]),
            (&json!("app"), &json!("shop"))
        );
        assert_eq!(
            (&entry["actor"]["kind"], entry.get("user_id")),
            (&json!(actor), None)
        );
    }
}

/// H-01, where the one who began is an admin.
#[tokio::test]
async fn h01_another_admin_and_a_user_of_the_same_name_cannot_finish_an_admins_flow() {
    let world = World::start().await;
    world.register_app("globex", "shop").await;
    let connector = world.shared_connector().await;
    let finish = |code: &str| complete_shared(&connector, code);
    let mine = |code: &str| Call::post("/v1/me/connections/complete").json(&json!({"code": code}));
    let wrong: [fn(Call) -> Call; 3] = [
        |call| admin(call, "acme", "other", "owner"),
        |call| admin(call, "globex", "root", "owner"),
        |call| call.user("root"),
    ];
    for (n, by) in wrong.into_iter().enumerate() {
        let begin = begin_shared("shop", &connector).admin_of("acme");
        let code = world.authorize_with(begin, "team").await;
        let call = if n < 2 { finish(&code) } else { mine(&code) };
        world
            .send(by(call))
            .await
            .expect_problem(403, "user_mismatch");
        // The code is thrown away, for the right one too.
        let late = world.send(finish(&code).admin_of("acme")).await;
        late.expect_problem(400, "completion_invalid");
    }
    assert_eq!(world.provider.counters().total.token, 0);
    assert!(listed(&world, &connector).await.is_empty());
}

#[tokio::test]
async fn h01_nobody_a_viewer_and_another_connectors_path_finish_nothing_and_spoil_nothing() {
    let world = World::start().await;
    let (connector, other) = (
        world.shared_connector().await,
        world.shared_connector().await,
    );
    let begin = begin_shared("shop", &connector).admin_of("acme");
    let code = world.authorize_with(begin, "team").await;
    let finish = || complete_shared(&connector, &code);
    world
        .send(finish())
        .await
        .expect_problem(401, "unauthenticated");
    let as_user = world.send(finish().user("root")).await;
    as_user.expect_problem(403, "forbidden");
    let as_viewer = world.send(admin(finish(), "acme", "root", "viewer")).await;
    as_viewer.expect_problem(403, "forbidden");
    let elsewhere = complete_shared(&other, &code).admin_of("acme");
    let elsewhere = world.send(elsewhere).await;
    elsewhere.expect_problem(400, "completion_invalid");
    assert_eq!(world.provider.counters().total.token, 0);
    world
        .send(finish().admin_of("acme"))
        .await
        .expect_status(200);
}

#[tokio::test]
async fn h01_an_admin_of_the_same_name_cannot_finish_a_users_flow() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let finish = admin(complete_shared(&connector, &code), "acme", "alice", "owner");
    world
        .send(finish)
        .await
        .expect_problem(403, "user_mismatch");
    let late = world.complete("alice", &code).await;
    late.expect_problem(400, "completion_invalid");
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn h04_only_admins_begin_for_an_app_whatever_the_plan() {
    let world = World::start().await;
    let connector = world.shared_connector().await;
    let begin = || begin_shared("shop", &connector);
    world
        .send(begin())
        .await
        .expect_problem(401, "unauthenticated");
    let as_user = world.send(begin().user("alice")).await;
    as_user.expect_problem(403, "forbidden");
    let as_viewer = world.send(admin(begin(), "acme", "v", "viewer")).await;
    as_viewer.expect_problem(403, "forbidden");
    let by_admin = admin(begin(), "acme", "root", "admin");
    world.send(by_admin).await.expect_status(201);
}

#[tokio::test]
async fn a_connector_of_one_kind_connects_and_serves_no_account_of_the_other() {
    let (world, shared, _) = connected().await;
    let own = world.connector(&["read"]).await;
    world.connect("alice", &own).await;
    let body = json!({"connector_id": shared, "return_url": RETURN});
    let as_user = Call::post("/v1/me/connections").user("alice").json(&body);
    let as_admin = begin_shared("shop", &own).admin_of("acme");
    for begin in [as_user, as_admin] {
        world.send(begin).await.expect_problem(409, "kind_mismatch");
    }
    world
        .lookup("alice", &shared)
        .await
        .expect_problem(409, "kind_mismatch");
    world
        .lookup_shared(&own)
        .await
        .expect_problem(409, "kind_mismatch");
    // Who has no key, or asks for what is not theirs, learns no kind.
    let body = json!({"connector_id": shared, "user_id": "alice"});
    let keyless = Call::post("/v1/tokens").bearer("x").json(&body);
    world
        .send(keyless)
        .await
        .expect_problem(401, "unauthenticated");
    world.register_app("globex", "shop").await;
    let foreign = world.key_of("globex", "shop");
    for body in [body, json!({"connector_id": shared})] {
        let foreign = Call::post("/v1/tokens").bearer(&foreign).json(&body);
        world
            .send(foreign)
            .await
            .expect_problem(404, "not_connected");
    }
}

#[tokio::test]
async fn h20_each_app_has_an_account_of_its_own() {
    let (world, connector, _) = connected().await;
    world.register_app("acme", "blog").await;
    let blog = world.key_of("acme", "blog");
    let lookup = || {
        let body = json!({"connector_id": connector});
        Call::post("/v1/tokens").bearer(&blog).json(&body)
    };
    world
        .send(lookup())
        .await
        .expect_problem(404, "not_connected");
    world.connect_shared("acme", "blog", &connector).await;
    let blogs = world.send(lookup()).await.expect_status(200);
    let shops = world.lookup_shared(&connector).await.expect_status(200);
    assert_ne!(blogs.text("access_token"), shops.text("access_token"));
    // No user can be named so that it is the app's own account.
    for user in ["S", "#S"] {
        let named = json!({"connector_id": connector, "user_id": user});
        let named = world.lookup_with(named).await;
        named.expect_problem(409, "kind_mismatch");
    }
}

#[tokio::test]
async fn users_do_not_see_it_and_cannot_end_it() {
    let (world, connector, _) = connected().await;
    assert_eq!(world.status("alice", &connector).await, Value::Null);
    let key = world.key_of("acme", "shop");
    let list = Call::get("/v1/users/alice/connections").bearer(&key);
    let list = world.send(list).await.expect_status(200);
    assert_eq!(list.body["items"], json!([]));
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    world.disconnect("S", &connector).await.expect_status(200);
    let path = format!("/v1/users/alice/connections/{connector}");
    world
        .send(Call::delete(&path).bearer(&key))
        .await
        .expect_status(200);
    world.lookup_shared(&connector).await.expect_status(200);
    let trail = world.send(Call::get("/v1/me/audit").user("root")).await;
    assert_eq!(trail.expect_status(200).body["items"], json!([]));
}

#[tokio::test]
async fn it_is_refreshed_on_demand_and_by_schedule() {
    let (world, connector, _) = connected().await;
    let token = async || {
        let found = world.lookup_shared(&connector).await.expect_status(200);
        found.text("access_token")
    };
    let first = token().await;
    world.pass(3600);
    let second = token().await;
    assert_ne!(first, second);
    let refreshed = world.provider.counters().total.token;
    world.pass(3000);
    world.tick().await;
    assert_eq!(world.provider.counters().total.token, refreshed + 1);
    assert_ne!(token().await, second);
    assert_eq!(world.provider.counters().total.token, refreshed + 1);
}

#[tokio::test]
async fn k1_an_admin_disconnects_it_and_the_grant_is_revoked() {
    let (world, connector, connection) = connected().await;
    let path = format!("/v1/connectors/{connector}/connections/{connection}");
    let delete = || Call::delete(&path).admin_of("acme");
    world.send(delete()).await.expect_status(200);
    assert_eq!(world.provider.grant_state("team"), GrantState::Revoked);
    let gone = world.lookup_shared(&connector).await;
    gone.expect_problem(404, "not_connected");
    assert!(listed(&world, &connector).await.is_empty());
}

#[tokio::test]
async fn x1_with_its_connector_it_goes_too() {
    let (world, connector, _) = connected().await;
    let path = format!("/v1/connectors/{connector}?confirm=Files");
    let delete = Call::delete(&path).admin_of("acme");
    world.send(delete).await.expect_status(202);
    let gone = world.lookup_shared(&connector).await;
    gone.expect_problem(404, "not_connected");
    for _ in 0..2 {
        world.tick_revoker().await;
        world.pass(60);
    }
    assert_eq!(world.provider.grant_state("team"), GrantState::Revoked);
    assert_eq!(world.bus.types().last(), Some(&"connector.deleted"));
}

#[tokio::test]
async fn on_our_page_the_admin_is_named_and_that_everyone_will_use_the_account() {
    let world = World::start().await;
    set_app(&world, json!({"completion": "screen"})).await;
    let connector = world.shared_connector().await;
    let begin = admin(begin_shared("shop", &connector), "acme", "root", "owner");
    let begun = world.send(begin).await.expect_status(201);
    let link = begun.text("connect_url");
    let (authorize_url, cookie) = world.follow(link.strip_prefix(API).unwrap()).await;
    let callback = world.consent(&authorize_url, "team").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let page = back.location().strip_prefix(API).unwrap().to_owned();
    let shown = world.send(Call::get(&page).cookie(&cookie)).await;
    let shown = shown.expect_status(200);
    for expected in [
        "<dt>Started by the admin</dt><dd><bdi>root@acme.example</bdi> (<bdi>root</bdi>)</dd>",
        "for <strong>everyone who uses the app</strong>",
        "otherwise everyone in their app would use your account",
    ] {
        assert!(
            html(&shown).contains(expected),
            "{expected}: {}",
            html(&shown)
        );
    }

    let code = &back.location_params()["code"];
    // The page's code proves nobody at the API.
    let complete = complete_shared(&connector, code).admin_of("acme");
    let complete = world.send(complete).await;
    complete.expect_problem(409, "completion_mode");
    let press = Call::post("/oauth/confirm").form(&[("code", code), ("decision", "connect")]);
    let ended = world.send(press.cookie(&cookie)).await.expect_status(303);
    assert_eq!(ended.location_params()["status"], "connected");
    world.lookup_shared(&connector).await.expect_status(200);
    let event = world.bus.events().pop().unwrap();
    let event = serde_json::to_value(event).unwrap();
    assert_eq!(event["actor"], json!({"kind": "admin", "id": "root"}));
}

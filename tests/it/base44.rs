//! Stories of the routes that Base44's JavaScript SDK calls. `tests/base44` calls them with the SDK
//! itself.

use serde_json::{Value, json};
use shared::domain::rate::Caps;

use crate::confirm::{Asked, screen_world, set_app};
use crate::world::{API, Answer, Call, Limits, RETURN, World};

const OTHER: &str = "https://shop.example/settings?tab=accounts";

fn at_app(app: &str, connector: &str) -> String {
    format!("/api/apps/{app}/app-user-auth/connectors/{connector}")
}

/// `connectors.connectAppUser`.
fn initiate(connector: &str) -> Call {
    let path = format!("{}/initiate", at_app("shop", connector));
    Call::post(&path).user("alice")
}

/// `connectors.disconnectAppUser`.
fn leave(connector: &str) -> Call {
    Call::delete(&at_app("shop", connector)).user("alice")
}

/// `asServiceRole.connectors.getCurrentAppUserConnection`.
fn token_of_user(connector: &str) -> Call {
    Call::get(&format!("{}/token", at_app("shop", connector)))
}

/// `asServiceRole.connectors.getWorkspaceConnection`.
fn token_by_id(connector: &str) -> Call {
    Call::get(&format!(
        "/api/apps/shop/external-auth/tokens/connectors/{connector}"
    ))
}

/// `asServiceRole.connectors.getConnection`.
fn token_by_type(provider: &str) -> Call {
    Call::get(&format!("/api/apps/shop/external-auth/tokens/{provider}"))
}

/// As the SDK's service role, which has a key and, where a user is signed in, their JWT.
async fn send(world: &World, call: Call) -> Answer {
    world.send(call.bearer(&world.key_of("acme", "shop"))).await
}

async fn sent_for_alice(world: &World, call: Call) -> Answer {
    send(world, call.on_behalf_of(&world.jwt("alice"))).await
}

/// Walks from a call that begins to the end of the flow. Answers where that is.
async fn walk(world: &World, begin: Call) -> String {
    let begun = world.send(begin).await.expect_status(200);
    assert_eq!(begun.body.as_object().unwrap().len(), 1);
    let link = begun.text("redirect_url");
    let link = link.strip_prefix(API).expect("a link to the API");
    let asked = Asked::by(world, link, "alice").await;
    let back = world.send(asked.press("connect")).await;
    let back = back.expect_status(303);
    assert_eq!(back.location_params()["status"], "connected");
    back.location()
}

/// A connector of kind `app`, younger than all before. Answers its id.
async fn younger(world: &World) -> String {
    world.pass(1);
    world.shared_connector().await
}

async fn edit(world: &World, connector: &str, change: &Value) {
    let path = format!("/v1/connectors/{connector}");
    let patch = Call::patch(&path).admin_of("acme").json(change);
    let patch = patch.header("if-match", "\"1\"");
    world.send(patch).await.expect_status(200);
}

#[tokio::test]
async fn a_user_connects_is_read_and_disconnects_by_the_sdks_routes() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let none = sent_for_alice(&world, token_of_user(&connector)).await;
    none.expect_problem(404, "not_connected");

    walk(&world, initiate(&connector)).await;
    let found = sent_for_alice(&world, token_of_user(&connector)).await;
    let token = world.token("alice", &connector).await;
    let answer = json!({
        "access_token": token, "integration_type": "custom", "connection_config": {},
    });
    assert_eq!(found.expect_status(200).body, answer);

    for _ in 0..2 {
        let gone = world.send(leave(&connector)).await.expect_status(200);
        assert_eq!(gone.body["status"], "disconnected");
    }
    let none = sent_for_alice(&world, token_of_user(&connector)).await;
    none.expect_problem(404, "not_connected");
}

/// H-01: who may choose the route must not choose how the app's flows are proven.
#[tokio::test]
async fn h01_an_app_that_completes_its_flows_is_not_moved_to_the_screen_by_a_call() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let refused = world.send(initiate(&connector)).await;
    let refused = refused.expect_problem(409, "completion_mode");
    assert!(
        refused
            .text("detail")
            .contains("\"completion\": \"screen\"")
    );
    set_app(&world, json!({"completion": "screen"})).await;
    world.send(initiate(&connector)).await.expect_status(200);
}

#[tokio::test]
async fn h10_the_flow_ends_on_the_callers_page_where_that_is_registered_and_else_on_the_first() {
    let world = screen_world().await;
    let two = json!({"completion": "screen", "return_urls": [RETURN, OTHER]});
    set_app(&world, two).await;
    let connector = world.connector(&["read"]).await;
    let from = |page: &str| initiate(&connector).header("x-origin-url", page);
    let ended = walk(&world, from(OTHER)).await;
    assert!(
        ended.starts_with(&format!("{OTHER}&status=connected")),
        "{ended}"
    );
    let first = format!("{RETURN}?status=connected");
    assert!(walk(&world, initiate(&connector)).await.starts_with(&first));
    for page in [
        RETURN,
        "https://evil.example/",
        "https://shop.example/settings",
        &format!("{OTHER}#x"),
        &OTHER.to_uppercase(),
        "",
    ] {
        let ended = walk(&world, from(page)).await;
        assert!(ended.starts_with(&first), "{page}: {ended}");
    }
    let none = json!({"completion": "screen", "return_urls": []});
    set_app(&world, none).await;
    let refused = world.send(from("https://evil.example/")).await;
    refused.expect_problem(400, "invalid_request");
}

/// What may be begun is what may be begun elsewhere.
#[tokio::test]
async fn the_sdk_begins_under_the_same_rules_as_others() {
    let world = screen_world().await;
    let (own, shared) = (
        world.connector(&["read"]).await,
        world.shared_connector().await,
    );
    let refused = world.send(initiate(&shared)).await;
    refused.expect_problem(409, "kind_mismatch");
    let unknown = world.send(initiate("unknown")).await;
    unknown.expect_problem(404, "not_found");
    let disable = Call::post(&format!("/v1/connectors/{own}/disable")).admin_of("acme");
    world.send(disable).await.expect_status(200);
    let refused = world.send(initiate(&own)).await;
    refused.expect_problem(409, "connector_disabled");
    for begin in [initiate(&own), leave(&own)] {
        let admin = begin.admin_of("acme");
        world.send(admin).await.expect_problem(403, "forbidden");
    }
}

/// H-20, H-21: also another app of the same workspace, in which the caller has the same name.
#[tokio::test]
async fn h20_h21_the_app_in_a_path_is_the_callers_own_or_not_there() {
    let world = screen_world().await;
    world.register_app("acme", "blog").await;
    let connector = world.connector(&["read"]).await;
    let shared = world.shared_connector().await;
    world
        .connect_as(["acme", "blog", "alice"], &connector)
        .await;
    world.connect_shared("acme", "blog", &shared).await;
    let calls = |app: &str| {
        let at = at_app(app, &connector);
        let tokens = format!("/api/apps/{app}/external-auth/tokens");
        let key = world.key_of("acme", "shop");
        let token = Call::get(&format!("{at}/token")).bearer(&key);
        [
            Call::post(&format!("{at}/initiate")).user("alice"),
            Call::delete(&at).user("alice"),
            token.clone().on_behalf_of(&world.jwt("alice")),
            token,
            Call::get(&format!("{tokens}/connectors/{shared}")).bearer(&key),
            Call::get(&format!("{tokens}/custom")).bearer(&key),
        ]
    };
    for (blogs, nobodys) in calls("blog").into_iter().zip(calls("nope")) {
        let refused = world.send(blogs).await.expect_problem(404, "not_found");
        assert_eq!(refused.body, world.send(nobodys).await.body);
    }
}

#[tokio::test]
async fn a_users_token_needs_the_key_and_the_users_own_jwt() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let ask = || token_of_user(&connector);
    let alone = send(&world, ask()).await;
    alone.expect_problem(403, "on_behalf_of_required");
    let forged = format!("grantry_sk_acme.shop.{}", "A".repeat(43));
    let jwt = world.jwt("alice");
    for call in [
        ask(),
        ask().bearer(&forged),
        ask().bearer(&jwt),
        ask().on_behalf_of(&jwt),
        ask().on_behalf_of(&jwt).bearer(&forged),
        ask()
            .on_behalf_of("no JWT")
            .bearer(&world.key_of("acme", "shop")),
    ] {
        let refused = world.send(call).await;
        refused.expect_problem(401, "unauthenticated");
    }
    let blogs = world.jwt_of(["acme", "blog", "alice"]);
    let refused = send(&world, ask().on_behalf_of(&blogs)).await;
    refused.expect_problem(403, "forbidden");
    let bobs = send(&world, ask().on_behalf_of(&world.jwt("bob"))).await;
    bobs.expect_problem(404, "not_connected");
}

/// A key by what it may be used for, on all three look-ups.
#[tokio::test]
async fn h86_a_key_of_the_sdk_is_good_for_its_scopes_and_riders_alone() {
    let world = World::start().await;
    let own = world.connector(&["read"]).await;
    world.connect("alice", &own).await;
    let shared = world.shared_connector().await;
    world.connect_shared("acme", "shop", &shared).await;
    let remove_first = async || {
        let path = "/v1/apps/shop/keys";
        let list = world.send(Call::get(path).admin_of("acme")).await;
        let first = list.body["items"][0]["id"].as_str().unwrap().to_owned();
        let remove = Call::delete(&format!("{path}/{first}")).admin_of("acme");
        world.send(remove).await.expect_status(204);
    };
    let key = async |body: Value| {
        let make = Call::post("/v1/apps/shop/keys").json(&body);
        world.send(make.admin_of("acme")).await.text("key")
    };
    let jwt = world.jwt("alice");
    let calls = || {
        [
            token_of_user(&own).on_behalf_of(&jwt),
            token_by_id(&shared),
            token_by_type("custom"),
        ]
    };
    let lists = key(json!({"name": "lists", "scopes": ["connections:read"]})).await;
    for call in calls() {
        let refused = world.send(call.bearer(&lists)).await;
        let refused = refused.expect_problem(403, "insufficient_scope");
        assert_eq!(refused.text("required_scope"), "tokens:read");
    }
    remove_first().await;
    let careful = key(json!({"name": "careful", "on_behalf_of_only": true})).await;
    let [users, by_id, by_type] = calls();
    world.send(users.bearer(&careful)).await.expect_status(200);
    for call in [by_id, by_type] {
        // The app's account is nobody's, whoever rides along.
        for call in [call.clone(), call.on_behalf_of(&jwt)] {
            let refused = world.send(call.bearer(&careful)).await;
            refused.expect_problem(403, "on_behalf_of_required");
        }
    }
}

#[tokio::test]
async fn the_apps_account_is_found_by_its_connector_and_by_its_provider_whoever_rides_along() {
    let world = World::start().await;
    let own = world.connector(&["read"]).await;
    world.connect("alice", &own).await;
    let shared = world.shared_connector().await;
    for ask in [token_by_id(&shared), token_by_type("custom")] {
        let none = send(&world, ask).await;
        none.expect_problem(404, "not_connected");
    }
    world.connect_shared("acme", "shop", &shared).await;
    let token = world.lookup_shared(&shared).await.text("access_token");
    for ask in [token_by_id(&shared), token_by_type("custom")] {
        for ask in [ask.clone(), ask.on_behalf_of("a JWT of long ago")] {
            let found = send(&world, ask).await.expect_status(200);
            let answer = json!({
                "access_token": token, "integration_type": "custom", "connection_config": {},
            });
            assert_eq!(found.body, answer);
        }
    }
    // Each by its own name: no user's account is the app's, nor the app's a user's.
    let users = send(&world, token_by_id(&own)).await;
    users.expect_problem(409, "kind_mismatch");
    let apps = sent_for_alice(&world, token_of_user(&shared)).await;
    apps.expect_problem(409, "kind_mismatch");
    for provider in ["google", "connectors"] {
        let none = send(&world, token_by_type(provider)).await;
        none.expect_problem(404, "not_connected");
    }
    for wrong in ["no.provider", "%20"] {
        let none = send(&world, token_by_type(wrong)).await;
        none.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn of_several_connectors_of_a_provider_the_oldest_that_is_connected_is_meant() {
    let world = World::start().await;
    let ids = [
        younger(&world).await,
        younger(&world).await,
        younger(&world).await,
    ];
    let [first, second, third] = &ids;
    let meant = async || {
        let found = send(&world, token_by_type("custom")).await;
        let found = found.expect_status(200).text("access_token");
        for connector in &ids {
            let one = world.lookup_shared(connector).await;
            if one.body["access_token"] == found {
                return connector.clone();
            }
        }
        panic!("a token of none of them");
    };
    let none = send(&world, token_by_type("custom")).await;
    none.expect_problem(404, "not_connected");
    world.connect_shared("acme", "shop", third).await;
    assert_eq!(meant().await, *third);
    world.connect_shared("acme", "shop", second).await;
    assert_eq!(meant().await, *second);
    // What has to be connected again comes after what is connected, and before what never was.
    edit(&world, second, &json!({"scopes": ["read", "write"]})).await;
    assert_eq!(meant().await, *third);
    let disable = |connector: &str| {
        let path = format!("/v1/connectors/{connector}/disable");
        Call::post(&path).admin_of("acme")
    };
    world.send(disable(third)).await.expect_status(200);
    let refused = send(&world, token_by_type("custom")).await;
    let refused = refused.expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "scopes_changed");
    world.connect_shared("acme", "shop", first).await;
    assert_eq!(meant().await, *first);
}

#[tokio::test]
async fn a_provider_means_no_connector_that_is_not_for_the_app() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["kind"] = json!("app");
    body["allowed_apps"] = json!(["blog"]);
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201);
    let none = send(&world, token_by_type("custom")).await;
    none.expect_problem(404, "not_connected");
    let shared = younger(&world).await;
    world.connect_shared("acme", "shop", &shared).await;
    send(&world, token_by_type("custom"))
        .await
        .expect_status(200);
    let disable = Call::post(&format!("/v1/connectors/{shared}/disable"));
    world
        .send(disable.admin_of("acme"))
        .await
        .expect_status(200);
    for ask in [token_by_id(&shared), token_by_type("custom")] {
        let refused = send(&world, ask).await;
        refused.expect_problem(409, "connector_disabled");
    }
}

/// H-25, H-83: one look-up, whichever route it came by.
#[tokio::test]
async fn h25_h83_what_the_sdk_reads_is_refreshed_audited_and_capped_as_any_look_up() {
    let caps = Caps {
        credential: 5,
        workspace: 100,
    };
    let world = World::limited(Limits {
        caps,
        ..Limits::default()
    })
    .await;
    let own = world.connector(&["read"]).await;
    world.connect("alice", &own).await;
    let shared = world.shared_connector().await;
    world.connect_shared("acme", "shop", &shared).await;
    let calls = || {
        [
            token_of_user(&own),
            token_by_id(&shared),
            token_by_type("custom"),
        ]
    };
    let mut tokens = Vec::new();
    for call in calls() {
        let found = sent_for_alice(&world, call).await.expect_status(200);
        tokens.push(found.text("access_token"));
    }
    world.pass(3600);
    let fresh = sent_for_alice(&world, token_by_type("custom")).await;
    let fresh = fresh.expect_status(200).text("access_token");
    assert!(!tokens.contains(&fresh));
    let by_id = sent_for_alice(&world, token_by_id(&shared)).await;
    assert_eq!(by_id.text("access_token"), fresh);

    let reads = Call::get("/v1/audit?action=token.read").admin_of("acme");
    let reads = world.send(reads).await.expect_status(200);
    // Alice's and the app's in the first hour, the app's in the second.
    assert_eq!(reads.body["items"].as_array().unwrap().len(), 3);

    for _ in 2..caps.credential {
        let found = sent_for_alice(&world, token_by_id(&shared)).await;
        found.expect_status(200);
    }
    for call in calls() {
        let full = sent_for_alice(&world, call).await;
        let full = full.expect_problem(429, "rate_limited");
        assert!(full.headers.contains_key("retry-after"));
    }
}

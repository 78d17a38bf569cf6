//! Nobody reaches what is somebody else's, and cannot tell it from what does not exist.

pub(crate) mod matrix;
mod rows;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use shared::crypto::hash::random_id;
use shared::domain::connector::Connector;
use shared::domain::ids::{ConnectorId, WorkspaceId};
use testkit::entropy::SeededEntropy;

use crate::world::{Answer, Call, RETURN, World};

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

/// What the two share is the account, and nothing of ours.
#[tokio::test]
async fn a16_h22_two_workspaces_with_one_client_and_one_account_hold_grants_of_their_own() {
    let world = World::start().await;
    world.register_app("globex", "shop").await;
    let (ours, theirs) = (
        world.connector_of("acme", &["read"]).await,
        world.connector_of("globex", &["read"]).await,
    );
    let lookup = |workspace: &'static str, connector: &str| {
        let body = json!({"connector_id": connector, "user_id": "alice"});
        let key = world.key_of(workspace, "shop");
        Call::post("/v1/tokens").bearer(&key).json(&body)
    };
    world.connect_as(["acme", "shop", "alice"], &ours).await;
    world.connect_as(["globex", "shop", "alice"], &theirs).await;
    let token = |answer: Answer| answer.expect_status(200).text("access_token");
    let first = token(world.send(lookup("acme", &ours)).await);
    assert_ne!(first, token(world.send(lookup("globex", &theirs)).await));
    // Neither workspace can use the other's connector, though client and secret are the same.
    for (workspace, connector) in [("acme", &theirs), ("globex", &ours)] {
        let answer = world.send(lookup(workspace, connector)).await;
        answer.expect_problem(404, "not_connected");
    }
    // Refreshed and ended apart.
    world.pass(3600);
    assert_ne!(first, token(world.send(lookup("acme", &ours)).await));
    world.disconnect("alice", &ours).await.expect_status(200);
    let answer = world.send(lookup("acme", &ours)).await;
    answer.expect_problem(404, "not_connected");
    token(world.send(lookup("globex", &theirs)).await);
}

/// H-22: a client belongs to one workspace by what it is stored under and sealed for; nobody can
/// name another's.
#[tokio::test]
async fn h22_a_connector_and_its_secret_are_of_one_workspace() {
    let world = World::start().await;
    world.connector_of("globex", &["read"]).await;
    let id = world.connector_of("acme", &["read"]).await;
    let id = ConnectorId::parse(id).unwrap();
    let registry = &world.engine.registry;
    let [acme, globex] = ["acme", "globex"].map(|it| WorkspaceId::parse(it).unwrap());
    let connector = registry.connector(&acme, &id).await.unwrap().unwrap();
    assert_eq!(registry.connector(&globex, &id).await.unwrap(), None);
    let vault = &world.engine.vault;
    let ours = vault.keys(&acme).await.unwrap();
    let secret = connector.client_secret.clone().unwrap();
    assert!(ours.open_client_secret(&connector, &secret).is_ok());
    let moved = Connector {
        workspace: globex.clone(),
        ..connector
    };
    let theirs = vault.keys(&globex).await.unwrap();
    assert!(theirs.open_client_secret(&moved, &secret).is_err());
}

/// H-24.
#[tokio::test]
async fn h24_ids_are_128_random_bits_and_owe_nothing_to_whom_they_are_for() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let mut ids = std::collections::BTreeSet::new();
    let mut made = vec![connector.clone()];
    for user in ["alice", "alice2", "bob"] {
        made.push(world.connect(user, &connector).await.text("connection_id"));
        let link = world.begin(user, &connector).await;
        let ticket = link.strip_prefix("/connect/").unwrap();
        made.extend(ticket.split('.').map(str::to_owned));
    }
    for id in made {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&id).expect(&id);
        assert!(bytes.len() >= 16, "{id}");
        assert!(ids.insert(bytes), "twice: {id}");
    }
    // Of 10,000 no two are alike, nor their halves: nothing counts up and no part is fixed.
    let (entropy, mut halves) = (SeededEntropy::new(7), std::collections::BTreeSet::new());
    for _ in 0..10_000 {
        let id = BASE64_URL_SAFE_NO_PAD.decode(random_id(&entropy)).unwrap();
        assert_eq!(id.len(), 16);
        let (one, other) = id.split_at(8);
        assert!(halves.insert(one.to_owned()) && halves.insert(other.to_owned()));
    }
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

/// Where a provider takes no PKCE, state, cookie and completion keep foreign codes out.
#[tokio::test]
async fn a08_a05_without_pkce_a_foreign_code_enters_no_flow_either() {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.require_pkce = false);
    let mut body = world.connector_body(&["read"]);
    body["config"]["pkce"] = json!("off");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.expect_status(201).text("id");

    let (url, mallorys) = world
        .follow(&world.begin("mallory", &connector).await)
        .await;
    assert!(!url.contains("code_challenge"));
    let callback = world.consent(&url, "mallory").await;
    let (url, alices) = world.follow(&world.begin("alice", &connector).await).await;
    let state_of = |text: &str| {
        let (_, state) = text.split_once("state=").expect("a state");
        state.split('&').next().unwrap_or_default().to_owned()
    };
    let forged = callback.replace(&state_of(&callback), &state_of(&url));
    for (callback, browser) in [(&callback, &alices), (&forged, &mallorys)] {
        let entered = world.send(Call::get(callback).cookie(browser)).await;
        entered.expect_status(403);
    }
    // And what he finishes himself is not finished by her.
    let returned = world.send(Call::get(&callback).cookie(&mallorys)).await;
    let returned = returned.expect_status(303).location();
    let (_, code) = returned.split_once("code=").expect("a completion code");
    let completed = world.complete("alice", code).await;
    completed.expect_problem(403, "user_mismatch");
    assert_eq!(world.provider.counters().total.token, 0);
    assert!(world.stored("alice", &connector).await.is_none());
}

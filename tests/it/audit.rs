//! Stories of the audit (H-83): every change and every reading has an entry, and who sees which.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shared::ports::StoreError;
use testkit::clock::ManualClock;
use testkit::fake_as::{Behaviour, When};
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::world::{Call, World};

/// All entries of a workspace that a query lets through, oldest first.
async fn entries(world: &World, workspace: &str, query: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/audit?limit=3&{query}{cursor}");
        let page = world.send(Call::get(&path).admin_of(workspace)).await;
        let page = page.expect_status(200);
        found.extend(page.body["items"].as_array().unwrap().iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    found.reverse();
    found
}

fn actions(entries: &[Value]) -> Vec<&str> {
    let actions = entries.iter().map(|entry| entry["action"].as_str());
    actions.map(Option::unwrap).collect()
}

async fn second_key(world: &World) -> (String, String) {
    let make = Call::post("/v1/apps/shop/keys").admin_of("acme");
    let make = make.json(&json!({"name": "second"}));
    let made = world.send(make).await.expect_status(201);
    (made.text("id"), made.text("key"))
}

#[tokio::test]
async fn h83_every_operation_has_an_entry_that_says_who_did_what_in_which_request() {
    let world = World::start().await;
    let pass = || world.pass(1);
    let connector = world.connector(&["read"]).await;
    pass();
    crate::lookup::set_scopes(&world, &connector, json!(["read", "more"])).await;
    pass();
    let (id, key) = second_key(&world).await;
    pass();
    world.connect("alice", &connector).await;
    pass();
    world.connect("alice", &connector).await;
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let read = Call::post("/v1/tokens").bearer(&key).json(&body);
    pass();
    world.send(read).await.expect_status(200);
    // The provider says twice that the grant is dead.
    for _ in 0..2 {
        let dead = Behaviour::OAuthError {
            status: 400,
            code: "invalid_grant".into(),
        };
        world.provider.push(When::refreshing(), dead);
        world.pass(3600);
        world.lookup("alice", &connector).await;
    }
    pass();
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    pass();
    world.connect("bob", &connector).await;
    pass();
    let path = format!("/v1/users/bob/connections/{connector}");
    let by_app = world.send(Call::delete(&path).bearer(&key)).await;
    by_app.expect_status(200);
    pass();
    let path = format!("/v1/apps/shop/keys/{id}");
    let removed = world.send(Call::delete(&path).admin_of("acme")).await;
    removed.expect_status(204);
    pass();
    let path = format!("/v1/connectors/{connector}?confirm=Files");
    let deleted = world.send(Call::delete(&path).admin_of("acme")).await;
    deleted.expect_status(202);
    world.pass(61);
    world.tick_revoker().await;

    let found = entries(&world, "acme", "").await;
    let told: Vec<_> = found
        .iter()
        .map(|entry| {
            let actor = &entry["actor"];
            let by = actor["id"].as_str().unwrap_or("-");
            let by = if by == id { "second" } else { by };
            (
                entry["action"].as_str().unwrap(),
                actor["kind"].as_str().unwrap(),
                by,
                entry["user_id"].as_str().unwrap_or("-"),
            )
        })
        .collect();
    let expected = [
        ("app.changed", "admin", "root", "-"),
        ("key.created", "admin", "root", "-"),
        ("connector.created", "admin", "root", "-"),
        ("token.read", "app_key", "second", "alice"),
        ("connector.updated", "admin", "root", "-"),
        ("key.created", "admin", "root", "-"),
        ("connection.connected", "user", "alice", "alice"),
        ("connection.reconnected", "user", "alice", "alice"),
        ("connection.reconnect_required", "system", "-", "alice"),
        ("connection.disconnected", "user", "alice", "alice"),
        ("connection.connected", "user", "bob", "bob"),
        ("connection.disconnected", "app_key", "second", "bob"),
        ("key.removed", "admin", "root", "-"),
        ("connector.deleting", "admin", "root", "-"),
        ("connector.deleted", "system", "-", "-"),
    ];
    let sorted = |list: &[(&str, &str, &str, &str)]| -> BTreeSet<String> {
        list.iter().map(|entry| format!("{entry:?}")).collect()
    };
    assert_eq!(sorted(&told), sorted(&expected));
    assert_eq!(told.len(), expected.len());
    // What follows in time follows in the list.
    assert_eq!(told[4..], expected[4..]);

    let lines = world.lines.lock().unwrap();
    let logged: BTreeSet<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["request_id"].clone())
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    for entry in &found {
        let by_request = entry["actor"]["kind"] != "system";
        let request = entry["request_id"].as_str();
        assert_eq!(request.is_some(), by_request, "{entry}");
        assert!(request.is_none_or(|id| logged.contains(id)), "{entry}");
        assert_eq!(entry["outcome"], "done");
    }
    let dead = &found[8];
    assert_eq!(dead["reason"], "grant_revoked");
    assert!(dead["connection_id"].is_string() && dead["connector_id"] == connector.as_str());
}

#[tokio::test]
async fn h83_each_key_leaves_one_entry_an_hour_and_connection_and_each_reading_a_line() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    let (_, second) = second_key(&world).await;
    let first = world.key_of("acme", "shop");
    world.lines.lock().unwrap().clear();
    let read = async |key: &str, user: &str| {
        let body = json!({"connector_id": connector, "user_id": user});
        let read = Call::post("/v1/tokens").bearer(key).json(&body);
        world.send(read).await.expect_status(200);
    };
    for _ in 0..3 {
        for key in [&first, &second] {
            world.pass(1);
            read(key, "alice").await;
        }
    }
    read(&first, "bob").await;
    let read_entries = async || entries(&world, "acme", "action=token.read&").await;
    assert_eq!(read_entries().await.len(), 3);
    // The beginning of the next hour.
    world.pass(3600);
    read(&first, "alice").await;
    let found = read_entries().await;
    assert_eq!(found.len(), 4);
    let last = found.last().unwrap();
    assert_eq!(last["user_id"], "alice");
    assert!(last["connection_id"].is_string() && last["connector_id"].is_string());

    let lines = world.lines.lock().unwrap();
    let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    let reads: Vec<Value> = lines
        .filter(|line: &Value| line["route"] == "POST /v1/tokens")
        .collect();
    assert_eq!(reads.len(), 8);
    for line in reads {
        assert!(
            line["key"].is_string() && line["connection"].is_string(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn h83_a_flow_that_somebody_else_tries_to_finish_has_an_entry_in_its_workspace() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let body = json!({"code": code});
    let mallory = Call::post("/v1/me/connections/complete").user_of("globex", "shop", "mallory");
    let refused = world.send(mallory.json(&body)).await;
    refused.expect_problem(403, "user_mismatch");
    let found = entries(&world, "acme", "action=connect.user_mismatch&").await;
    let [entry] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(entry["outcome"], "refused");
    assert_eq!(entry["actor"], json!({"kind": "user", "id": "mallory"}));
    assert_eq!(entry["user_id"], "alice");
    assert!(entries(&world, "globex", "").await.is_empty());
}

#[tokio::test]
async fn entries_are_filtered_by_connector_user_action_and_time() {
    let world = World::start().await;
    let (one, other) = (
        world.connector(&["read"]).await,
        world.connector(&["write"]).await,
    );
    for (user, connector) in [("alice", &one), ("bob", &one), ("alice", &other)] {
        world.pass(60);
        world.connect(user, connector).await;
    }
    let of = async |query: &str| entries(&world, "acme", query).await;
    let of_one = of(&format!("connector_id={one}&")).await;
    assert_eq!(
        actions(&of_one),
        [
            "connector.created",
            "connection.connected",
            "connection.connected"
        ]
    );
    assert_eq!(of("user_id=alice&").await.len(), 2);
    let both = format!("user_id=alice&connector_id={other}&");
    assert_eq!(actions(&of(&both).await), ["connection.connected"]);
    let connected = of("action=connection.connected&").await;
    assert_eq!(connected.len(), 3);
    let time = |n: usize| connected[n]["time"].as_str().unwrap();
    let middle = format!(
        "action=connection.connected&from={}&to={}&",
        time(1),
        time(2)
    );
    assert_eq!(of(&middle).await, connected[1..2]);
    for query in [
        "action=token.forge",
        "from=yesterday",
        "to=1",
        "user_id=",
        "limit=0",
    ] {
        let path = format!("/v1/audit?{query}");
        let refused = world.send(Call::get(&path).admin_of("acme")).await;
        refused.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn h21_viewers_read_their_own_workspaces_audit_and_users_and_keys_none() {
    let world = World::start().await;
    world.register_app("globex", "shop").await;
    let connector = world.connector(&["read"]).await;
    let viewer = json!({"sub": "v", "workspace_id": "acme", "role": "viewer", "plan": "free"});
    let list = Call::get("/v1/audit");
    let seen = world.send(list.clone().claims(viewer)).await;
    assert!(
        seen.expect_status(200)
            .body
            .to_string()
            .contains(&connector)
    );
    assert_eq!(
        actions(&entries(&world, "globex", "").await),
        ["app.changed", "key.created"]
    );
    let theirs = entries(&world, "globex", &format!("connector_id={connector}&")).await;
    assert!(theirs.is_empty());
    world
        .send(list.clone().user("alice"))
        .await
        .expect_problem(403, "forbidden");
    let key = world.key_of("acme", "shop");
    for path in ["/v1/audit", "/v1/me/audit"] {
        world
            .send(Call::get(path).bearer(&key))
            .await
            .expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_user_sees_what_happened_to_their_own_connections_in_this_app_and_no_admins_name() {
    let world = World::start().await;
    world.register_app("acme", "other").await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    world.token("alice", &connector).await;
    world.pass(1);
    let id = world.stored("alice", &connector).await.unwrap().id;
    let path = format!("/v1/connectors/{connector}/connections/{id}");
    let by_admin = world.send(Call::delete(&path).admin_of("acme")).await;
    by_admin.expect_status(200);
    let mine = world.send(Call::get("/v1/me/audit").user("alice")).await;
    let mine = mine.expect_status(200).body;
    let told: BTreeSet<_> = mine["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{} {}", item["action"], item["actor"]).replace('"', ""))
        .collect();
    let expected = [
        "connection.connected user",
        "connection.disconnected admin",
        "token.read app_key",
    ];
    assert_eq!(told, expected.map(String::from).into());
    assert!(!mine.to_string().contains("root"), "{mine}");
    let elsewhere = Call::get("/v1/me/audit").user_of("acme", "other", "alice");
    let elsewhere = world.send(elsewhere).await.expect_status(200);
    assert_eq!(elsewhere.body["items"], json!([]));
}

/// Hand-out does not depend on the audit: what could not be written is written with the next
/// reading.
#[tokio::test]
async fn h83_a_reading_whose_entry_was_not_taken_is_answered_and_the_next_one_is_written() {
    let failing = Arc::new(Mutex::new(""));
    let hook = {
        let failing = Arc::clone(&failing);
        move |method: &'static str, phase| {
            let fails = *failing.lock().unwrap() == method && phase == Phase::Before;
            fails.then(|| Fault::Error(StoreError::Unavailable("story".into())))
        }
    };
    let store = FaultyStore::new(Arc::new(MemoryStore::new(2)), Arc::new(hook));
    let world = World::on(store, ManualClock::new()).await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let read_entries = async || entries(&world, "acme", "action=token.read&").await.len();

    *failing.lock().unwrap() = "add_entry";
    world.token("alice", &connector).await;
    assert_eq!(read_entries().await, 0);
    // Who dies after the entry leaves no second one.
    *failing.lock().unwrap() = "record_read";
    for _ in 0..2 {
        world.pass(1);
        world.token("alice", &connector).await;
        assert_eq!(read_entries().await, 1);
    }
    *failing.lock().unwrap() = "";
    world.pass(1);
    world.token("alice", &connector).await;
    assert_eq!(read_entries().await, 1);
}

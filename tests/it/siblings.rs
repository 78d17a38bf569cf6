//! Providers where one revocation ends whatever an account has granted to a client (K12): what else
//! a disconnect ends is said beforehand, and nothing ends that nobody was told of.

use serde_json::{Value, json};
use testkit::fake_as::{Behaviour, Endpoint, GrantState};

use crate::world::{Call, World};

/// A connector whose provider's revocations reach the whole account.
async fn connector(world: &World, client: &str) -> String {
    let mut body = world.connector_body(&["read"]);
    body["client_id"] = json!(client);
    body["config"]["revoke_reach"] = json!("account");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

async fn world() -> World {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.revoke_ends_siblings = true);
    world
}

/// Connects a user through a connector with an account of the provider.
async fn connect(world: &World, user: &str, account: &str, connector: &str) {
    let code = world.authorize(user, account, connector).await;
    world.complete(user, &code).await.expect_status(200);
}

/// What the list says would end with a user's connection.
async fn ends(world: &World, user: &str, connector: &str) -> Value {
    let item = world.status(user, connector).await;
    item["ends_with_it"].clone()
}

#[tokio::test]
async fn k12_a_list_says_what_a_disconnect_ends_besides_and_that_is_what_it_ends() {
    let world = world().await;
    let (one, other) = (
        connector(&world, "client").await,
        connector(&world, "client").await,
    );
    let foreign = world.connector(&["read"]).await;
    for connector in [&one, &other, &foreign] {
        connect(&world, "alice", "alice", connector).await;
        connect(&world, "bob", "alice", connector).await;
    }
    connect(&world, "carol", "alice", &one).await;
    connect(&world, "carol", "carol", &other).await;

    assert_eq!(
        ends(&world, "alice", &one).await,
        json!([{"connector_id": other}])
    );
    assert_eq!(
        ends(&world, "alice", &other).await,
        json!([{"connector_id": one}])
    );
    // Through that one a grant alone is revoked, and of another account nothing ends.
    assert_eq!(ends(&world, "alice", &foreign).await, Value::Null);
    assert_eq!(ends(&world, "carol", &one).await, Value::Null);
    // A page of one knows of what is on the next.
    let list = Call::get("/v1/me/connectors?limit=1").user("alice");
    let page = world.send(list).await.expect_status(200);
    let item = &page.body["items"][0];
    let expected = ends(&world, "alice", item["connector_id"].as_str().unwrap()).await;
    assert_eq!(item["ends_with_it"], expected);
    // Back ends see it too.
    let key = world.key_of("acme", "shop");
    let list = Call::get("/v1/users/alice/connections").bearer(&key);
    let listed = world.send(list).await.expect_status(200);
    let said = listed.body["items"].as_array().unwrap().iter();
    assert_eq!(
        said.filter(|item| item["ends_with_it"].is_array()).count(),
        2
    );

    world.disconnect("alice", &one).await.expect_status(200);
    assert_eq!(ends(&world, "alice", &other).await, Value::Null);
    for _ in 0..2 {
        world.pass(3700);
        world.lookup("alice", &other).await;
    }
    let dead = world.status("alice", &other).await;
    assert_eq!(dead["status"], "reconnect_required");
}

#[tokio::test]
async fn k12_accounts_of_one_connector_end_together_where_they_are_the_same() {
    let world = world().await;
    let connector = connector(&world, "client").await;
    let several = json!({"accounts": "several"});
    let changed = world.change_connector(&connector, &several).await;
    changed.expect_status(200);
    connect(&world, "alice", "alice", &connector).await;
    for (alias, account) in [("work", "work"), ("again", "alice")] {
        let begin = json!({
            "connector_id": connector, "return_url": crate::world::RETURN, "alias": alias,
        });
        let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
        let code = world.authorize_with(begin, account).await;
        world.complete("alice", &code).await.expect_status(200);
    }
    let item = world.status("alice", &connector).await;
    let again = json!([{"connector_id": connector, "alias": "again"}]);
    assert_eq!(item["ends_with_it"], again);
    let accounts = item["accounts"].as_array().unwrap();
    let of = |alias: &str| accounts.iter().find(|it| it["alias"] == alias).unwrap();
    let default = json!([{"connector_id": connector}]);
    assert_eq!(of("again")["ends_with_it"], default);
    assert_eq!(of("work").get("ends_with_it"), None);
}

/// Asked late, a provider would end what was connected since.
#[tokio::test]
async fn k12_a_revocation_that_is_still_open_spares_who_has_connected_again() {
    let world = world().await;
    let connector = connector(&world, "client").await;
    world.connect("alice", &connector).await;
    let busy = Behaviour::RetryAfter {
        status: 503,
        seconds: None,
    };
    world.provider.push(Endpoint::Revoke, busy);
    let open = world.disconnect("alice", &connector).await;
    assert!(open.expect_status(200).body.get("revocation").is_none());
    world.connect("alice", &connector).await;
    world.pass(90);
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
    world.pass(3600);
    world.token("alice", &connector).await;
}

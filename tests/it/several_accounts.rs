//! Stories of users who connect several accounts through one connector.

use serde_json::{Value, json};
use testkit::fake_as::GrantState;

use crate::world::{Answer, Call, RETURN, World};

async fn several() -> (World, String) {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["accounts"] = json!("several");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let created = world.send(create).await.expect_status(201);
    assert_eq!(created.body["accounts"], "several");
    (world, created.text("id"))
}

fn begin(connector: &str, alias: Value) -> Call {
    let mut body = json!({"connector_id": connector, "return_url": RETURN});
    if alias != Value::Null {
        body["alias"] = alias;
    }
    Call::post("/v1/me/connections").json(&body)
}

/// Connects an account of alice's under an alias. The answer of the completion.
async fn connect(world: &World, connector: &str, alias: &str, account: &str) -> Answer {
    let begin = begin(connector, json!(alias)).user("alice");
    let code = world.authorize_with(begin, account).await;
    world.complete("alice", &code).await
}

async fn lookup(world: &World, connector: &str, alias: &str) -> Answer {
    let body = json!({"connector_id": connector, "user_id": "alice", "alias": alias});
    world.lookup_with(body).await
}

async fn token(world: &World, connector: &str, alias: &str) -> String {
    let found = lookup(world, connector, alias).await.expect_status(200);
    found.text("access_token")
}

/// The aliases of alice's list, `-` for none, with their status.
async fn accounts(world: &World, connector: &str) -> Vec<(String, String)> {
    let item = world.status("alice", connector).await;
    let accounts = item["accounts"].as_array().cloned().unwrap_or_default();
    let text = |account: &Value, name: &str| account[name].as_str().unwrap_or("-").to_owned();
    let accounts = accounts.iter();
    accounts
        .map(|it| (text(it, "alias"), text(it, "status")))
        .collect()
}

fn listed(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(alias, status): &(&str, &str)| ((*alias).to_owned(), (*status).to_owned());
    expected.iter().map(owned).collect()
}

async fn set_accounts(world: &World, connector: &str, accounts: &str) {
    let change = json!({"accounts": accounts});
    let changed = world.change_connector(connector, &change).await;
    changed.expect_status(200);
}

#[tokio::test]
async fn each_account_has_tokens_of_its_own_and_is_listed() {
    let (world, connector) = several().await;
    assert_eq!(accounts(&world, &connector).await, listed(&[]));
    world.connect("alice", &connector).await;
    for (alias, account) in [("work", "alice-at-work"), ("a.b-c_d", "alice-at-home")] {
        let completed = connect(&world, &connector, alias, account).await;
        assert_eq!(completed.expect_status(200).body["alias"], alias);
    }
    let expected = [
        ("-", "connected"),
        ("a.b-c_d", "connected"),
        ("work", "connected"),
    ];
    assert_eq!(accounts(&world, &connector).await, listed(&expected));
    let item = world.status("alice", &connector).await;
    assert_eq!(
        (item.get("alias"), &item["status"]),
        (None, &json!("connected"))
    );
    assert_eq!(item["connection_id"], item["accounts"][0]["connection_id"]);

    let tokens = async || {
        let default = world.token("alice", &connector).await;
        let (work, home) = (
            token(&world, &connector, "work").await,
            token(&world, &connector, "a.b-c_d").await,
        );
        assert!(default != work && work != home && home != default);
        [default, work, home]
    };
    let first = tokens().await;
    // Refreshed each by itself.
    world.pass(3000);
    world.tick().await;
    let second = tokens().await;
    assert!(first.iter().all(|token| !second.contains(token)));
    // Nobody else has them.
    let bobs = json!({"connector_id": connector, "user_id": "bob", "alias": "work"});
    let bobs = world.lookup_with(bobs).await;
    bobs.expect_problem(404, "not_connected");
    lookup(&world, &connector, "wor")
        .await
        .expect_problem(404, "not_connected");
}

#[tokio::test]
async fn events_admins_and_back_ends_see_which_account_it_is() {
    let (world, connector) = several().await;
    connect(&world, &connector, "work", "w")
        .await
        .expect_status(200);
    let event = serde_json::to_value(world.bus.events().pop().unwrap()).unwrap();
    assert_eq!(
        (&event["alias"], &event["user_id"]),
        (&json!("work"), &json!("alice"))
    );
    let path = format!("/v1/connectors/{connector}/connections");
    let list = world.send(Call::get(&path).admin_of("acme")).await;
    assert_eq!(list.expect_status(200).body["items"][0]["alias"], "work");
    let key = world.key_of("acme", "shop");
    let list = Call::get("/v1/users/alice/connections").bearer(&key);
    let list = world.send(list).await.expect_status(200);
    let item = &list.body["items"][0];
    assert_eq!(item["status"], "not_connected");
    assert_eq!(item["accounts"][0]["alias"], "work");
}

#[tokio::test]
async fn a_connector_with_one_account_takes_no_alias() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let begun = world
        .send(begin(&connector, json!("work")).user("alice"))
        .await;
    let read = lookup(&world, &connector, "work").await;
    for refused in [begun, read] {
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "alias");
    }
    // Told to nobody without the key, and to nobody of a connector that is not theirs.
    let body = json!({"connector_id": connector, "user_id": "alice", "alias": "work"});
    let keyless = Call::post("/v1/tokens").bearer("x").json(&body);
    world
        .send(keyless)
        .await
        .expect_problem(401, "unauthenticated");
    world.register_app("globex", "shop").await;
    let foreign = Call::post("/v1/tokens").bearer(&world.key_of("globex", "shop"));
    world
        .send(foreign.json(&body))
        .await
        .expect_problem(404, "not_connected");
    let item = world.status("alice", &connector).await;
    assert_eq!(item.get("accounts"), None);
}

#[tokio::test]
async fn h20_what_is_no_alias_is_refused_by_name() {
    let (world, connector) = several().await;
    world.connect("alice", &connector).await;
    for alias in ["", "a#b", "a/b", "a b", "é", &"x".repeat(65)] {
        let begun = world
            .send(begin(&connector, json!(alias)).user("alice"))
            .await;
        let read = lookup(&world, &connector, alias).await;
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("alias", alias).finish();
        let path = format!("/v1/me/connections/{connector}?{query}");
        let ended = world.send(Call::delete(&path).user("alice")).await;
        for refused in [begun, read, ended] {
            let refused = refused.expect_problem(400, "invalid_request");
            assert_eq!(refused.body["errors"][0]["field"], "alias", "{alias:?}");
        }
    }
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn k1_each_account_is_disconnected_by_its_alias_and_the_others_stay() {
    let (world, connector) = several().await;
    world.connect("alice", &connector).await;
    for alias in ["one", "two"] {
        connect(&world, &connector, alias, alias)
            .await
            .expect_status(200);
    }
    let path = format!("/v1/me/connections/{connector}?alias=one");
    let ended = world.send(Call::delete(&path).user("alice")).await;
    assert_eq!(ended.expect_status(200).body["revocation"], "revoked");
    assert_eq!(world.provider.grant_state("one"), GrantState::Revoked);
    let expected = [("-", "connected"), ("two", "connected")];
    assert_eq!(accounts(&world, &connector).await, listed(&expected));
    lookup(&world, &connector, "one")
        .await
        .expect_problem(404, "not_connected");

    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(accounts(&world, &connector).await, listed(&expected[1..]));
    let key = world.key_of("acme", "shop");
    let path = format!("/v1/users/alice/connections/{connector}?alias=two");
    world
        .send(Call::delete(&path).bearer(&key))
        .await
        .expect_status(200);
    assert_eq!(accounts(&world, &connector).await, listed(&[]));
    assert_eq!(world.provider.grant_state("two"), GrantState::Revoked);
}

#[tokio::test]
async fn h16_an_alias_stays_with_its_account_and_an_account_may_have_two() {
    let (world, connector) = several().await;
    let first = connect(&world, &connector, "one", "shared").await;
    let first = first.expect_status(200).text("connection_id");
    let other = connect(&world, &connector, "one", "another").await;
    other.expect_problem(409, "account_mismatch");
    let second = connect(&world, &connector, "two", "shared").await;
    assert_ne!(second.expect_status(200).text("connection_id"), first);
    let again = connect(&world, &connector, "one", "shared").await;
    assert_eq!(again.expect_status(200).text("connection_id"), first);
}

#[tokio::test]
async fn set_back_to_one_aliases_stay_listed_and_can_only_be_ended() {
    let (world, connector) = several().await;
    world.connect("alice", &connector).await;
    connect(&world, &connector, "work", "w")
        .await
        .expect_status(200);
    let under_way = begin(&connector, json!("home")).user("alice");
    let under_way = world.authorize_with(under_way, "h").await;

    set_accounts(&world, &connector, "one").await;
    let expected = [("-", "connected"), ("work", "connected")];
    assert_eq!(accounts(&world, &connector).await, listed(&expected));
    let refused = lookup(&world, &connector, "work").await;
    refused.expect_problem(400, "invalid_request");
    let begun = world
        .send(begin(&connector, json!("work")).user("alice"))
        .await;
    begun.expect_problem(400, "invalid_request");
    // A flow that was under way brings nothing, and its code is not redeemed.
    let redeemed = world.provider.counters().total.token;
    let late = world.complete("alice", &under_way).await;
    late.expect_problem(409, "conflict");
    assert_eq!(world.provider.counters().total.token, redeemed);
    world.token("alice", &connector).await;

    set_accounts(&world, &connector, "several").await;
    token(&world, &connector, "work").await;
    set_accounts(&world, &connector, "one").await;
    let path = format!("/v1/me/connections/{connector}?alias=work");
    world
        .send(Call::delete(&path).user("alice"))
        .await
        .expect_status(200);
    assert_eq!(world.provider.grant_state("w"), GrantState::Revoked);
    assert_eq!(
        world.status("alice", &connector).await.get("accounts"),
        None
    );
}

#[tokio::test]
async fn an_account_for_a_whole_app_is_one() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["kind"] = json!("app");
    body["accounts"] = json!("several");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.shared_connector().await;
    let patch = Call::patch(&format!("/v1/connectors/{connector}"))
        .admin_of("acme")
        .header("if-match", "\"1\"")
        .json(&json!({"accounts": "several"}));
    for call in [create, patch] {
        let refused = world
            .send(call)
            .await
            .expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "accounts");
    }
    let aliased = json!({"connector_id": connector, "alias": "work"});
    let aliased = world.lookup_with(aliased).await;
    aliased.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_user_has_twenty_accounts_with_an_alias_and_the_default_one() {
    let (world, connector) = several().await;
    let numbered = |n: usize| format!("a{n}");
    for n in 1..=20 {
        connect(&world, &connector, &numbered(n), &numbered(n))
            .await
            .expect_status(200);
    }
    let redeemed = || world.provider.counters().total.redemptions();
    let before = redeemed();
    let refused = connect(&world, &connector, "a21", "a21").await;
    refused.expect_problem(409, "too_many_accounts");
    assert_eq!(redeemed(), before, "the code was not used");
    // What is there can be connected again, and the default account is no alias.
    connect(&world, &connector, "a7", "a7")
        .await
        .expect_status(200);
    world.connect("alice", &connector).await;
    world.connect("bob", &connector).await;

    let path = format!("/v1/me/connections/{connector}?alias=a3");
    let ended = world.send(Call::delete(&path).user("alice")).await;
    ended.expect_status(200);
    connect(&world, &connector, "a21", "a21")
        .await
        .expect_status(200);
    assert_eq!(accounts(&world, &connector).await.len(), 21);
}

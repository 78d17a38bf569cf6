//! How many connections stand how, what a change of scopes does to them, and how far a deletion
//! has come.

use serde_json::{Value, json};
use shared::domain::audit::Origin;
use shared::domain::connection::Connection;
use shared::domain::event::{Change, ConnectionRef, Event};
use shared::domain::ids::{ConnectionId, EventId, SessionId, UserId};
use shared::domain::session::{AuthorizationSession, Stage};
use shared::domain::subject::Subject;
use shared::ports::{Clock as _, ConnectAnswer, ConnectWrite};
use testkit::fake_as::{Behaviour, Endpoint};

use crate::world::{Call, World};

async fn plan(world: &World, connector: &str, body: Value) -> Value {
    let path = format!("/v1/connectors/{connector}/scope-plan");
    let plan = Call::post(&path).admin_of("acme").json(&body);
    world.send(plan).await.expect_status(200).body
}

async fn change(world: &World, connector: &str, body: Value) -> Value {
    let changed = world.change_connector(connector, &body).await;
    changed.expect_status(200).body
}

fn counts(connected: u64, reconnect_required: u64, disconnecting: u64) -> Value {
    json!({
        "connected": connected, "reconnect_required": reconnect_required,
        "disconnecting": disconnecting, "counted_all": true,
    })
}

#[tokio::test]
async fn a_view_counts_connections_by_how_they_stand() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob", "carol"] {
        world.connect(user, &connector).await;
    }
    let other = world.connector(&["read"]).await;
    world.connect("alice", &other).await;
    let counted = async || world.view_connector(&connector).await.body["connections"].clone();
    assert_eq!(counted().await, counts(3, 0, 0));

    // Proven dead.
    world.provider.withdraw_grants("alice");
    for _ in 0..3 {
        world.pass(3600);
        world.lookup("alice", &connector).await;
    }
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(counted().await, counts(2, 1, 0));

    // Disconnected, and the provider does not confirm.
    let busy = Behaviour::RetryAfter {
        status: 503,
        seconds: Some(60),
    };
    world.provider.always(Endpoint::Revoke, busy);
    world.disconnect("bob", &connector).await.expect_status(200);
    assert_eq!(counted().await, counts(1, 1, 1));
    world.provider.clear_script();
    world.pass(3600);
    world.tick_revoker().await;
    assert_eq!(counted().await, counts(1, 1, 0));
}

#[tokio::test]
async fn a_scope_plan_tells_what_the_edit_answers_and_look_ups_then_do() {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    let of = |keep: u64, reconnect: u64, added: Value, removed: Value| {
        json!({
            "keep": keep, "reconnect": reconnect, "counted_all": true,
            "added": added, "removed": removed,
        })
    };
    let wider = json!({"scopes": ["read", "write", "share"]});
    let narrower = json!({"scopes": ["read"]});
    let reordered = json!({"scopes": ["write", "read"]});
    let strict = json!({"scopes": ["read"], "scope_policy": "strict"});
    for (body, expected) in [
        (&wider, of(0, 2, json!(["share"]), json!([]))),
        (&reordered, of(2, 0, json!([]), json!([]))),
        (&strict, of(0, 2, json!([]), json!(["write"]))),
        (&narrower, of(2, 0, json!([]), json!(["write"]))),
    ] {
        assert_eq!(plan(&world, &connector, body.clone()).await, expected);
    }
    // A dry run has changed nothing.
    let lookup = async || world.lookup("alice", &connector).await;
    lookup().await.expect_status(200);

    let planned = plan(&world, &connector, wider.clone()).await;
    let edited = change(&world, &connector, wider).await;
    assert_eq!(edited["scope_plan"], planned);
    let refused = lookup().await.expect_problem(409, "reconnect_required");
    assert_eq!(refused.body["reason"], "scopes_changed");
    world.connect("alice", &connector).await;
    let planned = plan(&world, &connector, narrower.clone()).await;
    assert_eq!(planned["keep"], 2);
    let edited = change(&world, &connector, narrower).await;
    assert_eq!(edited["scope_plan"], planned);
    lookup().await.expect_status(200);
    // An edit of something else has no plan.
    let renamed = change(&world, &connector, json!({"name": "Drive"})).await;
    assert_eq!(renamed["scope_plan"], Value::Null);
}

#[tokio::test]
async fn a_wrong_scope_plan_is_refused_by_field_and_a_viewer_may_ask_for_one() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let path = format!("/v1/connectors/{connector}/scope-plan");
    let wrong = Call::post(&path)
        .admin_of("acme")
        .json(&json!({"scopes": ["a b"]}));
    let refused = world.send(wrong).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "scopes");
    let viewer = json!({"sub": "v", "workspace_id": "acme", "role": "viewer", "plan": "free"});
    let asked = Call::post(&path)
        .claims(viewer)
        .json(&json!({"scopes": ["read"]}));
    world.send(asked).await.expect_status(200);
}

#[tokio::test]
async fn a_deletion_shows_how_many_connections_are_left() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    assert_eq!(
        world.view_connector(&connector).await.body["deletion"],
        Value::Null
    );
    let busy = Behaviour::RetryAfter {
        status: 503,
        seconds: Some(60),
    };
    world.provider.always(Endpoint::Revoke, busy);
    let asked_at = json!(world.clock.now());
    let path = format!("/v1/connectors/{connector}?confirm=Files");
    let delete = Call::delete(&path).admin_of("acme");
    world.send(delete).await.expect_status(202);
    let left = async || world.view_connector(&connector).await.body["deletion"].clone();
    let of = |remaining: u64| json!({"requested_at": asked_at, "remaining": remaining, "counted_all": true});
    assert_eq!(left().await, of(2));
    world.pass(61);
    world.tick_revoker().await;
    assert_eq!(left().await, of(2), "the provider has not confirmed");
    world.provider.clear_script();
    world.pass(3600);
    // The last page is found empty by the run after the one that empties it.
    world.tick_revoker().await;
    assert_eq!(left().await, of(0));
    world.tick_revoker().await;
    let gone = Call::get(&format!("/v1/connectors/{connector}")).admin_of("acme");
    world.send(gone).await.expect_problem(404, "not_found");
}

/// Puts `count` more connections beside one that is there.
async fn crowd(world: &World, like: &Connection, count: usize) {
    let link = world.begin("alice", like.key.connector.as_str()).await;
    let (flow, _) = link
        .strip_prefix("/connect/")
        .unwrap()
        .split_once('.')
        .unwrap();
    let flow = SessionId::parse(flow).unwrap();
    let flow = world.sessions.session(&flow).await.unwrap().unwrap();
    for n in 0..count {
        let session = SessionId::parse(format!("s{n}")).unwrap();
        let completion = [3; 32];
        let exchanging = AuthorizationSession {
            id: session.clone(),
            stage: Stage::Exchanging { completion },
            ..flow.clone()
        };
        world.sessions.add(&exchanging).await.unwrap();
        let user = UserId::parse(format!("user{n}")).unwrap();
        let mut connection = like.clone();
        connection.id = ConnectionId::parse(format!("k{n}")).unwrap();
        connection.key.subject = Subject::User(user);
        let about = ConnectionRef {
            connection_id: connection.id.clone(),
            app_id: connection.key.app.clone(),
            subject: connection.key.subject.clone(),
            alias: None,
        };
        let event = Event {
            version: Event::VERSION,
            id: EventId::parse(format!("e{n}")).unwrap(),
            time: world.engine.clock.now(),
            workspace_id: connection.key.workspace.clone(),
            connector_id: Some(connection.key.connector.clone()),
            origin: Origin::default(),
            change: Change::Connected(about),
        };
        let write = ConnectWrite {
            session,
            connection,
            replaces: None,
            event,
        };
        let answer = world.connections.connect(&write).await.unwrap();
        assert_eq!(answer, ConnectAnswer::Connected);
    }
}

#[tokio::test]
async fn beyond_ten_thousand_connections_a_count_says_that_it_is_not_all() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let like = world.stored("alice", &connector).await.unwrap();
    crowd(&world, &like, 9_999).await;
    let counted = async || world.view_connector(&connector).await.body["connections"].clone();
    assert_eq!(counted().await, counts(10_000, 0, 0));
    world.connect("zoe", &connector).await;
    let mut expected = counts(10_000, 0, 0);
    expected["counted_all"] = json!(false);
    assert_eq!(counted().await, expected);
    let planned = plan(&world, &connector, json!({"scopes": ["write"]})).await;
    assert_eq!(
        (&planned["reconnect"], &planned["counted_all"]),
        (&json!(10_000), &json!(false))
    );
}

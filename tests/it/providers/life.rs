//! The whole life of a connection at every provider: it is connected, read, refreshed, read again
//! and revoked, by the product's own requests over HTTP.

use std::panic::AssertUnwindSafe;

use catalogue_format::{AskedOf, AssumedLifetime, RevokedToken};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use testkit::peer::{Endpoint, KnownClient, Peer, Returned};

use super::{Entry, catalogue};
use crate::world::{API, Answer, Call, RETURN, World};

const WEEK_S: u64 = 7 * 24 * 3600;

/// Makes a connector at a provider. Answers its id.
pub(super) async fn connector(world: &World, entry: &Entry, client: &KnownClient) -> String {
    let mut body = json!({
        "name": entry.template.name,
        "provider": entry.id,
        "client_id": client.id,
        "client_secret": client.secret,
        "scopes": entry.scopes(),
        "config": entry.config(AskedOf::Admin),
    });
    if let Some(described) = &entry.described {
        body["template"] = described.clone();
    }
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

/// Has Alice connect. Answers what the app gets in the end.
pub(super) async fn connect(
    world: &World,
    peer: &Peer,
    role: &str,
    connector: &str,
    config: Value,
) -> Answer {
    let (returned, cookie) = consented(world, peer, role, connector, config).await;
    let callback = match returned {
        Returned::To(url) => {
            let path = url.strip_prefix(API).expect("back to the API");
            Call::get(path).cookie(&cookie)
        }
        Returned::Posted(url, fields) => {
            let path = url.strip_prefix(API).expect("back to the API");
            let fields: Vec<_> = fields
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let page = world.send(Call::post(path).form(&fields)).await;
            let again = crate::form_post::bounced(&page, connector);
            let again: Vec<_> = again
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            Call::post(path).form(&again).cookie(&cookie)
        }
    };
    let back = world
        .send(callback)
        .await
        .expect_status(303)
        .location_params();
    assert_eq!(back["status"], "authorized", "{back:?}");
    world.complete("alice", &back["code"]).await
}

/// Has Alice begin and consent. Answers how the provider sends her browser back, and its cookie.
pub(super) async fn consented(
    world: &World,
    peer: &Peer,
    role: &str,
    connector: &str,
    config: Value,
) -> (Returned, String) {
    let mut body = json!({"connector_id": connector, "return_url": RETURN});
    if config.as_object().is_some_and(|config| !config.is_empty()) {
        body["config"] = config;
    }
    let begin = Call::post("/v1/me/connections").user("alice").json(&body);
    let begun = world.send(begin).await.expect_status(201);
    let link = begun.text("connect_url");
    let (authorize_url, cookie) = world.follow(link.strip_prefix(API).unwrap()).await;
    (peer.consent(role, &authorize_url).await, cookie)
}

/// One provider from connect to revoke.
pub(super) async fn live(world: &World, peer: &Peer, entry: &Entry) {
    let id = &entry.id;
    let client = entry.play(peer);
    let connector = connector(world, entry, &client).await;
    let config = json!(entry.config(AskedOf::User));
    let connected = connect(world, peer, id, &connector, config.clone()).await;
    connected.expect_status(200);

    let read = world.lookup("alice", &connector).await.expect_status(200);
    let first = read.text("access_token");
    assert!(
        peer.accepts(id, &first),
        "what is handed out is not accepted"
    );
    for (name, value) in peer.connection_config(id) {
        assert_eq!(read.body["connection_config"][&name], value, "{name}");
    }
    let granted = read.body["scopes"].as_array().expect("scopes").clone();
    let granted: Vec<_> = granted.iter().filter_map(Value::as_str).collect();
    assert_eq!(granted, entry.scopes());
    let status = world.status("alice", &connector).await;
    assert_eq!(status["status"], "connected");
    assert_eq!(status["account_label"], label(entry));

    let lifetime = peer.lifetime_s(id).map(|seconds| seconds.unsigned_abs());
    if is_refreshed(entry) {
        // Shortly before it expires, where what is spent is the access token itself.
        let mut left = lifetime.map_or(WEEK_S, |life| life - (life / 10).min(60));
        while left > 0 && peer.refreshes(id) == 0 {
            let step = left.min(WEEK_S);
            world.pass(step);
            world.tick().await;
            left -= step;
        }
        let second = world.token("alice", &connector).await;
        assert_eq!(peer.refreshes(id), 1, "it was not refreshed");
        assert_ne!(first, second);
        assert!(
            peer.accepts(id, &second),
            "what is handed out is not accepted"
        );
    } else if entry.template.refresh.assumed_lifetime == AssumedLifetime::Never {
        assert_eq!(world.token("alice", &connector).await, first);
    } else {
        world.pass(lifetime.unwrap());
        world.tick().await;
        let over = world.lookup("alice", &connector).await;
        over.expect_problem(409, "reconnect_required");
        connect(world, peer, id, &connector, config)
            .await
            .expect_status(200);
    }

    let token = world.token("alice", &connector).await;
    let ended = world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    let can_revoke = entry.template.revoke.is_some();
    let told = if can_revoke { "revoked" } else { "unsupported" };
    assert_eq!(ended.body["revocation"], told);
    assert_eq!(peer.asked(id).contains(&Endpoint::Revoke), can_revoke);
    assert_eq!(peer.accepts(id, &token), !can_revoke);
    let gone = world.lookup("alice", &connector).await;
    gone.expect_problem(404, "not_connected");
    assert_eq!(peer.faults(id), Vec::<String>::new());
}

/// What a user is shown of the account.
fn label(entry: &Entry) -> Value {
    let (account, label) = Peer::account();
    match &entry.template.identity {
        Some(identity) if identity.label.as_ref() == Some(&identity.id) => json!(account),
        Some(identity) if identity.label.is_some() => json!(label),
        _ => Value::Null,
    }
}

/// Whether a refresh gives the next access token.
fn is_refreshed(entry: &Entry) -> bool {
    let refresh = &entry.template.refresh;
    let exchanges = refresh.request.as_ref();
    refresh.tokens || exchanges.is_some_and(|request| request.token == RevokedToken::Access)
}

/// Every `of`th provider from the `nth`: tests run beside each other.
async fn live_all(nth: usize, of: usize) {
    let (world, peer) = World::with_peer().await;
    let mut failed = Vec::new();
    let mut lived = 0;
    for entry in catalogue().iter().skip(nth).step_by(of) {
        lived += 1;
        let life = AssertUnwindSafe(live(&world, &peer, entry));
        if life.catch_unwind().await.is_err() {
            println!("{}: {:#?}", entry.id, peer.faults(&entry.id));
            failed.push(entry.id.clone());
        }
    }
    assert!(lived > 20, "{lived} providers");
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test]
async fn every_provider_is_connected_read_refreshed_and_revoked_first_part() {
    live_all(0, 4).await;
}

#[tokio::test]
async fn every_provider_is_connected_read_refreshed_and_revoked_second_part() {
    live_all(1, 4).await;
}

#[tokio::test]
async fn every_provider_is_connected_read_refreshed_and_revoked_third_part() {
    live_all(2, 4).await;
}

#[tokio::test]
async fn every_provider_is_connected_read_refreshed_and_revoked_fourth_part() {
    live_all(3, 4).await;
}

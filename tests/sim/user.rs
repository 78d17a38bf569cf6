//! What a user does: connects, disconnects, comes back, all in the middle of everything else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::crypto::hash::random_id;
use shared::domain::app::{AccountChange, Completion};
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus};
use shared::domain::event::{Change, ConnectionRef};
use shared::domain::ids::{ConnectionId, SessionId, UserId};
use shared::domain::provider::ResponseMode;
use shared::domain::session::{AuthorizationSession, Display, Stage, Starter};
use shared::domain::token::Validity;
use shared::events::connection_event;
use shared::ports::{
    ConnectAnswer, ConnectWrite, Connections as _, Registry as _, Revocation, Sessions as _,
};

use super::store::SimStore;
use super::world::World;

/// Does one of the things users do, in `delay` milliseconds.
pub(super) async fn act(world: &Arc<World>, key: &ConnectionKey, delay: u64) {
    if !world.begin_acting(key) {
        return;
    }
    let sim = &world.sim;
    sim.sleep(delay).await;
    match sim.below(4) {
        0 | 1 => go_through_consent(world, key).await,
        2 => {
            disconnect(world, key).await;
            go_through_consent(world, key).await;
        }
        _ => {
            disconnect(world, key).await;
            sim.sleep(sim.below(60_000)).await;
            go_through_consent(world, key).await;
        }
    }
    world.end_acting(key);
}

/// Connects for the first time.
pub(super) async fn connect(world: &Arc<World>, key: &ConnectionKey) {
    go_through_consent(world, key).await;
}

/// Repairs what was lost.
pub(super) async fn reconnect(world: &Arc<World>, key: &ConnectionKey) {
    if world.begin_acting(key) {
        go_through_consent(world, key).await;
        world.end_acting(key);
    }
}

async fn go_through_consent(world: &Arc<World>, key: &ConnectionKey) {
    let store = SimStore(Arc::clone(world));
    let tokens = world.grants().consent(key, world.sim.now());
    loop {
        let standing = store.connection(key).await.expect("users meet no faults");
        let kept = standing
            .as_ref()
            .filter(|standing| !standing.status.is_gone());
        let id = kept.map(|kept| kept.id.clone()).unwrap_or_else(|| {
            ConnectionId::parse(random_id(&*world.entropy)).expect("base64url is an id")
        });
        let generation = standing.as_ref().map_or(0, |standing| standing.generation) + 1;
        let now = world.sim.timestamp();
        let expires_at = now.after(Duration::from_millis(world.lifetime));
        let connection = Connection {
            key: key.clone(),
            sealed: Some(
                world
                    .keys
                    .seal_tokens(&*world.entropy, &id, generation, &tokens),
            ),
            id,
            status: ConnectionStatus::Active,
            generation,
            connector_generation: world.connector.generation,
            validity: Validity {
                issued_at: now,
                expires_at: Some(expires_at),
                grant_expires_at: None,
            },
            refreshable: true,
            requested_scopes: world.connector.scopes.clone(),
            granted_scopes: world.connector.scopes.clone(),
            account: None,
            due_at: Some(expires_at.before(Duration::from_millis(world.lifetime / 5))),
            open_attempts: 0,
            open_since: None,
            outcome_lost: false,
            failures: 0,
            next_attempt_at: None,
            created_at: now,
            connected_at: now,
            refreshed_at: None,
            last_read_at: None,
        };
        let replaced = kept.and_then(|kept| world.held_by(kept, |tokens| tokens.refresh_token));
        let session = session(world, key).await;
        let event = connection_event(&*world.entropy, &connection, Change::Connected, now);
        let write = ConnectWrite {
            session,
            connection,
            replaces: standing,
            event,
        };
        match store.connect(&write).await.expect("users meet no faults") {
            ConnectAnswer::Connected => {
                if let Some(replaced) = replaced {
                    world.grants().replace(replaced.grant);
                }
                break;
            }
            ConnectAnswer::Changed => {}
            other => panic!("{other:?}"),
        }
    }
    world.sim.tell(|| format!("{} connected", name(key)));
    world.judge_stored(key);
}

fn name(key: &ConnectionKey) -> UserId {
    let user = key.subject.user();
    user.expect("these stories are about users").clone()
}

/// A session whose code is being redeemed.
pub(super) async fn session(world: &World, key: &ConnectionKey) -> SessionId {
    let now = world.sim.timestamp();
    if world
        .store
        .connector(&key.workspace, &key.connector)
        .now_or_never()
        .is_some_and(|found| matches!(found, Ok(None)))
    {
        let event = shared::events::connector_event(
            &*world.entropy,
            &world.connector,
            Change::ConnectorCreated,
            now,
        );
        let added = world.store.add_connector(&world.connector, &event).await;
        added.expect("users meet no faults");
    }
    let id = SessionId::parse(random_id(&*world.entropy)).expect("base64url is an id");
    let session = AuthorizationSession {
        id: id.clone(),
        workspace: key.workspace.clone(),
        app: key.app.clone(),
        starter: Starter::User(name(key)),
        connector: key.connector.clone(),
        alias: key.alias.clone(),
        connector_generation: world.connector.generation,
        issuer: None,
        iss_promised: false,
        return_url: "https://shop.example/done".parse().expect("a URL"),
        response_mode: ResponseMode::Query,
        callback: Default::default(),
        config: Default::default(),
        display: Display::Redirect,
        starter_label: None,
        completion: Completion::App,
        account_change: AccountChange::Refuse,
        cookie: None,
        login_hint: None,
        created_at: now,
        expires_at: now.after(Duration::from_secs(600)),
        stage: Stage::Exchanging {
            completion: [3; 32],
        },
    };
    world
        .store
        .add(&session)
        .await
        .expect("users meet no faults");
    id
}

async fn disconnect(world: &Arc<World>, key: &ConnectionKey) {
    let store = SimStore(Arc::clone(world));
    loop {
        let standing = store.connection(key).await.expect("users meet no faults");
        let Some(connection) = standing.filter(|standing| !standing.status.is_gone()) else {
            return;
        };
        let since = world.sim.timestamp();
        let revocation = Revocation {
            key: key.clone(),
            connection: connection.id.clone(),
            sealed: connection.sealed.clone().unwrap_or_default(),
            generation: connection.generation,
            connector_generation: connection.connector_generation,
            since,
            settles_connection: true,
        };
        let change = |subject: ConnectionRef| Change::Disconnected(subject);
        let event = connection_event(&*world.entropy, &connection, change, since);
        let stopped = store
            .disconnect(&connection, Some(&revocation), &event)
            .await;
        if stopped.expect("users meet no faults") {
            world.end(&connection);
            return;
        }
    }
}

//! Values to store, and the short way to a connected user.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::domain::app::{AccountChange, ApiKey, App, AppStatus, Completion, KeyScope};
use shared::domain::audit::{Action, AuditEntry, AuditId, Origin};
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus, LEASE, Lease};
use shared::domain::connector::{
    Accounts, ClientSecret, Connector, ConnectorKind, ConnectorStatus, ScopePolicy,
};
use shared::domain::event::{Change, ConnectionRef, Event};
use shared::domain::ids::{
    ApiKeyId, AppId, AttemptId, ConnectionId, ConnectorId, EventId, ProviderId, SessionId, UserId,
    WorkspaceId,
};
use shared::domain::provider::{CallbackValue, ResponseMode};
use shared::domain::scopes::ScopeList;
use shared::domain::session::{AuthorizationSession, Callback, Display, Stage, Starter};
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::domain::token::{Account, Validity};
use shared::ports::{ConnectAnswer, ConnectWrite, LeaseAnswer, RefreshedTokens, Revocation};
use url::Url;

use super::AnyStore;

/// Seconds after the instant at which every story begins.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_795_366_800_000 + seconds * 1000)
}

pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::parse("w1").unwrap()
}

pub(super) fn app_id() -> AppId {
    AppId::parse("shop").unwrap()
}

pub(super) fn connector_id(id: &str) -> ConnectorId {
    ConnectorId::parse(id).unwrap()
}

pub(super) fn connection_id(id: &str) -> ConnectionId {
    ConnectionId::parse(id).unwrap()
}

pub(super) fn session_id(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

pub(super) fn attempt(id: &str) -> AttemptId {
    AttemptId::parse(id).unwrap()
}

pub(super) fn scopes(text: &str) -> ScopeList {
    ScopeList::parse(text.split(' ')).unwrap()
}

/// A connection's place: this user, connector `c1`.
pub(super) fn key(user: &str) -> ConnectionKey {
    ConnectionKey {
        workspace: workspace(),
        app: app_id(),
        subject: Subject::User(UserId::parse(user).unwrap()),
        connector: connector_id("c1"),
        alias: None,
    }
}

/// The user of a place.
pub(super) fn user_of(key: &ConnectionKey) -> &str {
    key.subject.user().unwrap().as_str()
}

pub(super) fn app() -> App {
    App {
        workspace: workspace(),
        id: app_id(),
        name: "Shop".into(),
        return_urls: vec![Url::parse("https://shop.example/done?x=1").unwrap()],
        completion: Completion::Screen,
        account_change: AccountChange::Allow,
        status: AppStatus::Active,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(super) fn api_key(id: &str, created_at: Timestamp) -> ApiKey {
    let mut hash = [7; 32];
    hash[..id.len()].copy_from_slice(id.as_bytes());
    ApiKey {
        workspace: workspace(),
        app: app_id(),
        id: ApiKeyId::parse(id).unwrap(),
        name: format!("key {id}"),
        hash,
        scopes: KeyScope::all(),
        on_behalf_of_only: true,
        created_at,
    }
}

pub(super) fn connector(id: &str) -> Connector {
    Connector {
        workspace: workspace(),
        id: connector_id(id),
        name: "Drive".into(),
        provider: ProviderId::parse("google").unwrap(),
        kind: ConnectorKind::User,
        accounts: Accounts::Several,
        client_id: "client-1".into(),
        client_secret: Some(ClientSecret {
            sealed: vec![0, 159, 146, 150],
            set_at: at(0),
            last_four: Some("cret".into()),
        }),
        previous_secret: None,
        scopes: scopes("write read"),
        scope_policy: ScopePolicy::Strict,
        config: BTreeMap::from([("subdomain".into(), "acme".into())]),
        template: Some(r#"{"name":"Acme"}"#.into()),
        allowed_apps: Some(vec![app_id()]),
        status: ConnectorStatus::Enabled,
        generation: 1,
        client_generation: 1,
        revoked: None,
        version: 1,
        created_at: at(0),
        updated_at: at(1),
    }
}

/// An event about nothing in particular.
pub(super) fn event(id: &str, time: Timestamp) -> Event {
    Event {
        version: Event::VERSION,
        id: EventId::parse(id).unwrap(),
        time,
        workspace_id: workspace(),
        connector_id: Some(connector_id("c1")),
        origin: Origin::default(),
        change: Change::Disconnected(ConnectionRef {
            connection_id: connection_id("k-u1"),
            app_id: app_id(),
            subject: Subject::User(UserId::parse("u1").unwrap()),
            alias: None,
        }),
    }
}

/// An audit entry about nothing in particular.
pub(super) fn entry() -> AuditEntry {
    let id = AuditId::new(at(0), "entry");
    AuditEntry::new(id, &workspace(), &Origin::default(), Action::AppChanged)
}

/// A session of ten minutes at `stage`.
pub(super) fn session(id: &str, stage: Stage) -> AuthorizationSession {
    AuthorizationSession {
        id: session_id(id),
        workspace: workspace(),
        app: app_id(),
        starter: Starter::User(UserId::parse("auth0|u 1#é").unwrap()),
        connector: connector_id("c1"),
        alias: None,
        connector_generation: 1,
        issuer: Some("https://issuer.example".into()),
        iss_promised: true,
        return_url: Url::parse("https://shop.example/done").unwrap(),
        response_mode: ResponseMode::FormPost,
        callback: Callback {
            code_param: "auth_code".into(),
            hmac_param: Some("hmac".into()),
            values: [(
                "realm_id".to_owned(),
                CallbackValue {
                    param: "realmId".into(),
                    pattern: "^[0-9]{1,20}$".into(),
                    required: true,
                },
            )]
            .into(),
        },
        config: [("shop".to_owned(), "acme".to_owned())].into(),
        display: Display::Popup,
        starter_label: Some("u@shop.example".into()),
        completion: Completion::Screen,
        account_change: AccountChange::Allow,
        cookie: Some([77; 32]),
        login_hint: Some("u@shop.example".into()),
        created_at: at(0),
        expires_at: at(600),
        stage,
    }
}

/// An active connection of `user` with a token for an hour, due in 45 minutes.
pub(super) fn connection(user: &str) -> Connection {
    Connection {
        key: key(user),
        id: connection_id(&format!(
            "k-{}",
            user.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        )),
        status: ConnectionStatus::Active,
        generation: 1,
        connector_generation: 1,
        sealed: Some(format!("sealed for {user}").into_bytes()),
        validity: Validity {
            issued_at: at(0),
            expires_at: Some(at(3600)),
            grant_expires_at: Some(at(7200)),
        },
        refreshable: true,
        requested_scopes: scopes("write read"),
        granted_scopes: scopes("read"),
        account: Some(Account {
            id: "acc-1".into(),
            label: Some("me@example".into()),
        }),
        due_at: Some(at(2700)),
        open_attempts: 0,
        open_since: None,
        outcome_lost: false,
        failures: 0,
        next_attempt_at: None,
        created_at: at(0),
        connected_at: at(0),
        refreshed_at: None,
        last_read_at: None,
    }
}

/// What completing a session named `name` writes.
pub(super) fn connect_write(
    name: &str,
    connection: &Connection,
    replaces: Option<&Connection>,
) -> ConnectWrite {
    ConnectWrite {
        session: session_id(name),
        connection: connection.clone(),
        replaces: replaces.cloned(),
        event: event(&format!("e-{name}"), at(0)),
    }
}

/// Adds a session that is being exchanged and completes it with `connection`.
pub(super) async fn connect(
    store: &dyn AnyStore,
    name: &str,
    connection: &Connection,
    replaces: Option<&Connection>,
) -> ConnectAnswer {
    let exchanging = Stage::Exchanging {
        completion: [3; 32],
    };
    store.add(&session(name, exchanging)).await.unwrap();
    let write = connect_write(name, connection, replaces);
    store.connect(&write).await.unwrap()
}

/// A connected user, on connector `c1`.
pub(super) async fn connected(store: &dyn AnyStore, user: &str) -> Connection {
    let made = event(&format!("e-made-{user}"), at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let new = connection(user);
    let answer = connect(store, &format!("s-{user}"), &new, None).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    new
}

/// The connection as it stands.
pub(super) async fn stored(store: &dyn AnyStore, user: &str) -> Connection {
    store.connection(&key(user)).await.unwrap().unwrap()
}

pub(super) async fn acquire(
    store: &dyn AnyStore,
    user: &str,
    name: &str,
    now: Timestamp,
) -> LeaseAnswer {
    let until = now.after(LEASE);
    let answer = store
        .acquire_lease(&key(user), &attempt(name), now, until)
        .await;
    answer.unwrap()
}

/// The lease, which must be granted.
pub(super) async fn leased(store: &dyn AnyStore, user: &str, name: &str, now: Timestamp) -> Lease {
    match acquire(store, user, name, now).await {
        LeaseAnswer::Granted(lease) => *lease,
        refused => panic!("not granted: {refused:?}"),
    }
}

/// Tokens for another hour from `now` on.
pub(super) fn tokens(sealed: &str, now: Timestamp) -> RefreshedTokens {
    RefreshedTokens {
        sealed: sealed.as_bytes().to_vec(),
        validity: Validity {
            issued_at: now,
            expires_at: Some(now.after(Duration::from_secs(3600))),
            grant_expires_at: Some(now.after(Duration::from_secs(7200))),
        },
        refreshable: true,
        granted_scopes: scopes("read write"),
        due_at: Some(now.after(Duration::from_secs(2700))),
    }
}

/// The revocation of a connection that is disconnected at `since`.
pub(super) fn revocation(of: &Connection, since: Timestamp) -> Revocation {
    Revocation {
        key: of.key.clone(),
        connection: of.id.clone(),
        sealed: of.sealed.clone().unwrap_or_default(),
        generation: of.generation,
        connector_generation: of.connector_generation,
        since,
        settles_connection: true,
    }
}

/// The users with a refresh due by `now`, over all shards.
pub(super) async fn due_users(store: &dyn AnyStore, now: Timestamp) -> Vec<String> {
    let mut users = Vec::new();
    for shard in 0..store.shards() {
        let due = store.due_refreshes(shard, now, None, 100).await.unwrap();
        let due = due.items;
        users.extend(due.into_iter().map(|(_, key)| user_of(&key).to_owned()));
    }
    users.sort();
    users
}

/// The revocations due by `now`, over all shards.
pub(super) async fn due_revocations(store: &dyn AnyStore, now: Timestamp) -> Vec<Revocation> {
    let mut found = Vec::new();
    for shard in 0..store.shards() {
        let due = store.due_revocations(shard, now, 100).await.unwrap();
        found.extend(due.into_iter().map(|(_, revocation)| revocation));
    }
    found
}

/// The ids of all events not yet known to be published.
pub(super) async fn unsent(store: &dyn AnyStore) -> Vec<String> {
    let mut ids = Vec::new();
    for shard in 0..store.shards() {
        let events = store
            .unsent_events(shard, at(1_000_000), 100)
            .await
            .unwrap();
        ids.extend(events.into_iter().map(|(_, event)| event.id.to_string()));
    }
    ids.sort();
    ids
}

//! Connections by the thousand, put straight into the store, and a provider that only counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use shared::crypto::hash::random_id;
use shared::domain::app::{AccountChange, Completion};
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus};
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectionId, ConnectorId, SessionId, UserId, WorkspaceId};
use shared::domain::provider::{Provider, ResponseMode};
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::session::{AuthorizationSession, Display, Stage, Starter};
use shared::domain::subject::Subject;
use shared::domain::token::{
    Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet, Validity,
};
use shared::events::connection_event;
use shared::ports::{
    ClientCredentials, Clock, CodeGrant, ConnectAnswer, ConnectWrite, ProviderApi,
};

use crate::world::World;

/// Connects `count` users of a workspace, whose refresh is due in `due_in`. Their refresh tokens
/// are called like the workspace.
pub(crate) async fn connect(
    world: &World,
    workspace: &str,
    connector: &str,
    count: usize,
    due_in: Duration,
) {
    for n in 0..count {
        let key = key(workspace, connector, n);
        let connection = connection(world, key, due_in).await;
        let session = session(world, &connection).await;
        let now = world.clock.now();
        let event = connection_event(&*world.engine.entropy, &connection, Change::Connected, now);
        let write = ConnectWrite {
            session,
            connection,
            replaces: None,
            event,
        };
        let connected = world.connections.connect(&write).await.unwrap();
        assert_eq!(connected, ConnectAnswer::Connected);
    }
}

/// The key of one of them.
pub(crate) fn key(workspace: &str, connector: &str, n: usize) -> ConnectionKey {
    ConnectionKey {
        workspace: WorkspaceId::parse(workspace).unwrap(),
        app: AppId::parse("shop").unwrap(),
        subject: Subject::User(UserId::parse(format!("user-{n}")).unwrap()),
        connector: ConnectorId::parse(connector).unwrap(),
        alias: None,
    }
}

/// One of them, not stored yet.
pub(crate) async fn connection(world: &World, key: ConnectionKey, due_in: Duration) -> Connection {
    let entropy = &*world.engine.entropy;
    let now = world.clock.now();
    let id = ConnectionId::parse(random_id(entropy)).unwrap();
    let tokens = TokenSet {
        access_token: Secret::new("access"),
        refresh_token: Some(Secret::new(key.workspace.as_str())),
        connection_config: BTreeMap::new(),
    };
    let keys = world.engine.vault.keys(&key.workspace).await.unwrap();
    let scopes = ScopeList::parse(["read"]).unwrap();
    let connector = world
        .engine
        .registry
        .connector(&key.workspace, &key.connector);
    let connector = connector.await.unwrap().unwrap();
    Connection {
        sealed: Some(keys.seal_tokens(entropy, &id, 1, &tokens)),
        key,
        id,
        status: ConnectionStatus::Active,
        generation: 1,
        connector_generation: connector.generation,
        validity: Validity {
            issued_at: now,
            expires_at: Some(now.after(Duration::from_secs(3600))),
            grant_expires_at: None,
        },
        refreshable: true,
        requested_scopes: scopes.clone(),
        granted_scopes: scopes,
        account: None,
        due_at: Some(now.after(due_in)),
        open_attempts: 0,
        open_since: None,
        outcome_lost: false,
        failures: 0,
        next_attempt_at: None,
        created_at: now,
        connected_at: now,
        refreshed_at: None,
        last_read_at: None,
    }
}

async fn session(world: &World, of: &Connection) -> SessionId {
    let key = &of.key;
    let now = world.clock.now();
    let id = SessionId::parse(random_id(&*world.engine.entropy)).unwrap();
    let session = AuthorizationSession {
        id: id.clone(),
        workspace: key.workspace.clone(),
        app: key.app.clone(),
        starter: Starter::User(key.subject.user().unwrap().clone()),
        connector: key.connector.clone(),
        alias: None,
        connector_generation: of.connector_generation,
        issuer: None,
        iss_promised: false,
        return_url: "https://shop.example/done".parse().unwrap(),
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
    world.sessions.add(&session).await.unwrap();
    id
}

/// A provider that takes its time and remembers in which order it was asked.
pub(crate) struct Counting<C> {
    clock: C,
    takes: Duration,
    answers: fn() -> Result<TokenAnswer, TokenFailure>,
    asked: Mutex<Vec<String>>,
}

impl<C> Counting<C> {
    pub(crate) fn new(
        clock: C,
        takes: Duration,
        answers: fn() -> Result<TokenAnswer, TokenFailure>,
    ) -> Self {
        Self {
            clock,
            takes,
            answers,
            asked: Mutex::default(),
        }
    }

    /// The refresh tokens it was sent, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// New tokens for an hour.
pub(crate) fn tokens() -> Result<TokenAnswer, TokenFailure> {
    Ok(TokenAnswer {
        access_token: Secret::new("access"),
        refresh_token: None,
        refresh_lifetime: None,
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
        connection_config: BTreeMap::new(),
        account: None,
        id_token: None,
        by_previous_secret: false,
    })
}

#[async_trait]
impl<C: Clock> ProviderApi for Counting<C> {
    async fn refresh(
        &self,
        _: &Provider,
        _: &ClientCredentials,
        refresh_token: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        self.asked
            .lock()
            .unwrap()
            .push(refresh_token.expose().to_owned());
        if !self.takes.is_zero() {
            self.clock.sleep(self.takes).await;
        }
        (self.answers)()
    }

    async fn exchange(
        &self,
        _: &Provider,
        _: &ClientCredentials,
        _: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        Err(TokenFailure::NotSent)
    }

    async fn revoke(&self, _: &Provider, _: &ClientCredentials, _: &TokenSet) -> RevocationAnswer {
        RevocationAnswer::Unsupported
    }

    async fn account(&self, _: &Provider, _: &Secret) -> Option<Account> {
        None
    }
}

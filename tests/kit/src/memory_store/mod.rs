//! The stores as plain maps: what they must do, written down a second time.
//!
//! It follows the rules of the ports and knows nothing of items, expressions or indexes, so that
//! comparing the two finds the mistakes of either. One lock is every transaction. It has no
//! clock: nothing expires by itself.

mod audit;
mod connections;
mod due;
mod health;
mod idempotency;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use shared::domain::app::{ApiKey, App, MOST_KEYS};
use shared::domain::audit::{AuditEntry, AuditId};
use shared::domain::connection::{Connection, ConnectionKey, Readers};
use shared::domain::connector::Connector;
use shared::domain::event::Event;
use shared::domain::health::Health;
use shared::domain::idempotency::{RequestKey, Run};
use shared::domain::ids::{
    ApiKeyId, AppId, AttemptId, ConnectorId, EventId, SessionId, WorkspaceId,
};
use shared::domain::rate::Reader;
use shared::domain::scopes::ScopeList;
use shared::domain::session::AuthorizationSession;
use shared::domain::time::Timestamp;
use shared::ports::{
    Doomed, DueWork, KeyTable, Lookup, LookupKeys, LookupRows, Page, ReadCounts, Registry,
    Revocation, StoreError, WrappedRootKey, WrappedWorkspaceKeys,
};

/// All stores in one value.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    shards: u32,
}

#[derive(Debug, Default)]
struct State {
    apps: BTreeMap<(WorkspaceId, AppId), App>,
    api_keys: BTreeMap<[u8; 32], ApiKey>,
    connectors: BTreeMap<(WorkspaceId, ConnectorId), Connector>,
    /// Whose the ids of connectors are, for good.
    reserved: BTreeMap<ConnectorId, WorkspaceId>,
    sessions: BTreeMap<SessionId, AuthorizationSession>,
    runs: BTreeMap<RequestKey, Run>,
    connections: BTreeMap<ConnectionKey, Kept>,
    refreshes: BTreeMap<DueWork, ConnectionKey>,
    revocations: BTreeMap<DueWork, Revocation>,
    deletions: BTreeMap<DueWork, (WorkspaceId, Doomed)>,
    events: BTreeMap<EventId, Event>,
    health: BTreeMap<(WorkspaceId, ConnectorId), Health>,
    reads: BTreeMap<(Reader, i64), u64>,
    connections_read: BTreeMap<(ApiKeyId, i64), u64>,
    bulk_reads: BTreeSet<(ApiKeyId, i64)>,
    audit: BTreeMap<(WorkspaceId, AuditId), AuditEntry>,
    root_keys: BTreeMap<u32, WrappedRootKey>,
    workspace_keys: BTreeMap<WorkspaceId, WrappedWorkspaceKeys>,
}

/// A connection with what the domain does not see of it.
#[derive(Clone, Debug)]
struct Kept {
    connection: Connection,
    lease: Option<Held>,
    /// The attempt that last wrote its end.
    last_attempt: Option<AttemptId>,
    /// Who has read its token lately.
    readers: Readers,
    /// What was granted at the last consent.
    consented_scopes: ScopeList,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    owner: AttemptId,
    until: Timestamp,
}

/// The connections as they stood at an instant.
#[derive(Debug)]
pub struct Backup(BTreeMap<ConnectionKey, Kept>);

impl MemoryStore {
    /// Nothing stored, due work in `shards` shards.
    pub fn new(shards: u32) -> Self {
        Self {
            state: Mutex::default(),
            shards: shards.max(1),
        }
    }

    /// What a backup of the connections holds now.
    pub fn back_up(&self) -> Backup {
        Backup(self.state().connections.clone())
    }

    /// Puts a backup in the place of all connections. What else is stored stays.
    pub fn restore(&self, backup: Backup) {
        self.state().connections = backup.0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the store panics")
    }
}

#[async_trait]
impl Registry for MemoryStore {
    async fn app(&self, workspace: &WorkspaceId, app: &AppId) -> Result<Option<App>, StoreError> {
        let at = (workspace.clone(), app.clone());
        Ok(self.state().apps.get(&at).cloned())
    }

    async fn put_app(&self, app: &App, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let stays = !state.is_deleting(&app.workspace, &app.id);
        if stays {
            state.put_app(app);
            state.note(entry);
        }
        Ok(stays)
    }

    async fn begin_app_deletion(
        &self,
        app: &App,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let (workspace, id) = (&app.workspace, &app.id);
        let work = self.work(format!("{workspace} app {id}"), due_at);
        let mut state = self.state();
        let at = (workspace.clone(), id.clone());
        let begins = state.apps.get(&at).is_some_and(|kept| !kept.is_deleting());
        if begins {
            state.put_app(app);
            state
                .api_keys
                .retain(|_, key| (&key.workspace, &key.app) != (workspace, id));
            let what = Doomed::App(id.clone());
            state.deletions.insert(work, (workspace.clone(), what));
            state.note(entry);
        }
        Ok(begins)
    }

    async fn finish_app_deletion(
        &self,
        app: &App,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        state.deletions.remove(work);
        let deleting = state.is_deleting(&app.workspace, &app.id);
        if deleting {
            let at = (app.workspace.clone(), app.id.clone());
            state.apps.remove(&at);
            state.put_event(event);
        }
        Ok(deleting)
    }

    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.state().api_keys.get(hash).cloned())
    }

    async fn api_keys(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let state = self.state();
        let keys = state.api_keys.values();
        let mut keys: Vec<_> = keys
            .filter(|key| key.workspace == *workspace && key.app == *app)
            .cloned()
            .collect();
        keys.sort_by_key(|key| (key.created_at, key.id.clone()));
        Ok(keys)
    }

    async fn add_api_key(&self, key: &ApiKey, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let keys = state.api_keys.values();
        let of_app = keys.filter(|kept| (&kept.workspace, &kept.app) == (&key.workspace, &key.app));
        let deleting = state.is_deleting(&key.workspace, &key.app);
        let room = of_app.count() < MOST_KEYS && !deleting;
        if room {
            state.api_keys.insert(key.hash, key.clone());
            state.note(entry);
        }
        Ok(room)
    }

    async fn remove_api_key(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        key: &ApiKeyId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let before = state.api_keys.len();
        state
            .api_keys
            .retain(|_, kept| (&kept.workspace, &kept.app, &kept.id) != (workspace, app, key));
        let removed = state.api_keys.len() < before;
        if removed {
            state.note(entry);
        }
        Ok(removed)
    }

    async fn connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
    ) -> Result<Option<Connector>, StoreError> {
        Ok(self.state().connector(workspace, connector).cloned())
    }

    async fn connectors(
        &self,
        workspace: &WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connector>, StoreError> {
        let state = self.state();
        let own = state.connectors.values();
        let own = own.filter(|connector| connector.workspace == *workspace);
        Ok(page(own, |connector| connector.id.as_str(), after, limit))
    }

    async fn add_connector(
        &self,
        connector: &Connector,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let (workspace, id) = (&connector.workspace, &connector.id);
        let own = state.reserved.get(id).is_none_or(|of| of == workspace);
        let free = own && state.connector(workspace, id).is_none();
        if free {
            state.reserved.insert(id.clone(), workspace.clone());
            state.put_connector(connector);
            state.put_event(event);
        }
        Ok(free)
    }

    async fn replace_connector(
        &self,
        connector: &Connector,
        expected_version: u64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let as_expected = state.has_version(connector, expected_version);
        if as_expected {
            state.put_connector(connector);
            state.put_event(event);
        }
        Ok(as_expected)
    }

    async fn begin_connector_deletion(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let id = format!("{} {}", connector.workspace, connector.id);
        let work = self.work(id, due_at);
        let mut state = self.state();
        let as_expected = state.has_version(connector, expected_version);
        if as_expected {
            state.put_connector(connector);
            let what = Doomed::Connector(connector.id.clone());
            let what = (connector.workspace.clone(), what);
            state.deletions.insert(work, what);
            state.note(entry);
        }
        Ok(as_expected)
    }

    async fn revoke_connections(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let id = format!("{} revoked {}", connector.workspace, connector.id);
        let work = self.work(id, due_at);
        let mut state = self.state();
        let as_expected = state.has_version(connector, expected_version);
        if as_expected {
            state.put_connector(connector);
            let what = Doomed::Revoked(connector.id.clone());
            let what = (connector.workspace.clone(), what);
            state.deletions.insert(work, what);
            state.put_event(event);
        }
        Ok(as_expected)
    }

    async fn finish_connector_deletion(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        state.deletions.remove(work);
        let deleting = state
            .connector(workspace, connector)
            .is_some_and(|kept| kept.status.is_deleting());
        if deleting {
            let at = (workspace.clone(), connector.clone());
            state.connectors.remove(&at);
            state.put_event(event);
        }
        Ok(deleting)
    }
}

impl State {
    fn connector(&self, workspace: &WorkspaceId, id: &ConnectorId) -> Option<&Connector> {
        self.connectors.get(&(workspace.clone(), id.clone()))
    }

    pub(super) fn is_deleting(&self, workspace: &WorkspaceId, app: &AppId) -> bool {
        let app = self.apps.get(&(workspace.clone(), app.clone()));
        app.is_some_and(App::is_deleting)
    }

    fn put_app(&mut self, app: &App) {
        let at = (app.workspace.clone(), app.id.clone());
        self.apps.insert(at, app.clone());
    }

    fn has_version(&self, connector: &Connector, version: u64) -> bool {
        self.connector(&connector.workspace, &connector.id)
            .is_some_and(|kept| kept.version == version)
    }

    fn put_connector(&mut self, connector: &Connector) {
        let at = (connector.workspace.clone(), connector.id.clone());
        self.connectors.insert(at, connector.clone());
    }

    fn put_event(&mut self, event: &Event) {
        self.events.insert(event.id.clone(), event.clone());
        if let Some(entry) = AuditEntry::of(event) {
            self.note(&entry);
        }
    }
}

#[async_trait]
impl Lookup for MemoryStore {
    async fn lookup(&self, keys: &LookupKeys) -> Result<LookupRows, StoreError> {
        let state = self.state();
        let key = &keys.connection;
        let workspace_keys = state.workspace_keys.get(&key.workspace);
        let reads = |reader| {
            state
                .reads
                .get(&(reader, keys.minute))
                .copied()
                .unwrap_or(0)
        };
        Ok(LookupRows {
            api_key: state.api_keys.get(&keys.api_key).cloned(),
            connector: state.connector(&key.workspace, &key.connector).cloned(),
            connection: state
                .connections
                .get(key)
                .map(|kept| kept.connection.clone()),
            readers: state
                .connections
                .get(key)
                .map(|kept| kept.readers.clone())
                .unwrap_or_default(),
            workspace_keys: workspace_keys.filter(|_| keys.with_workspace_keys).cloned(),
            reads: ReadCounts {
                credential: reads(Reader::Credential(keys.api_key)),
                workspace: reads(Reader::Workspace(key.workspace.clone())),
            },
        })
    }

    async fn count_reads(
        &self,
        reader: &Reader,
        minute: i64,
        reads: u64,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        *state.reads.entry((reader.clone(), minute)).or_default() += reads;
        Ok(())
    }
}

#[async_trait]
impl KeyTable for MemoryStore {
    async fn root_key(&self, version: u32) -> Result<Option<WrappedRootKey>, StoreError> {
        Ok(self.state().root_keys.get(&version).cloned())
    }

    async fn add_root_key(&self, key: &WrappedRootKey) -> Result<WrappedRootKey, StoreError> {
        let mut state = self.state();
        let standing = state.root_keys.entry(key.version);
        Ok(standing.or_insert_with(|| key.clone()).clone())
    }

    async fn workspace_keys(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedWorkspaceKeys>, StoreError> {
        Ok(self.state().workspace_keys.get(workspace).cloned())
    }

    async fn add_workspace_keys(
        &self,
        workspace: &WorkspaceId,
        keys: &WrappedWorkspaceKeys,
    ) -> Result<WrappedWorkspaceKeys, StoreError> {
        let mut state = self.state();
        let standing = state.workspace_keys.entry(workspace.clone());
        Ok(standing.or_insert_with(|| keys.clone()).clone())
    }
}

/// The items after `after` by `id`, at most `limit`.
fn page<'a, T: Clone + 'a>(
    items: impl Iterator<Item = &'a T>,
    id: impl Fn(&T) -> &str,
    after: Option<&str>,
    limit: u32,
) -> Page<T> {
    // A cursor is an id; anything else was never given out.
    if after.is_some_and(|after| ConnectorId::parse(after).is_err()) {
        return Page {
            items: Vec::new(),
            next: None,
        };
    }
    let mut items: Vec<T> = items
        .filter(|item| after.is_none_or(|after| id(item) > after))
        .cloned()
        .collect();
    items.sort_by(|a, b| id(a).cmp(id(b)));
    let limit = limit.max(1) as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more);
    let next = next.map(|last| id(last).to_owned());
    Page { items, next }
}

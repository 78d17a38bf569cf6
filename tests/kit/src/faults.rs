//! A store whose calls fail when a test says so: before the call, as if it had never been made,
//! or after it, as if its answer had been lost.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::app::{ApiKey, App};
use shared::domain::audit::{AuditEntry, AuditFilter};
use shared::domain::census::Listed;
use shared::domain::connection::{
    Connection, ConnectionKey, Lease, Readers, ReconnectReason, RevocationOutcome,
};
use shared::domain::connector::Connector;
use shared::domain::ending::Ending;
use shared::domain::event::Event;
use shared::domain::health::{Breaker, Health, Tally};
use shared::domain::idempotency::{Run, SealedAnswer};
use shared::domain::ids::{
    ApiKeyId, AppId, AttemptId, ConnectionId, ConnectorId, SessionId, UserId, WorkspaceId,
};
use shared::domain::rate::Reader;
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::session::{AuthorizationSession, Redirected, Returned, SecretHash};
use shared::domain::time::Timestamp;
use shared::ports::{
    Audit, ConnectAnswer, ConnectWrite, Connections, ConnectorHealth, Doomed, DueTable, DueWork,
    EscrowWrite, Idempotency, KeyTable, LeaseAnswer, LeaseWrite, Lookup, LookupKeys, LookupRows,
    Page, RefreshedTokens, Registry, Revocation, Sessions, StoreError, WrappedRootKey,
    WrappedWorkspaceKeys,
};
use tokio::sync::Notify;

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The store has not seen the call.
    Before,
    /// The store has done what it was asked.
    After,
}

/// What happens to a call.
#[derive(Debug)]
pub enum Fault {
    /// The caller gets this error.
    Error(StoreError),
    /// The caller never gets an answer: the test drops it, which is a crash at this point.
    Crash,
    /// The caller goes on when it is notified, as a frozen sandbox does when it is thawed.
    Freeze(Arc<Notify>),
    /// The caller waits this long, in real time: the store's latency, for who measures.
    Late(Duration),
}

impl Fault {
    /// A store that did not answer.
    pub fn unavailable() -> Self {
        Self::Error(StoreError::Unavailable("injected".into()))
    }
}

/// Asked on each side of each call, by the method's name.
pub type Hook = Arc<dyn Fn(&'static str, Phase) -> Option<Fault> + Send + Sync>;

/// A store behind a hook.
pub struct FaultyStore<S: ?Sized> {
    inner: Arc<S>,
    hook: Hook,
}

impl<S: ?Sized> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            hook: Arc::clone(&self.hook),
        }
    }
}

impl<S: ?Sized> FaultyStore<S> {
    /// `inner`, failing as `hook` says.
    pub fn new(inner: Arc<S>, hook: Hook) -> Self {
        Self { inner, hook }
    }

    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.meet(method, Phase::Before).await?;
        let answer = call.await;
        self.meet(method, Phase::After).await?;
        answer
    }

    async fn meet(&self, method: &'static str, phase: Phase) -> Result<(), StoreError> {
        match (self.hook)(method, phase) {
            None => Ok(()),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::Crash) => pending().await,
            Some(Fault::Freeze(thaw)) => {
                thaw.notified().await;
                Ok(())
            }
            Some(Fault::Late(by)) => {
                tokio::time::sleep(by).await;
                Ok(())
            }
        }
    }
}

/// Every method of a port, passed on with the hook around it.
macro_rules! pass_on {
    (
        $port:ident { $($same:item)* }
        $($method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl<S: $port + ?Sized> $port for FaultyStore<S> {
            $($same)*
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                let call = self.inner.$method($($argument),*);
                self.around(stringify!($method), call).await
            })*
        }
    };
}

pass_on! {
    Sessions {}
    add(session: &AuthorizationSession) -> ();
    session(id: &SessionId) -> Option<AuthorizationSession>;
    redirect(id: &SessionId, ticket: &SecretHash, cookie: &SecretHash, to: &Redirected) -> bool;
    arrive(id: &SessionId, state: &SecretHash, to: &Returned, expires_at: Timestamp) -> bool;
    begin_exchange(id: &SessionId, completion: &SecretHash) -> bool;
    end(id: &SessionId, ending: Ending) -> ();
}

pass_on! {
    Idempotency {}
    begin(run: &Run) -> Run;
    take_over(run: &Run, earlier: &Run) -> bool;
    finish(run: &Run, answer: &SealedAnswer) -> bool;
    give_up(run: &Run, now: Timestamp) -> ();
}

pass_on! {
    Connections {}
    connection(key: &ConnectionKey) -> Option<Connection>;
    of_user(workspace: &WorkspaceId, app: &AppId, user: &UserId) -> Vec<Connection>;
    of_connector(workspace: &WorkspaceId, connector: &ConnectorId, after: Option<&str>, limit: u32)
        -> Page<Connection>;
    of_app(workspace: &WorkspaceId, app: &AppId, after: Option<&str>, limit: u32)
        -> Page<Connection>;
    count_of_app(workspace: &WorkspaceId, app: &AppId, most: u32) -> (u64, bool);
    listed(workspace: &WorkspaceId, connector: &ConnectorId, after: Option<&str>, limit: u32)
        -> Page<Listed>;
    by_id(workspace: &WorkspaceId, connector: &ConnectorId, id: &ConnectionId)
        -> Option<Connection>;
    connect(write: &ConnectWrite) -> ConnectAnswer;
    acquire_lease(key: &ConnectionKey, attempt: &AttemptId, now: Timestamp, until: Timestamp)
        -> LeaseAnswer;
    release_lease(lease: &Lease) -> ();
    store_tokens(lease: &Lease, tokens: &RefreshedTokens, now: Timestamp) -> LeaseWrite;
    store_escrowed(lease: &Lease, tokens: &RefreshedTokens, now: Timestamp) -> EscrowWrite;
    record_failure(lease: &Lease, failure: &FailedAttempt) -> LeaseWrite;
    require_reconnect(lease: &Lease, reason: ReconnectReason, since: Timestamp, event: &Event)
        -> LeaseWrite;
    disconnect(connection: &Connection, revocation: Option<&Revocation>, event: &Event) -> bool;
    settle_revocation(
        key: &ConnectionKey, id: &ConnectionId, outcome: RevocationOutcome, now: Timestamp
    ) -> ();
    forget(key: &ConnectionKey) -> ();
    record_read(key: &ConnectionKey, readers: &Readers, at: Timestamp) -> ();
}

pass_on! {
    DueTable {
        fn shards(&self) -> u32 {
            self.inner.shards()
        }

        fn revocation_work(&self, revocation: &Revocation) -> DueWork {
            self.inner.revocation_work(revocation)
        }
    }
    add_refresh(key: &ConnectionKey, id: &ConnectionId, due_at: Timestamp) -> ();
    due_refreshes(shard: u32, now: Timestamp, after: Option<&str>, limit: u32)
        -> Page<(DueWork, ConnectionKey)>;
    remove_refresh(id: &ConnectionId, due_at: Timestamp) -> ();
    remove_found_refresh(work: &DueWork) -> ();
    add_revocation(revocation: &Revocation, due_at: Timestamp) -> DueWork;
    due_revocations(shard: u32, now: Timestamp, limit: u32) -> Vec<(DueWork, Revocation)>;
    postpone_revocation(work: &DueWork, revocation: &Revocation, due_at: Timestamp) -> ();
    remove_revocation(work: &DueWork) -> ();
    due_deletions(shard: u32, now: Timestamp, limit: u32)
        -> Vec<(DueWork, WorkspaceId, Doomed)>;
    remove_deletion(work: &DueWork) -> ();
    add_event(event: &Event) -> ();
    unsent_events(shard: u32, before: Timestamp, limit: u32) -> Vec<(DueWork, Event)>;
    remove_event(event: &Event) -> ();
    remove_found_event(work: &DueWork) -> ();
}

pass_on! {
    ConnectorHealth {}
    health(workspace: &WorkspaceId, connector: &ConnectorId, now: Timestamp) -> Health;
    count(workspace: &WorkspaceId, connector: &ConnectorId, now: Timestamp, tally: &Tally)
        -> Tally;
    trip(
        workspace: &WorkspaceId, connector: &ConnectorId, breaker: &Breaker,
        replacing: Option<&Breaker>, event: Option<&Event>
    ) -> bool;
    close(workspace: &WorkspaceId, connector: &ConnectorId, breaker: &Breaker, now: Timestamp)
        -> bool;
    secret_worked(
        workspace: &WorkspaceId, connector: &ConnectorId, set_at: Timestamp, now: Timestamp
    ) -> ();
}

pass_on! {
    Registry {}
    app(workspace: &WorkspaceId, app: &AppId) -> Option<App>;
    put_app(app: &App, entry: &AuditEntry) -> bool;
    begin_app_deletion(app: &App, due_at: Timestamp, entry: &AuditEntry) -> bool;
    finish_app_deletion(app: &App, work: &DueWork, event: &Event) -> bool;
    api_key(hash: &[u8; 32]) -> Option<ApiKey>;
    api_keys(workspace: &WorkspaceId, app: &AppId) -> Vec<ApiKey>;
    add_api_key(key: &ApiKey, entry: &AuditEntry) -> bool;
    remove_api_key(
        workspace: &WorkspaceId, app: &AppId, key: &ApiKeyId, entry: &AuditEntry
    ) -> bool;
    connector(workspace: &WorkspaceId, connector: &ConnectorId) -> Option<Connector>;
    connectors(workspace: &WorkspaceId, after: Option<&str>, limit: u32) -> Page<Connector>;
    add_connector(connector: &Connector, event: &Event) -> bool;
    replace_connector(connector: &Connector, expected_version: u64, event: &Event) -> bool;
    begin_connector_deletion(
        connector: &Connector, expected_version: u64, due_at: Timestamp, entry: &AuditEntry
    )
        -> bool;
    revoke_connections(
        connector: &Connector, expected_version: u64, due_at: Timestamp, event: &Event
    ) -> bool;
    finish_connector_deletion(
        workspace: &WorkspaceId, connector: &ConnectorId, work: &DueWork, event: &Event
    ) -> bool;
}

pass_on! {
    Lookup {}
    lookup(keys: &LookupKeys) -> LookupRows;
    count_reads(reader: &Reader, minute: i64, reads: u64) -> ();
}

pass_on! {
    KeyTable {}
    root_key(version: u32) -> Option<WrappedRootKey>;
    add_root_key(key: &WrappedRootKey) -> WrappedRootKey;
    workspace_keys(workspace: &WorkspaceId) -> Option<WrappedWorkspaceKeys>;
    add_workspace_keys(workspace: &WorkspaceId, keys: &WrappedWorkspaceKeys)
        -> WrappedWorkspaceKeys;
}

pass_on! {
    Audit {}
    add_entry(entry: &AuditEntry) -> bool;
    count_connection(key: &ApiKeyId, hour: i64) -> u64;
    tell_bulk_read(key: &ApiKeyId, day: i64, event: &Event) -> bool;
    entries(workspace: &WorkspaceId, filter: &AuditFilter, after: Option<&str>, limit: u32)
        -> Page<AuditEntry>;
}

//! The reference store as a process sees it over a network: each call takes time on its way
//! there and back, and can go wrong on either.

use std::sync::Arc;

use async_trait::async_trait;
use shared::domain::app::{ApiKey, App};
use shared::domain::audit::AuditEntry;
use shared::domain::census::Listed;
use shared::domain::connection::{
    Connection, ConnectionKey, Lease, Readers, ReconnectReason, RevocationOutcome,
};
use shared::domain::connector::Connector;
use shared::domain::event::Event;
use shared::domain::health::{Breaker, Health, Tally};
use shared::domain::ids::{
    ApiKeyId, AppId, AttemptId, ConnectionId, ConnectorId, UserId, WorkspaceId,
};
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::time::Timestamp;
use shared::ports::{
    ConnectAnswer, ConnectWrite, Connections, ConnectorHealth, Doomed, DueTable, DueWork,
    EscrowWrite, LeaseAnswer, LeaseWrite, Page, RefreshedTokens, Registry, Revocation, StoreError,
};

use super::faults::StoreFault;
use super::world::World;

/// The store, seen from one process.
pub(super) struct SimStore(pub(super) Arc<World>);

impl SimStore {
    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.leg(method).await?;
        let answer = call.await;
        self.leg(method).await?;
        answer
    }

    /// The way to the store or back.
    pub(super) async fn leg(&self, method: &'static str) -> Result<(), StoreError> {
        let sim = &self.0.sim;
        let takes = match sim.below(10) {
            0 => sim.below(400),
            _ => sim.below(20),
        };
        sim.sleep(takes).await;
        if !sim.in_invocation() {
            return Ok(());
        }
        if self.0.table_is_away() {
            return Err(StoreError::Unavailable("the table is away".into()));
        }
        let fault = self.0.faults().at_store(method, sim);
        if let Some(fault) = fault {
            sim.tell(|| format!("{method}: {fault:?}"));
        }
        match fault {
            None => Ok(()),
            Some(StoreFault::Unavailable) => Err(StoreError::Unavailable("simulated".into())),
            Some(StoreFault::Away(millis)) => {
                self.0.table_goes_away(millis);
                Err(StoreError::Unavailable("simulated".into()))
            }
            Some(StoreFault::Crash) => sim.crash().await,
            Some(StoreFault::Freeze(millis)) => {
                sim.freeze(millis).await;
                Ok(())
            }
        }
    }

    async fn add_due(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.clear_way(id).await?;
        self.0.store.add_refresh(key, id, due_at).await
    }
}

/// Every method of a port: passed on to the reference store, or to a method of ours.
macro_rules! over_the_network {
    (
        $port:ident {
            $($method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
        }
        ours { $($own:ident($($a:ident: $t:ty),*) -> $r:ty = $ours:ident;)* }
        at_once { $($fixed:ident($($b:ident: $u:ty),*) -> $s:ty;)* }
    ) => {
        #[async_trait]
        impl $port for SimStore {
            $(fn $fixed(&self, $($b: $u),*) -> $s {
                self.0.store.$fixed($($b),*)
            })*
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.around(stringify!($method), self.0.store.$method($($argument),*)).await
            })*
            $(async fn $own(&self, $($a: $t),*) -> Result<$r, StoreError> {
                self.around(stringify!($own), self.$ours($($a),*)).await
            })*
        }
    };
}

over_the_network! {
    Connections {
        connection(key: &ConnectionKey) -> Option<Connection>;
        of_user(workspace: &WorkspaceId, app: &AppId, user: &UserId) -> Vec<Connection>;
        of_connector(
            workspace: &WorkspaceId, connector: &ConnectorId, after: Option<&str>, limit: u32
        ) -> Page<Connection>;
        of_app(workspace: &WorkspaceId, app: &AppId, after: Option<&str>, limit: u32)
            -> Page<Connection>;
        count_of_app(workspace: &WorkspaceId, app: &AppId, most: u32) -> (u64, bool);
        listed(
            workspace: &WorkspaceId, connector: &ConnectorId, after: Option<&str>, limit: u32
        ) -> Page<Listed>;
        by_id(workspace: &WorkspaceId, connector: &ConnectorId, id: &ConnectionId)
            -> Option<Connection>;
        connect(write: &ConnectWrite) -> ConnectAnswer;
        release_lease(lease: &Lease) -> ();
        disconnect(connection: &Connection, revocation: Option<&Revocation>, event: &Event)
            -> bool;
        settle_revocation(
            key: &ConnectionKey, id: &ConnectionId, outcome: RevocationOutcome, now: Timestamp
        ) -> ();
        forget(key: &ConnectionKey) -> ();
        record_read(key: &ConnectionKey, readers: &Readers, at: Timestamp) -> ();
    }
    ours {
        acquire_lease(key: &ConnectionKey, attempt: &AttemptId, now: Timestamp, until: Timestamp)
            -> LeaseAnswer = lease;
        store_tokens(lease: &Lease, tokens: &RefreshedTokens, now: Timestamp) -> LeaseWrite = keep;
        store_escrowed(lease: &Lease, tokens: &RefreshedTokens, now: Timestamp)
            -> EscrowWrite = keep_escrowed;
        record_failure(lease: &Lease, failure: &FailedAttempt) -> LeaseWrite = fail;
        require_reconnect(lease: &Lease, reason: ReconnectReason, since: Timestamp, event: &Event)
            -> LeaseWrite = give_up;
    }
    at_once {}
}

over_the_network! {
    DueTable {
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
    ours { add_refresh(key: &ConnectionKey, id: &ConnectionId, due_at: Timestamp) -> () = add_due; }
    at_once {
        shards() -> u32;
        revocation_work(revocation: &Revocation) -> DueWork;
    }
}

over_the_network! {
    ConnectorHealth {
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
    ours {}
    at_once {}
}

over_the_network! {
    Registry {
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
    ours {}
    at_once {}
}

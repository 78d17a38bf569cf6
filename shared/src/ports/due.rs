//! Work that is due.

use async_trait::async_trait;

use super::{Page, StoreError};
use crate::domain::connection::ConnectionKey;
use crate::domain::event::Event;
use crate::domain::ids::{AppId, ConnectionId, ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;

/// A grant that is to be revoked at its provider. Holds the only copy of the ciphertext, which
/// opens under the connection's id and `generation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Where the connection is kept.
    pub key: ConnectionKey,
    /// The connection.
    pub connection: ConnectionId,
    /// The sealed token set.
    pub sealed: Vec<u8>,
    /// The generation it was sealed under.
    pub generation: u64,
    /// The connector's generation the grant belongs to.
    pub connector_generation: u64,
    /// When the disconnect was asked for; a day later it is given up.
    pub since: Timestamp,
    /// Whether the connection's status waits for the outcome. Tokens that arrived for a
    /// connection that was gone have none.
    pub settles_connection: bool,
}

/// Where one piece of due work is kept. Opaque: given back to the store as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueWork {
    /// The shard.
    pub shard: u32,
    /// The instant it is due.
    pub due_at: Timestamp,
    /// What tells it from other work due at the same instant.
    pub id: String,
}

/// What is being deleted or ended in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doomed {
    /// A connector, and what was granted through it.
    Connector(ConnectorId),
    /// An app, and what its users had granted.
    App(AppId),
    /// What was granted through a connector before an admin revoked it. The connector stays.
    Revoked(ConnectorId),
}

/// The work that is due, by kind, in shards of a table of its own.
///
/// The number of shards may be raised while work is stored, never lowered. What was stored under
/// a smaller number stays in its shard, where it is read like everything else; so whoever has read
/// an entry removes it as it was read (`remove_found_…`) and not by its name, which now stands for
/// another shard. An entry that was missed by its name is stale, and found to be so when it is
/// due.
#[async_trait]
pub trait DueTable: Send + Sync {
    /// How many shards there are; they are numbered from zero.
    fn shards(&self) -> u32;

    /// Adds the entry of a connection that is due at `due_at`. Idempotent.
    async fn add_refresh(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Refreshes due at `now`, oldest first, at most `limit` a page, of one shard. Entries that
    /// cannot be read are left out of their page, which may then hold none and yet have a next.
    async fn due_refreshes(
        &self,
        shard: u32,
        now: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<(DueWork, ConnectionKey)>, StoreError>;
    /// Removes the entry of a connection that was due at `due_at`. Idempotent.
    async fn remove_refresh(&self, id: &ConnectionId, due_at: Timestamp) -> Result<(), StoreError>;
    /// Removes the entry of a connection as it was read. Idempotent.
    async fn remove_found_refresh(&self, work: &DueWork) -> Result<(), StoreError>;

    /// Adds a revocation, due at `due_at`.
    async fn add_revocation(
        &self,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<DueWork, StoreError>;
    /// Revocations due at `now`, oldest first, at most `limit`, of one shard.
    async fn due_revocations(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Revocation)>, StoreError>;
    /// Moves a revocation to a later instant: the new entry before the old one goes.
    async fn postpone_revocation(
        &self,
        work: &DueWork,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Removes a revocation that is settled. Idempotent.
    async fn remove_revocation(&self, work: &DueWork) -> Result<(), StoreError>;
    /// The entry under which [`disconnect`](super::Connections::disconnect) keeps a revocation: due at its `since`.
    fn revocation_work(&self, revocation: &Revocation) -> DueWork;

    /// What is being deleted and has work due at `now`.
    async fn due_deletions(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, WorkspaceId, Doomed)>, StoreError>;
    /// Removes work of which nothing is left to do. Idempotent.
    async fn remove_deletion(&self, work: &DueWork) -> Result<(), StoreError>;

    /// Adds an event of a change that is no transaction. Idempotent, and given up soon: tokens
    /// wait to be stored.
    async fn add_event(&self, event: &Event) -> Result<(), StoreError>;
    /// Events that were written before `before` and are still here, so perhaps never published.
    async fn unsent_events(
        &self,
        shard: u32,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Event)>, StoreError>;
    /// Removes an event that was published. Idempotent.
    async fn remove_event(&self, event: &Event) -> Result<(), StoreError>;
    /// Removes an event that was published, as it was read. Idempotent.
    async fn remove_found_event(&self, work: &DueWork) -> Result<(), StoreError>;
}

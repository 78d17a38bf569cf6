//! Connections, their leases and what is written of them.

use async_trait::async_trait;

use super::due::Revocation;
use super::{Page, StoreError};
use crate::domain::census::Listed;
use crate::domain::connection::{Connection, ConnectionKey, Lease, Readers, RevocationOutcome};
use crate::domain::event::Event;
use crate::domain::ids::{
    AppId, AttemptId, ConnectionId, ConnectorId, SessionId, UserId, WorkspaceId,
};
use crate::domain::refresh_protocol::FailedAttempt;
use crate::domain::scopes::ScopeList;
use crate::domain::time::Timestamp;
use crate::domain::token::Validity;

/// What [`Connections::acquire_lease`] found.
#[derive(Clone, Debug)]
pub enum LeaseAnswer {
    /// The lease is ours, with the connection as it is now.
    Granted(Box<Lease>),
    /// Somebody else refreshes, or no attempt is allowed yet; the connection as it is now.
    NotNow(Box<Connection>),
    /// There is nothing to refresh: not live, or not there.
    Gone,
}

/// Tokens to store at the end of a refresh.
#[derive(Clone, Debug)]
pub struct RefreshedTokens {
    /// The sealed token set of the next generation.
    pub sealed: Vec<u8>,
    /// How it stands in time.
    pub validity: Validity,
    /// Whether it has something to spend for the next one.
    pub refreshable: bool,
    /// The granted scopes.
    pub granted_scopes: ScopeList,
    /// When the next refresh is due.
    pub due_at: Option<Timestamp>,
}

/// What became of a conditional write under a lease.
#[derive(Clone, Debug)]
pub enum LeaseWrite {
    /// Written, now or by an earlier try of the same attempt whose answer was lost (H-68).
    Written,
    /// Refused: the generation has moved, the connection is not live any more, or the lease is
    /// another's. What stands there now, if anything.
    Refused(Option<Box<Connection>>),
}

/// What became of storing tokens out of escrow.
#[derive(Clone, Debug)]
pub enum EscrowWrite {
    /// Written or refused for good.
    Ended(LeaseWrite),
    /// Not written while the lease of another attempt stands: to be offered again.
    Yields,
}

/// Connections and their leases.
#[async_trait]
pub trait Connections: Send + Sync {
    /// A connection, strongly consistent.
    async fn connection(&self, key: &ConnectionKey) -> Result<Option<Connection>, StoreError>;
    /// The connections of one user in one app, gone ones included, in order of their connectors
    /// and aliases, the default account first.
    /// Strongly consistent.
    async fn of_user(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        user: &UserId,
    ) -> Result<Vec<Connection>, StoreError>;
    /// The connections of one connector that are not yet `Disconnected`, in order of their ids,
    /// at most `limit` a page. Eventually consistent.
    async fn of_connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError>;
    /// The connections made in one app that are not yet `Disconnected`, in order of their ids, at
    /// most `limit` a page. Eventually consistent.
    async fn of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError>;
    /// How many [`Connections::of_app`] are, counted to `most`; and whether that is all of them.
    async fn count_of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        most: u32,
    ) -> Result<(u64, bool), StoreError>;
    /// The connections of one connector as the index itself lists them, which is a fraction of what
    /// it costs to read them.
    async fn listed(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Listed>, StoreError>;
    /// Finds a connection of a connector by its id, unless it is `Disconnected`. Eventually
    /// consistent.
    async fn by_id(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError>;

    /// Stores what a completed flow brought: the connection (replacing the one of generation
    /// `replaces`, or none), its due entry, the event, and the session's move from `Exchanging`
    /// to `Completed`, in one transaction that fails when the connector or the app
    /// is being deleted (X2) or the connection has changed since it was read. A connector that was disabled
    /// meanwhile takes it: the code is spent, and the grant is of use when it is enabled. The due entry of the replaced
    /// connection goes with it. Written again after a lost answer it is `Connected` once more.
    async fn connect(&self, write: &ConnectWrite) -> Result<ConnectAnswer, StoreError>;

    /// Takes the lease for `attempt` until `until`, if the connection is live, no lease runs at
    /// `now` (less the clock skew) and the next attempt is allowed; counts the attempt as open,
    /// since `now` if no other is.
    /// A lease that stands for this `attempt` until this `until` is an earlier try of the same
    /// call and granted again.
    async fn acquire_lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError>;
    /// Gives the lease back without having tried anything; the attempt is no longer open. Only
    /// its owner can (B3), for anybody else nothing happens.
    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError>;
    /// Stores refreshed tokens and ends the lease in one write that touches nothing an index shows, if the
    /// generation is still the leased one and the connection live. Who has lost the lease stores
    /// too, and leaves that of another alone: see `storage::dynamodb::leases`. The connection is
    /// `Active`, its failures and earlier attempts are forgotten. The due entries are the caller's
    /// to move.
    async fn store_tokens(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError>;
    /// As [`Connections::store_tokens`], for tokens out of escrow, whose attempt ended long ago:
    /// written only while no other attempt's lease runs at `now` (less the clock skew).
    async fn store_escrowed(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<EscrowWrite, StoreError>;
    /// Records an attempt that brought no tokens, see [`FailedAttempt::apply`]. Only the lease's
    /// owner can, while the generation is the leased one.
    async fn record_failure(
        &self,
        lease: &Lease,
        failure: &FailedAttempt,
    ) -> Result<LeaseWrite, StoreError>;
    /// Marks the connection `ReconnectRequired`, removes its due entry and adds the event in one
    /// transaction, if the lease is its owner's, the generation the leased one and the
    /// connection live. The sealed tokens are
    /// kept: a disconnect has to revoke them.
    async fn require_reconnect(
        &self,
        lease: &Lease,
        reason: crate::domain::connection::ReconnectReason,
        since: Timestamp,
        event: &Event,
    ) -> Result<LeaseWrite, StoreError>;

    /// Stops hand-out: the connection becomes `Revoking` at the event's time, its generation
    /// moves (which fences every running refresh), its ciphertext goes into the revocation (see
    /// [`revocation_work`](super::DueTable::revocation_work)), its due entry goes, and the event is added, in one
    /// transaction; if it is still as read and not gone. `false` otherwise.
    ///
    /// Without a revocation, because the provider offers none or there is no ciphertext, it is
    /// at once `Disconnected` as [`RevocationOutcome::Unsupported`]: nobody would come to settle
    /// it.
    async fn disconnect(
        &self,
        connection: &Connection,
        revocation: Option<&Revocation>,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// Records how the provider's part of a disconnect ended, if the connection is still the
    /// one that was disconnected.
    async fn settle_revocation(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        outcome: RevocationOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Erases what a connection that is gone still says of its user: the account, the scopes, when
    /// and by whom it was used. What is left keeps out what comes late, until it expires. Does
    /// nothing to a connection that is not gone.
    async fn forget(&self, key: &ConnectionKey) -> Result<(), StoreError>;
    /// Writes down that a token was read at `at`, and by whom lately, unless a later reading is
    /// known.
    async fn record_read(
        &self,
        key: &ConnectionKey,
        readers: &Readers,
        at: Timestamp,
    ) -> Result<(), StoreError>;
}

/// Everything a completed flow writes.
#[derive(Clone, Debug)]
pub struct ConnectWrite {
    /// The session that brought it.
    pub session: SessionId,
    /// The connection as it will be.
    pub connection: Connection,
    /// The connection it replaces, as it was read.
    pub replaces: Option<Connection>,
    /// `connection.connected` or `connection.reconnected`.
    pub event: Event,
}

/// What became of [`Connections::connect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectAnswer {
    /// Stored.
    Connected,
    /// The connection has changed since it was read: read again and try again.
    Changed,
    /// The connector or the app is gone or being deleted, or the connector was changed to another
    /// generation.
    ConnectorGone,
    /// The session is not being exchanged any more.
    SessionGone,
}

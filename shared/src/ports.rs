//! The outside world on one page.
//!
//! Ports speak the domain's verbs. "Not found" is `Ok(None)`. Each write says what it is
//! atomic with. To add one: a method here, one in `storage::dynamodb`, one in the reference
//! store of the test kit, and its facts in the store suite that runs against both.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::app::{ApiKey, App};
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::connection::{Connection, ConnectionKey, Lease, Readers, RevocationOutcome};
use crate::domain::connector::Connector;
use crate::domain::ending::Ending;
use crate::domain::event::Event;
use crate::domain::health::{Breaker, Health, Tally};
use crate::domain::ids::{
    ApiKeyId, AppId, AttemptId, ConnectionId, ConnectorId, SessionId, UserId, WorkspaceId,
};
use crate::domain::job::Job;
use crate::domain::provider::Provider;
use crate::domain::rate::Reader;
use crate::domain::refresh_protocol::FailedAttempt;
use crate::domain::scopes::ScopeList;
use crate::domain::secret::{Secret, SecretBytes};
use crate::domain::session::{AuthorizationSession, Redirected, Returned, SecretHash};
use crate::domain::time::Timestamp;
use crate::domain::token::{
    Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet, Validity,
};

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, for instants that are stored and compared with stored ones.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment that no clock adjustment moves, for durations.
    fn monotonic(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// Whether the wall clock is within a second of everybody else's, as far as is known. Who
    /// cannot trust it takes no lease (F38).
    fn is_trusted(&self) -> bool;
}

/// Randomness from a cryptographically secure generator.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// A store could not answer. Nothing is known about a write that ended so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out or down: worth another try.
    #[error("the store did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An item that is not what this version writes.
    #[error("stored {0} cannot be read")]
    Corrupt(&'static str),
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last. Opaque to callers.
    pub next: Option<String>,
}

/// Apps, API keys and connectors of workspaces.
#[async_trait]
pub trait Registry: Send + Sync {
    /// An app.
    async fn app(&self, workspace: &WorkspaceId, app: &AppId) -> Result<Option<App>, StoreError>;
    /// Creates or replaces an app and adds the entry, in one transaction.
    async fn put_app(&self, app: &App, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The key with this hash, strongly consistent: a revoked key is refused at once.
    async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;
    /// The keys of an app, oldest first.
    async fn api_keys(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
    ) -> Result<Vec<ApiKey>, StoreError>;
    /// Adds a key: its listing, its look-up record and the entry in one transaction, on condition
    /// that no other was added since the keys were counted. `false` when the app has
    /// [`MOST_KEYS`](crate::domain::app::MOST_KEYS) already.
    async fn add_api_key(&self, key: &ApiKey, entry: &AuditEntry) -> Result<bool, StoreError>;
    /// Removes a key, both records of it, and adds the entry, in one transaction. `false` when
    /// there is none.
    async fn remove_api_key(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        key: &ApiKeyId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// A connector, strongly consistent.
    async fn connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
    ) -> Result<Option<Connector>, StoreError>;
    /// The connectors of a workspace in order of their ids, at most `limit` a page.
    async fn connectors(
        &self,
        workspace: &WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connector>, StoreError>;
    /// Adds a connector and its event in one transaction. `false` when its id is taken.
    async fn add_connector(&self, connector: &Connector, event: &Event)
    -> Result<bool, StoreError>;
    /// Replaces a connector and adds the event in one transaction, unless the stored version
    /// is no longer `expected_version`: then `false`.
    async fn replace_connector(
        &self,
        connector: &Connector,
        expected_version: u64,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// Replaces a connector by one that is being deleted and adds the work to be done and the
    /// entry, in one transaction; `false` as in [`Registry::replace_connector`].
    async fn begin_connector_deletion(
        &self,
        connector: &Connector,
        expected_version: u64,
        due_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
    /// Removes a connector that is being deleted and its due work, and adds the event, in one
    /// transaction. `false` when it was gone before or is not being deleted; the work is removed
    /// then too.
    async fn finish_connector_deletion(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        work: &DueWork,
        event: &Event,
    ) -> Result<bool, StoreError>;
}

/// Authorization sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Adds a session.
    async fn add(&self, session: &AuthorizationSession) -> Result<(), StoreError>;
    /// A session, strongly consistent. An expired one may still be there: the caller checks.
    async fn session(&self, id: &SessionId) -> Result<Option<AuthorizationSession>, StoreError>;
    /// Consumes the ticket: from `Started` with this ticket to `Redirected`. `false` when the
    /// session is not there any more, in another stage, or has another ticket (H-04). A session
    /// that is at this very `to` already was moved there by an earlier try of the same call,
    /// because nobody else can name the hashes in it: `true`. `cookie` is the browser's.
    async fn redirect(
        &self,
        id: &SessionId,
        ticket: &SecretHash,
        cookie: &SecretHash,
        to: &Redirected,
    ) -> Result<bool, StoreError>;
    /// Consumes the state: from `Redirected` with this state to `Returned`, to be completed
    /// before `expires_at`. Of any number of concurrent calls one gets `true` (H-02); an earlier
    /// try of the same call is recognised as in [`Sessions::redirect`].
    async fn arrive(
        &self,
        id: &SessionId,
        state: &SecretHash,
        to: &Returned,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Consumes the code: from `Returned` with this completion to `Exchanging`. The sealed code
    /// and verifier are erased. Of any number of concurrent calls one gets `true` (C8).
    async fn begin_exchange(
        &self,
        id: &SessionId,
        completion: &SecretHash,
    ) -> Result<bool, StoreError>;
    /// Ends a session from any stage but `Completed` and `Ended`, erasing what it holds but the
    /// browser's cookie.
    async fn end(&self, id: &SessionId, ending: Ending) -> Result<(), StoreError>;
}

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
    /// The connections of one user in one app, gone ones included, in order of their connectors.
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
    /// to `Completed`, in one transaction that fails when the connector is not enabled any more
    /// (X2) or the connection has changed since it was read. The due entry of the replaced
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
    /// Stores refreshed tokens and ends the lease in one write that touches no index key, if the
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
    /// [`DueTable::revocation_work`]), its due entry goes, and the event is added, in one
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
    /// The connector is not enabled any more, or was changed to another generation.
    ConnectorGone,
    /// The session is not being exchanged any more.
    SessionGone,
}

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
    /// The entry under which [`Connections::disconnect`] keeps a revocation: due at its `since`.
    fn revocation_work(&self, revocation: &Revocation) -> DueWork;

    /// Connectors whose deletion has work due at `now`.
    async fn due_deletions(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, WorkspaceId, ConnectorId)>, StoreError>;

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

/// How connectors are doing: tallies of their token requests, and breakers.
#[async_trait]
pub trait ConnectorHealth: Send + Sync {
    /// What is known of a connector at `now`. Eventually consistent: a breaker seen late lets a
    /// few more requests through.
    async fn health(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
    ) -> Result<Health, StoreError>;
    /// Adds to the tally of the minute of `now`; answers the minute's tally as it is then. A
    /// repeated try of the same call may count twice, which ratios forgive.
    async fn count(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
        tally: &Tally,
    ) -> Result<Tally, StoreError>;
    /// Opens a breaker, or moves the one that is `replacing`, and adds the event, if there is
    /// one, in one transaction. `false` when another one stands by now, or none does any more.
    /// Where `breaker` itself stands an earlier try of the same call put it there: `true`.
    async fn trip(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        replacing: Option<&Breaker>,
        event: Option<&Event>,
    ) -> Result<bool, StoreError>;
    /// Closes a breaker and remembers for an hour that it closed at `now`. `false` when it does
    /// not stand any more, which may be an earlier try of the same call.
    async fn close(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// What one look-up needs, by key.
#[derive(Clone, Debug)]
pub struct LookupKeys {
    /// Of the presented API key.
    pub api_key: [u8; 32],
    /// The connection asked for.
    pub connection: ConnectionKey,
    /// Whether the workspace's keys are needed too.
    pub with_workspace_keys: bool,
    /// The minute whose reads are asked for, see [`minute_of`](crate::domain::rate::minute_of).
    pub minute: i64,
}

/// How many reads of one minute the table knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// With the presented API key.
    pub credential: u64,
    /// In the workspace.
    pub workspace: u64,
}

/// What one look-up found.
#[derive(Clone, Debug, Default)]
pub struct LookupRows {
    /// The API key's record.
    pub api_key: Option<ApiKey>,
    /// The connector.
    pub connector: Option<Connector>,
    /// The connection.
    pub connection: Option<Connection>,
    /// Who has read its token lately.
    pub readers: Readers,
    /// The workspace's wrapped keys, when asked for.
    pub workspace_keys: Option<WrappedWorkspaceKeys>,
    /// The reads of the minute.
    pub reads: ReadCounts,
}

/// The read path of a token look-up.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All rows in one round trip, each strongly consistent but for the counts: a read that is
    /// counted late lets another one through.
    async fn lookup(&self, keys: &LookupKeys) -> Result<LookupRows, StoreError>;
    /// Adds to the reads of a minute. A repeated try of the same call may count twice.
    async fn count_reads(&self, reader: &Reader, minute: i64, reads: u64)
    -> Result<(), StoreError>;
}

/// What happened, for whoever has to answer for it. Entries are added and never changed; every
/// transaction that adds an event adds the entry that it [stands for](AuditEntry::of).
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an entry that goes with no other write. `false` when it is there already.
    async fn add_entry(&self, entry: &AuditEntry) -> Result<bool, StoreError>;
    /// Counts one more connection that a key has read in an hour (see
    /// [`hour_of`](crate::domain::audit::hour_of)); answers how many there are. A repeated try of
    /// the same call may count twice.
    async fn count_connection(&self, key: &ApiKeyId, hour: i64) -> Result<u64, StoreError>;
    /// Adds the event of a key's first bulk read of a day, with its entry. `false` when the day
    /// has had one.
    async fn tell_bulk_read(
        &self,
        key: &ApiKeyId,
        day: i64,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// The entries of a workspace that a filter lets through, latest first, at most `limit` a
    /// page. A page may hold fewer, or none, and yet have a next: so many entries are looked
    /// through at a time. Eventually consistent.
    async fn entries(
        &self,
        workspace: &WorkspaceId,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>, StoreError>;
}

/// The stack's root key, wrapped by KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedRootKey {
    /// Its version.
    pub version: u32,
    /// The KMS ciphertext.
    pub wrapped: Vec<u8>,
}

/// The keys of one workspace, each sealed under a root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedWorkspaceKeys {
    /// The version that seals.
    pub current: u32,
    /// All versions that can still open: number and envelope, ascending.
    pub versions: Vec<(u32, Vec<u8>)>,
}

/// The table of wrapped keys.
#[async_trait]
pub trait KeyTable: Send + Sync {
    /// A root key.
    async fn root_key(&self, version: u32) -> Result<Option<WrappedRootKey>, StoreError>;
    /// Adds a root key unless there is one of this version; answers the one that stands.
    async fn add_root_key(&self, key: &WrappedRootKey) -> Result<WrappedRootKey, StoreError>;
    /// A workspace's keys.
    async fn workspace_keys(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedWorkspaceKeys>, StoreError>;
    /// Adds a workspace's keys unless it has some; answers those that stand.
    async fn add_workspace_keys(
        &self,
        workspace: &WorkspaceId,
        keys: &WrappedWorkspaceKeys,
    ) -> Result<WrappedWorkspaceKeys, StoreError>;
}

/// KMS could not serve.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// Throttled, timed out or down.
    #[error("KMS did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Denied, disabled or pending deletion: nothing of the stack can be opened (H-46).
    #[error("KMS refuses to use the key")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ciphertext is not one of this key and context.
    #[error("KMS does not recognise the ciphertext")]
    Unrecognised,
}

/// KMS. Every call carries an encryption context that names the stack and the purpose.
#[async_trait]
pub trait KeyService: Send + Sync {
    /// A new 256-bit root key: plain and wrapped.
    async fn generate_root_key(&self, version: u32) -> Result<(SecretBytes, Vec<u8>), KmsError>;
    /// Opens a wrapped root key.
    async fn open_root_key(&self, key: &WrappedRootKey) -> Result<SecretBytes, KmsError>;
    /// Seals a code or verifier for one session. Functions that face the browser can do this
    /// and nothing else: they cannot open what they sealed.
    async fn seal_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        plaintext: &Secret,
    ) -> Result<Vec<u8>, KmsError>;
    /// Opens what was sealed for a session.
    async fn open_for_session(
        &self,
        session: &SessionId,
        field: SessionField,
        sealed: &[u8],
    ) -> Result<Secret, KmsError>;
}

/// Which of a session's secrets is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionField {
    /// The authorization code.
    Code,
    /// The PKCE verifier.
    Verifier,
}

impl SessionField {
    /// The field's name in the encryption context.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Verifier => "verifier",
        }
    }
}

/// A connector's client credentials, opened.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The client identifier.
    pub client_id: String,
    /// The client secret.
    pub client_secret: Secret,
}

/// An authorization code with what must accompany it.
#[derive(Debug)]
pub struct CodeGrant {
    /// The code.
    pub code: Secret,
    /// The PKCE verifier.
    pub verifier: Option<Secret>,
    /// The same as in the authorization request (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
}

/// A provider's endpoints. No request is ever repeated here, because a repeated token request
/// may spend a refresh token twice.
#[async_trait]
pub trait ProviderApi: Send + Sync {
    /// Redeems a code.
    async fn exchange(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure>;
    /// Spends what [`TokenSet::refresh_credential`] gives for the next tokens.
    async fn refresh(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure>;
    /// Revokes a grant. Names one token after the other where the provider does not take the
    /// first, and refreshes an expired access token where only that can end the grant: up to
    /// three requests, none of them twice, in ten seconds together.
    async fn revoke(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer;
    /// Reads whose account a fresh access token belongs to; `None` when the provider's profile
    /// does not say how, or the answer does not tell.
    async fn account(&self, provider: &Provider, access_token: &Secret) -> Option<Account>;
}

/// A document of an issuer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not reached, or no answer in time.
    #[error("the server did not answer")]
    NoAnswer,
    /// Another answer than 200. Redirects are not followed.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// More than is taken.
    #[error("the answer is too large")]
    TooLarge,
    /// The URL is not one that may be called.
    #[error("the address is not allowed")]
    AddressRefused,
}

/// What issuers publish for everybody: their keys and their metadata.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Reads a document, once.
    async fn read(&self, url: &url::Url) -> Result<Vec<u8>, DocumentError>;
}

/// The queues behind the stack's bus.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Hands jobs over. What was taken is delivered at least once: a
    /// [`Job::RetryRefresh`] when a lease taken now is over, everything else at once.
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError>;
}

/// Not all jobs were taken; which ones is not known.
#[derive(Debug, thiserror::Error)]
#[error("the bus did not take every job")]
pub struct QueueError;

/// The stack's event bus.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Publishes events. Answers the ids of those the bus took.
    async fn publish(&self, events: &[Event]) -> Vec<crate::domain::ids::EventId>;
}

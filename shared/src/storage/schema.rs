//! Tables, keys and attributes: the only place that spells them.
//!
//! | table | pk | sk | item | leaves by |
//! | --- | --- | --- | --- | --- |
//! | registry | `W#<workspace>` | `APP#<app>` | an app | deletion |
//! | registry | `W#<workspace>` | `CON#<connector>` | a connector | deletion |
//! | registry | `CID#<connector>` | `CID` | whose a connector's id is | – |
//! | registry | `W#<workspace>` | `KEY#<app>#<key id>` | an API key, to list | removal |
//! | registry | `W#<workspace>` | `KEYS#<app>` | how often the app was given a key; closed by its deletion | deletion of the app |
//! | registry | `KEY#<hash, hex>` | `KEY` | the same API key, to look up | removal |
//! | connections | `W#<workspace>#A#<app>#U#<user>` | `C#<connector>` | a user's connection with its lease | TTL, 30 days after a disconnect |
//! | connections | `W#<workspace>#A#<app>#U#<user>` | `C#<connector>#<alias>` | the same of another account of the user | the same |
//! | connections | `W#<workspace>#A#<app>#S` | `C#<connector>` | the same of an account that the app's users share | the same |
//! | sessions | `S#<session>` | `S` | an authorization session | TTL |
//! | sessions | `I#<digest, hex>` | `I` | a request with an `Idempotency-Key` and its answer | TTL, after 24 hours |
//! | due | `REFRESH#<shard>` | `<due at>#<connection>` | a refresh that is due | the refresh |
//! | due | `REVOKE#<shard>` | `<due at>#<connection>.<digest>` | a grant to revoke, with its ciphertext | the revocation |
//! | due | `DELETE#<shard>` | `<due at>#<workspace>#<connector>` | a connector being deleted | the deletion |
//! | due | `DELETE#<shard>` | `<due at>#<workspace>#APP#<app>` | an app being deleted | the deletion |
//! | due | `DELETE#<shard>` | `<due at>#<workspace>#REVOKED#<connector>` | a connector whose connections are revoked | the last of them |
//! | due | `EVENT#<shard>` | `<written at>#<event>` | an event not yet known to be published | publishing |
//! | due | `HEALTH#<workspace>#<connector>` | `<minute>` | a tally of token requests | TTL, after an hour |
//! | due | `HEALTH#<workspace>#<connector>` | `BREAKER` | a breaker, or when it closed | TTL, 30 days after its last move, an hour after it closed |
//! | due | `HEALTH#<workspace>#<connector>` | `SECRET#<set at>` | when a client secret was last accepted | TTL, after 90 days |
//! | due | `RATE#K#<hash of an API key, hex>` | `<minute>` | how many tokens it has read | TTL, after ten minutes |
//! | due | `RATE#W#<workspace>` | `<minute>` | the same of a workspace | TTL, after ten minutes |
//! | due | `RATE#C#<key id>` | `<hour>` | how many connections an API key has read | TTL, after two days |
//! | due | `RATE#C#<key id>` | `BULK#<day>` | that a bulk read of the day was told | TTL, after two days |
//! | keys | `ROOT` | `V#<version>` | a wrapped root key | – |
//! | keys | `W#<workspace>` | `KEYS` | a workspace's wrapped keys | – |
//!
//! | audit | `W#<workspace>` | `<audit id>` | an audit entry | TTL, at the end of its retention |
//!
//! The index `by_user` of the audit table has `gsi_pk` = `W#<workspace>#U#<user>` and `gsi_sk` = the
//! entry's id. It is sparse: what concerns no user has neither.
//!
//! The index `by_app` of the connections table has `app_pk` = `W#<workspace>#A#<app>` and the same sort
//! key as `by_connector`.
//!
//! The index `by_connector` of the connections table has `gsi_pk` = `W#<workspace>#C#<connector>`
//! and `gsi_sk` = the connection's id. It is sparse: a disconnected connection has neither.
//!
//! Every id but the user's is letters, digits, `-` and `_`, an alias has `.` as well, so `#`
//! separates. The user comes last in its key and may hold anything.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::domain::audit::AuditId;
use crate::domain::connection::ConnectionKey;
use crate::domain::idempotency::RequestKey;
use crate::domain::ids::{Alias, ApiKeyId, AppId, ConnectorId, SessionId, UserId, WorkspaceId};
use crate::domain::rate::Reader;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::ports::{Doomed, DueWork, Revocation};

/// The names of the six tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Apps, connectors, API keys.
    pub registry: String,
    /// Connections, with the index [`BY_CONNECTOR`].
    pub connections: String,
    /// Authorization sessions.
    pub sessions: String,
    /// Due work, the outbox of events, the health of connectors, counts of reads.
    pub due: String,
    /// Wrapped keys.
    pub keys: String,
    /// What happened, with the index [`BY_USER`].
    pub audit: String,
}

/// Partition key of every table.
pub const PK: &str = "pk";
/// Sort key of every table.
pub const SK: &str = "sk";
/// The index of connections by connector.
pub const BY_CONNECTOR: &str = "by_connector";
/// The index of connections by app; keys only. It shares its sort key with [`BY_CONNECTOR`].
pub const BY_APP: &str = "by_app";
/// Partition key of [`BY_APP`].
pub const APP_PK: &str = "app_pk";
/// What [`BY_CONNECTOR`] shows besides keys. A refresh writes none of it.
pub const BY_CONNECTOR_SHOWS: [&str; 4] = [
    attr::CONNECTOR_GENERATION,
    attr::CONSENTED_SCOPES,
    attr::LIFE,
    attr::REQUESTED_SCOPES,
];
/// The index of audit entries by the user concerned; whole entries.
pub const BY_USER: &str = "by_user";
/// Partition key of either index.
pub const GSI_PK: &str = "gsi_pk";
/// Sort key of either index.
pub const GSI_SK: &str = "gsi_sk";
/// The TTL attribute of all tables but registry and keys, in seconds.
pub const TTL: &str = "ttl";
/// How long an audit entry is kept, unless a deployment says otherwise: a year and a month.
pub const AUDIT_LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);
/// How long a disconnected connection is remembered.
pub const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a tally or a closed breaker is kept: well beyond the quarter of an hour it is asked for.
pub const TALLY_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a breaker is kept after its last move: longer than an idle connection, perhaps the
/// connector's only one, goes without a refresh, so that a lasting fault is told once.
pub const BREAKER_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long it is remembered when a client secret was last accepted.
pub const SECRET_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long the reads of a minute are kept after it began.
pub const READS_LIFETIME: Duration = Duration::from_secs(600);

/// How long the connections that a key read are counted, and a bulk read remembered, after that
/// hour or day began.
pub const BULK_LIFETIME: Duration = Duration::from_secs(2 * 24 * 3600);

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }
}

pub(crate) fn workspace(workspace: &WorkspaceId) -> String {
    format!("W#{workspace}")
}

pub(crate) fn app(of: &WorkspaceId, app: &AppId) -> Key {
    Key::new(workspace(of), format!("APP#{app}"))
}

pub(crate) fn connector(of: &WorkspaceId, connector: &ConnectorId) -> Key {
    Key::new(workspace(of), format!("{CONNECTORS}{connector}"))
}

/// Under no workspace: an id is reserved against all others.
pub(crate) fn reservation(connector: &ConnectorId) -> Key {
    Key::new(format!("CID#{connector}"), "CID")
}

/// What the sort keys of a workspace's connectors begin with.
pub(crate) const CONNECTORS: &str = "CON#";

pub(crate) fn listed_api_key(of: &WorkspaceId, app: &AppId, key: &ApiKeyId) -> Key {
    Key::new(workspace(of), format!("{}{key}", api_keys_of(app)))
}

/// What the sort keys of an app's API keys begin with.
pub(crate) fn api_keys_of(app: &AppId) -> String {
    format!("KEY#{app}#")
}

/// Whoever adds a key moves this, so that of two who counted the same keys one adds.
pub(crate) fn key_ring(of: &WorkspaceId, app: &AppId) -> Key {
    Key::new(workspace(of), format!("KEYS#{app}"))
}

pub(crate) fn api_key(hash: &[u8; 32]) -> Key {
    Key::new(format!("KEY#{}", hex(hash)), "KEY")
}

pub(crate) fn session(id: &SessionId) -> Key {
    Key::new(format!("S#{id}"), "S")
}

pub(crate) fn run(request: &RequestKey) -> Key {
    Key::new(format!("I#{request}"), "I")
}

pub(crate) fn connections_of(workspace: &WorkspaceId, app: &AppId, subject: &Subject) -> String {
    match subject {
        Subject::User(user) => format!("W#{workspace}#A#{app}#U#{user}"),
        Subject::App => format!("W#{workspace}#A#{app}#S"),
    }
}

pub(crate) fn connection(key: &ConnectionKey) -> Key {
    let sk = match &key.alias {
        None => format!("C#{}", key.connector),
        Some(alias) => format!("C#{}#{alias}", key.connector),
    };
    Key::new(connections_of(&key.workspace, &key.app, &key.subject), sk)
}

/// Reads a connection's key back; `None` when it is not one.
pub(crate) fn parse_connection(pk: &str, sk: &str) -> Option<ConnectionKey> {
    let (workspace, rest) = pk.strip_prefix("W#")?.split_once("#A#")?;
    let (app, subject) = rest.split_once('#')?;
    let subject = match subject.strip_prefix("U#") {
        Some(user) => Subject::User(UserId::parse(user).ok()?),
        None if subject == "S" => Subject::App,
        None => return None,
    };
    let account = sk.strip_prefix("C#")?;
    let (connector, alias) = match account.split_once('#') {
        None => (account, None),
        Some((connector, alias)) => (connector, Some(Alias::parse(alias).ok()?)),
    };
    Some(ConnectionKey {
        workspace: WorkspaceId::parse(workspace).ok()?,
        app: AppId::parse(app).ok()?,
        subject,
        connector: ConnectorId::parse(connector).ok()?,
        alias,
    })
}

pub(crate) fn by_connector(workspace: &WorkspaceId, connector: &ConnectorId) -> String {
    format!("W#{workspace}#C#{connector}")
}

pub(crate) fn by_app(workspace: &WorkspaceId, app: &AppId) -> String {
    format!("W#{workspace}#A#{app}")
}

pub(crate) fn audit(of: &WorkspaceId, id: &AuditId) -> Key {
    Key::new(workspace(of), id.as_str())
}

/// The user comes last here as well.
pub(crate) fn audit_by_user(of: &WorkspaceId, user: &UserId) -> String {
    format!("W#{of}#U#{user}")
}

pub(crate) fn root_key(version: u32) -> Key {
    Key::new("ROOT", format!("V#{version:010}"))
}

pub(crate) fn workspace_keys(of: &WorkspaceId) -> Key {
    Key::new(workspace(of), "KEYS")
}

/// The kinds of due work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueKind {
    Refresh,
    Revocation,
    Deletion,
    Event,
}

pub(crate) fn due_shard(kind: DueKind, shard: u32) -> String {
    let name = match kind {
        DueKind::Refresh => "REFRESH",
        DueKind::Revocation => "REVOKE",
        DueKind::Deletion => "DELETE",
        DueKind::Event => "EVENT",
    };
    format!("{name}#{shard}")
}

pub(crate) fn due(kind: DueKind, work: &DueWork) -> Key {
    Key::new(
        due_shard(kind, work.shard),
        format!("{}#{}", due_instant(work.due_at), work.id),
    )
}

/// Reads what a sort key of the due table says.
pub(crate) fn parse_due(shard: u32, sk: &str) -> Option<DueWork> {
    let (millis, id) = sk.split_once('#')?;
    Some(DueWork {
        shard,
        due_at: Timestamp::from_millis(millis.parse().ok()?),
        id: id.to_owned(),
    })
}

/// What the sort key of work due before `end` is less than.
pub(crate) fn due_before(end: Timestamp) -> String {
    due_instant(end)
}

/// Fifteen digits reach the year 33658; an instant outside that range is due first or last.
fn due_instant(at: Timestamp) -> String {
    format!("{:015}", at.millis().clamp(0, 999_999_999_999_999))
}

pub(crate) fn deletion_id(workspace: &WorkspaceId, what: &Doomed) -> String {
    match what {
        Doomed::Connector(connector) => format!("{workspace}#{connector}"),
        Doomed::App(app) => format!("{workspace}#APP#{app}"),
        Doomed::Revoked(connector) => format!("{workspace}#REVOKED#{connector}"),
    }
}

/// Reads [`deletion_id`] back.
pub(crate) fn parse_deletion_id(id: &str) -> Option<(WorkspaceId, Doomed)> {
    let (workspace, what) = id.split_once('#')?;
    let what = match what.split_once('#') {
        Some(("APP", app)) => Doomed::App(AppId::parse(app).ok()?),
        Some(("REVOKED", connector)) => Doomed::Revoked(ConnectorId::parse(connector).ok()?),
        Some(_) => return None,
        None => Doomed::Connector(ConnectorId::parse(what).ok()?),
    };
    Some((WorkspaceId::parse(workspace).ok()?, what))
}

/// Named by the ciphertext: one connection may have several grants to revoke, and the same one
/// added twice is one.
pub(crate) fn revocation_id(revocation: &Revocation) -> String {
    let digest = digest(&SHA256, &revocation.sealed);
    format!("{}.{}", revocation.connection, hex(&digest.as_ref()[..16]))
}

pub(crate) fn health(workspace: &WorkspaceId, connector: &ConnectorId) -> String {
    format!("HEALTH#{workspace}#{connector}")
}

/// Sort key of a connector's breaker. It sorts after every minute, so that one query reads it
/// with the last of them.
pub(crate) const BREAKER: &str = "BREAKER";

pub(crate) fn breaker(workspace: &WorkspaceId, connector: &ConnectorId) -> Key {
    Key::new(health(workspace, connector), BREAKER)
}

/// What the sort keys of a connector's client secrets begin with. They sort after every minute, so
/// that the query that reads the breaker reads them too.
pub(crate) const SECRETS: &str = "SECRET#";

pub(crate) fn client_secret(
    workspace: &WorkspaceId,
    connector: &ConnectorId,
    set_at: Timestamp,
) -> Key {
    Key::new(
        health(workspace, connector),
        format!("{SECRETS}{}", due_instant(set_at)),
    )
}

pub(crate) fn tally(workspace: &WorkspaceId, connector: &ConnectorId, minute: i64) -> Key {
    Key::new(health(workspace, connector), counted_key(minute))
}

pub(crate) fn reads(reader: &Reader, minute: i64) -> Key {
    let pk = match reader {
        Reader::Credential(hash) => format!("RATE#K#{}", hex(hash)),
        Reader::Workspace(workspace) => format!("RATE#W#{workspace}"),
    };
    Key::new(pk, counted_key(minute))
}

fn connections_read(key: &ApiKeyId) -> String {
    format!("RATE#C#{key}")
}

pub(crate) fn connections_read_in(key: &ApiKeyId, hour: i64) -> Key {
    Key::new(connections_read(key), counted_key(hour))
}

pub(crate) fn bulk_read_of(key: &ApiKeyId, day: i64) -> Key {
    Key::new(connections_read(key), format!("BULK#{}", counted_key(day)))
}

/// Ten digits reach further than [`due_instant`] does.
pub(crate) fn counted_key(minute: i64) -> String {
    format!("{:010}", minute.clamp(0, 9_999_999_999))
}

/// The shard of a piece of work: the same in every process and every version.
pub(crate) fn shard_of(id: &str, shards: u32) -> u32 {
    let digest = digest(&SHA256, id.as_bytes());
    let first = digest.as_ref().iter().take(4);
    first.fold(0, |sum, byte| (sum << 8) | u32::from(*byte)) % shards.max(1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Attributes. A name never changes its meaning: an older version may still write it.
pub(crate) mod attr {
    macro_rules! attributes {
        ($($constant:ident = $name:literal;)*) => {
            $(pub(crate) const $constant: &str = $name;)*
        };
    }

    attributes! {
        ACCOUNTS = "accounts";
        ACCOUNT_CHANGE = "account_change";
        ACCOUNT_ID = "account_id";
        ACCOUNT_LABEL = "account_label";
        ACTION = "action";
        ACTOR_ID = "actor_id";
        ACTOR_KIND = "actor_kind";
        ADMIN = "admin";
        ALIAS = "alias";
        ALLOWED_APPS = "allowed_apps";
        API_KEY = "api_key";
        APP = "app";
        AT = "at";
        CALLBACK = "callback";
        CALLS = "calls";
        CAUSE = "cause";
        CLIENT_GENERATION = "client_generation";
        CLIENT_ID = "client_id";
        CLOSED_AT = "closed_at";
        CODE = "code";
        COMPLETION = "completion";
        COMPLETION_MODE = "completion_mode";
        CONFIG = "config";
        CONNECTED_AT = "connected_at";
        CONNECTION = "connection";
        CONNECTION_PK = "connection_pk";
        CONNECTION_SK = "connection_sk";
        CONNECTOR = "connector";
        CONNECTOR_GENERATION = "connector_generation";
        CONNECTOR_VERSION = "connector_version";
        CONSENTED_SCOPES = "consented_scopes";
        COOKIE = "cookie";
        CREATED_AT = "created_at";
        CURRENT = "current";
        DISPLAY = "display";
        DUE_AT = "due_at";
        ENDING = "ending";
        EVENT = "event";
        EXPIRES_AT = "expires_at";
        FAILURES = "failures";
        GENERATION = "generation";
        GRANTED_SCOPES = "granted_scopes";
        GRANT_EXPIRES_AT = "grant_expires_at";
        HASH = "hash";
        ID = "id";
        ISSUED_AT = "issued_at";
        ISSUER = "issuer";
        ISS_PROMISED = "iss_promised";
        KEPT = "kept";
        KIND = "kind";
        LAST_ATTEMPT = "last_attempt";
        LAST_READ_AT = "last_read_at";
        LEASE_OWNER = "lease_owner";
        LEASE_UNTIL = "lease_until";
        LIFE = "life";
        LOGIN_HINT = "login_hint";
        MALFORMED = "malformed";
        NAME = "name";
        NEXT_ATTEMPT_AT = "next_attempt_at";
        NONCE = "nonce";
        ON_BEHALF_OF_ONLY = "on_behalf_of_only";
        OPEN_ATTEMPTS = "open_attempts";
        OPEN_SINCE = "open_since";
        OPENINGS = "openings";
        OPEN_UNTIL = "open_until";
        OUTCOME = "outcome";
        OUTCOME_LOST = "outcome_lost";
        PREVIOUS_SECRET = "previous_secret";
        PREVIOUS_SECRET_LAST_FOUR = "previous_secret_last_four";
        PREVIOUS_SECRET_SET_AT = "previous_secret_set_at";
        PROVIDER = "provider";
        PROVIDER_ERROR = "provider_error";
        PROVIDER_ERROR_DESCRIPTION = "provider_error_description";
        READERS = "readers";
        READS = "reads";
        REASON = "reason";
        REFUSALS = "refusals";
        REFRESHABLE = "refreshable";
        REFRESHED_AT = "refreshed_at";
        REQUEST_ID = "request_id";
        REQUESTED_SCOPES = "requested_scopes";
        RESPONSE_MODE = "response_mode";
        RETURN_URL = "return_url";
        RETURN_URLS = "return_urls";
        REVOKED_AT = "revoked_at";
        REVOKED_BEFORE = "revoked_before";
        SCOPES = "scopes";
        SCOPE_POLICY = "scope_policy";
        SEALED = "sealed";
        SECRET = "secret";
        SECRET_LAST_FOUR = "secret_last_four";
        SECRET_SET_AT = "secret_set_at";
        SETTLES = "settles";
        SINCE = "since";
        STAGE = "stage";
        STATE = "state";
        STATUS = "status";
        SUBJECT = "subject";
        SUCCESSES = "successes";
        TEMPLATE = "template";
        TICKET = "ticket";
        UPDATED_AT = "updated_at";
        USER = "user";
        USER_LABEL = "user_label";
        VERIFIER = "verifier";
        VERSION = "version";
        VERSIONS = "versions";
        WORKSPACE = "workspace";
        WRAPPED = "wrapped";
    }
}

/// Values of [`attr::STATUS`].
pub(crate) mod status {
    pub(crate) const ACTIVE: &str = "active";
    pub(crate) const SUSPECT: &str = "suspect";
    pub(crate) const RECONNECT_REQUIRED: &str = "reconnect_required";
    pub(crate) const REVOKING: &str = "revoking";
    pub(crate) const DISCONNECTED: &str = "disconnected";
    pub(crate) const ENABLED: &str = "enabled";
    pub(crate) const DISABLED: &str = "disabled";
    pub(crate) const DELETING: &str = "deleting";
}

/// Values of [`attr::LIFE`].
pub(crate) mod life {
    pub(crate) const LIVE: &str = "live";
    pub(crate) const DEAD: &str = "dead";
    pub(crate) const ENDING: &str = "ending";
}

/// Values of [`attr::STAGE`].
pub(crate) mod stage {
    pub(crate) const STARTED: &str = "started";
    pub(crate) const REDIRECTED: &str = "redirected";
    pub(crate) const RETURNED: &str = "returned";
    pub(crate) const EXCHANGING: &str = "exchanging";
    pub(crate) const COMPLETED: &str = "completed";
    pub(crate) const ENDED: &str = "ended";
    pub(crate) const RUNNING: &str = "running";
    pub(crate) const ANSWERED: &str = "answered";
}

#[cfg(test)]
mod tests;

//! A connection: what one subject granted through one connector.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{Alias, ApiKeyId, AppId, AttemptId, ConnectionId, ConnectorId, WorkspaceId};
use super::scopes::ScopeList;
use super::subject::Subject;
use super::time::Timestamp;
use super::token::{Account, Validity};

/// Where a connection is kept: at most one per subject, app, connector and alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The workspace of connector and app.
    pub workspace: WorkspaceId,
    /// The app it was connected in.
    pub app: AppId,
    /// Whose account it is.
    #[serde(
        rename = "user",
        default = "Subject::app",
        skip_serializing_if = "Subject::is_app"
    )]
    pub subject: Subject,
    /// What it was granted through.
    pub connector: ConnectorId,
    /// Which of several accounts; `None` for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
}

/// A connection as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it is kept.
    pub key: ConnectionKey,
    /// 128 random bits (H-24). Survives a reconnect; a connection made after a disconnect has
    /// another.
    pub id: ConnectionId,
    /// The life cycle.
    pub status: ConnectionStatus,
    /// Counts token sets. Every write that stores tokens names the generation it replaces, so
    /// that an older set cannot overwrite a newer one (H-62).
    pub generation: u64,
    /// The connector's generation the grant belongs to (H-38).
    pub connector_generation: u64,
    /// The sealed token set; `None` once the hand-out has ended for good.
    pub sealed: Option<Vec<u8>>,
    /// How the tokens stand in time.
    pub validity: Validity,
    /// Whether there is something to spend for the next access token, see
    /// [`TokenSet::refresh_credential`](super::token::TokenSet::refresh_credential).
    pub refreshable: bool,
    /// What the user was asked for.
    pub requested_scopes: ScopeList,
    /// What the provider says was granted.
    pub granted_scopes: ScopeList,
    /// Whose account it is at the provider, where its profile can tell.
    pub account: Option<Account>,
    /// When its next refresh is due; the due entry stands under the same instant.
    pub due_at: Option<Timestamp>,
    /// Attempts to refresh that have not reported how they ended. More than the running one
    /// means that an earlier one crashed, or that the table did not take its report.
    pub open_attempts: u64,
    /// When the first of those took its lease. Nothing it may have spent was spent before.
    pub open_since: Option<Timestamp>,
    /// Whether an attempt since the last stored token set never learnt its answer: the provider
    /// may have rotated the refresh token without our knowing the new one.
    pub outcome_lost: bool,
    /// Failures in a row.
    pub failures: u32,
    /// No attempt before this instant.
    pub next_attempt_at: Option<Timestamp>,
    /// When the user first connected.
    pub created_at: Timestamp,
    /// When the user last went through the provider's consent.
    pub connected_at: Timestamp,
    /// When tokens were last refreshed.
    pub refreshed_at: Option<Timestamp>,
    /// When an app last read a token, to the hour.
    pub last_read_at: Option<Timestamp>,
}

impl Connection {
    /// Whether the stored refresh token may have been spent by an earlier attempt than the one
    /// that runs.
    pub fn has_lost_outcome(&self) -> bool {
        self.outcome_lost || self.open_attempts > 1
    }

    /// Whether it is gone, and says nothing of its user any more.
    pub fn is_forgotten(&self) -> bool {
        self.status.is_gone()
            && self.account.is_none()
            && self.requested_scopes.is_empty()
            && self.granted_scopes.is_empty()
            && self.last_read_at.is_none()
    }
}

/// The keys that have read a connection's token lately, and when they last noted that.
pub type Readers = BTreeMap<ApiKeyId, Timestamp>;

/// The life cycle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// Tokens are handed out and refreshed.
    Active,
    /// The provider refused the refresh token once. Not proven dead: one refusal may be the
    /// provider's own fault (H-64).
    Suspect {
        /// When it was refused.
        since: Timestamp,
    },
    /// Proven dead: only the user can repair it.
    ReconnectRequired {
        /// Why.
        reason: ReconnectReason,
        /// Since when.
        since: Timestamp,
    },
    /// Disconnected by the user, an app or an admin; the provider may not know yet.
    Revoking {
        /// When the disconnect was asked for.
        since: Timestamp,
    },
    /// Disconnected, and the provider's part is settled.
    Disconnected {
        /// How the provider's part ended.
        outcome: RevocationOutcome,
        /// When.
        since: Timestamp,
    },
}

impl ConnectionStatus {
    /// Whether tokens may be refreshed and, while valid, handed out.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Active | Self::Suspect { .. } => true,
            Self::ReconnectRequired { .. } | Self::Revoking { .. } | Self::Disconnected { .. } => {
                false
            }
        }
    }

    /// Whether the subject has disconnected. To every caller that is as if there had never
    /// been a connection.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Revoking { .. } | Self::Disconnected { .. } => true,
            Self::Active | Self::Suspect { .. } | Self::ReconnectRequired { .. } => false,
        }
    }
}

/// How many accounts with an alias a user may have through one connector, besides the default one.
/// Flows that end at the same moment may make it a few more: it bounds lists, and nobody's rights.
pub const MOST_ALIASES: usize = 20;

/// Whether `key` may be connected by a user who holds `held` in its app.
pub fn has_room_for(key: &ConnectionKey, held: &[Connection]) -> bool {
    let mut aliases = held.iter().filter(|one| {
        one.key.connector == key.connector && one.key.alias.is_some() && !one.status.is_gone()
    });
    key.alias.is_none()
        || aliases.clone().count() < MOST_ALIASES
        || aliases.any(|one| one.key.alias == key.alias)
}

/// Why a user must connect again; part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconnectReason {
    /// The connector asks for scopes the user was not asked for.
    ScopesChanged,
    /// The caller asks for scopes that were not granted.
    MissingScopes,
    /// The provider no longer accepts the grant.
    GrantRevoked,
    /// The access token expired, and there is nothing to refresh it with or the grant's time is
    /// over.
    RefreshExpired,
    /// A rotated refresh token was lost between the provider's answer and the store.
    RefreshOutcomeLost,
    /// A refresh brought the tokens of another account.
    AccountMismatch,
    /// The connector's client or endpoints are no longer those the grant was made with.
    ConnectorChanged,
}

impl ReconnectReason {
    /// The reason as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScopesChanged => "scopes_changed",
            Self::MissingScopes => "missing_scopes",
            Self::GrantRevoked => "grant_revoked",
            Self::RefreshExpired => "refresh_expired",
            Self::RefreshOutcomeLost => "refresh_outcome_lost",
            Self::AccountMismatch => "account_mismatch",
            Self::ConnectorChanged => "connector_changed",
        }
    }
}

/// How the provider's part of a disconnect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationOutcome {
    /// The provider confirmed, or did not know the token any more.
    Revoked,
    /// The provider offers no revocation.
    Unsupported,
    /// The provider did not confirm within a day.
    Failed,
}

/// How long a worker may hold a connection's lease. Longer than the hard limit of every
/// function that refreshes (15 s), so that no worker outlives its lease (H-66), plus the skew
/// two clocks may have.
pub const LEASE: Duration = Duration::from_secs(17);
/// A lease is taken over this long after it ended at the earliest.
pub const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// The right of one attempt to refresh one connection, with the connection as it was when
/// the lease was granted. Nothing read before is used (H-67).
#[derive(Clone, Debug)]
pub struct Lease {
    /// Owns the lease.
    pub attempt: AttemptId,
    /// When it ends.
    pub until: Timestamp,
    /// As the lease's own answer gave it.
    pub connection: Connection,
}

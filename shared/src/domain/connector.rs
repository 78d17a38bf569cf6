//! A workspace's OAuth client for one provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ids::{Alias, AppId, ConnectorId, ProviderId, WorkspaceId};
use super::scopes::ScopeList;
use super::time::Timestamp;

/// A connector as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// The workspace that owns it.
    pub workspace: WorkspaceId,
    /// Random, or chosen by the admin; part of the connector's own redirect URI (H-06), and so
    /// never another workspace's, not even after the connector is gone.
    pub id: ConnectorId,
    /// The name admins and users see.
    pub name: String,
    /// The catalogue entry, or `custom`.
    pub provider: ProviderId,
    /// Whose account it connects.
    pub kind: ConnectorKind,
    /// How many accounts each user may connect.
    pub accounts: Accounts,
    /// The OAuth client identifier.
    pub client_id: String,
    /// The OAuth client secret, sealed. A connector can be there before its secret is, so that
    /// its redirect URI can be registered at the provider first; nobody connects until then.
    pub client_secret: Option<ClientSecret>,
    /// The secret it replaces, while that is still tried where the current one is refused. Of the
    /// same generation, so it goes to the same client and endpoints (H-37).
    pub previous_secret: Option<ClientSecret>,
    /// The scopes a user is asked for.
    pub scopes: ScopeList,
    /// When a change of scopes makes users reconnect.
    pub scope_policy: ScopePolicy,
    /// Values for the provider's fields, such as a subdomain; the endpoints of `custom`.
    pub config: BTreeMap<String, String>,
    /// What describes the provider `custom` where `config` does not: JSON in the catalogue's
    /// format, and then `config` is for the fields that it has.
    pub template: Option<String>,
    /// The apps that may use it; `None` for all apps of the workspace.
    pub allowed_apps: Option<Vec<AppId>>,
    /// Whether it is in use or going away.
    pub status: ConnectorStatus,
    /// Grows with each change of endpoint or client and with each revocation of all that was
    /// granted, see [`Connector::first_generation`]. A grant of an earlier generation is not
    /// handed out.
    pub generation: u64,
    /// The generation from which on client and endpoints are these. What is older is never sent
    /// to them (H-38).
    pub client_generation: u64,
    /// The last revocation of all that was granted.
    pub revoked: Option<Revoked>,
    /// Counts changes of any kind; the ETag.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Connector {
    /// The generation of a connector that is made now: above every one that another connector of
    /// the same id had, whose tokens may still come out of escrow.
    pub fn first_generation(now: Timestamp) -> u64 {
        now.millis().unsigned_abs()
    }

    /// Whether an admin has revoked what was granted under `generation`.
    pub fn has_revoked(&self, generation: u64) -> bool {
        self.revoked.is_some_and(|last| generation < last.before)
    }

    /// Whether client and endpoints are those that grants and secrets of `generation` are for
    /// (H-37, H-38).
    pub fn has_client_of(&self, generation: u64) -> bool {
        (self.client_generation..=self.generation).contains(&generation)
    }

    /// The connector when all that was granted through it is revoked at `now` (H-89): what stands
    /// is of an earlier generation, and so is every flow under way. The client stays.
    #[must_use]
    pub fn revoking(self, now: Timestamp) -> Self {
        let generation = self.generation + 1;
        Self {
            generation,
            revoked: Some(Revoked {
                at: now,
                before: generation,
            }),
            version: self.version + 1,
            updated_at: now,
            ..self
        }
    }

    /// The connector's own redirect URI (H-06), to be registered at the provider.
    pub fn redirect_uri(&self, public_url: &Url) -> Url {
        let path = format!("/oauth/callback/{}", self.id);
        public_url
            .join(&path)
            .expect("an id is a path segment as it is")
    }

    /// Whether the connector is there for users of `app`, in use or disabled.
    pub fn is_for(&self, app: &AppId) -> bool {
        let allowed = self
            .allowed_apps
            .as_ref()
            .is_none_or(|apps| apps.contains(app));
        allowed && !self.status.is_deleting()
    }

    /// Whether users of `app` may use the connector now.
    pub fn serves(&self, app: &AppId) -> bool {
        self.is_for(app) && self.status == ConnectorStatus::Enabled
    }

    /// Whether the account of this alias is one that can be connected and read. An alias from
    /// before the connector was set to one account is not.
    pub fn has_account(&self, alias: Option<&Alias>) -> bool {
        alias.is_none() || self.accounts == Accounts::Several
    }
}

/// Whose account a connector connects. Fixed when it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorKind {
    /// Each user connects their own.
    #[default]
    User,
    /// An admin connects one account for an app, and everyone in the app uses it.
    App,
}

/// How many accounts a user may connect through one connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounts {
    /// One, which has no alias.
    #[default]
    One,
    /// One without an alias, and any number with one each.
    Several,
}

/// A revocation of all that was granted through a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When it was asked for.
    pub at: Timestamp,
    /// What is of an earlier generation than this one is revoked.
    pub before: u64,
}

/// A sealed client secret and what may be shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// The envelope; opens under the connector's id and [`Connector::client_generation`].
    pub sealed: Vec<u8>,
    /// When it was last set.
    pub set_at: Timestamp,
    /// Its last four characters, unless it is too short to show any.
    pub last_four: Option<String>,
}

/// When a change of a connector's scopes makes its users reconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopePolicy {
    /// When the new list asks for something the user was not asked for.
    #[default]
    Widening,
    /// When the list changed at all.
    Strict,
}

/// The life cycle of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorStatus {
    /// In use.
    Enabled,
    /// Nobody connects, nothing is handed out or refreshed; what was granted is kept.
    Disabled {
        /// Since when.
        since: Timestamp,
    },
    /// Hand-out has stopped; grants are being revoked in the background until none is left.
    Deleting {
        /// When the deletion was asked for.
        since: Timestamp,
    },
}

impl ConnectorStatus {
    /// Whether the connector is going away.
    pub fn is_deleting(self) -> bool {
        match self {
            Self::Deleting { .. } => true,
            Self::Enabled | Self::Disabled { .. } => false,
        }
    }
}

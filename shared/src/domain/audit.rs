//! Who did what, to whose connection, and what came of it (H-83). No entry carries a secret.

mod failed_flow;
mod id;

use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::connector::Connector;
use super::event::{Change, ConnectionRef, Event};
use super::ids::{ApiKeyId, AppId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use super::subject::Subject;
use super::time::Timestamp;

pub use failed_flow::ProviderSaid;
pub use id::AuditId;

/// Who acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// An admin of the workspace, by the subject of their JWT.
    Admin(UserId),
    /// A user of an app.
    User(UserId),
    /// An app's back end, by its key.
    AppKey(ApiKeyId),
    /// Grantry itself.
    #[default]
    System,
}

impl Actor {
    /// What kind of caller it is, as the API spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Admin(_) => "admin",
            Self::User(_) => "user",
            Self::AppKey(_) => "app_key",
            Self::System => "system",
        }
    }
}

/// Who acts, and in which request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who. What an older version wrote does not say.
    #[serde(default)]
    pub actor: Actor,
    /// The request's id, which its log line has too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What is done. Names are part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Action { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl Action {
            /// Every action there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The action as the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

actions! {
    /// An app was registered, or its settings were replaced.
    AppChanged = "app.changed";
    /// An app is gone, and everything that its users had granted.
    AppDeleted = "app.deleted";
    /// An app's deletion was asked for; its keys are gone.
    AppDeleting = "app.deleting";
    /// A flow ended, and nothing was connected by it.
    ConnectFailed = "connect.failed";
    /// Somebody tried to finish a flow that another began.
    UserMismatch = "connect.user_mismatch";
    /// A user connected, for the first time or after a disconnect.
    Connected = "connection.connected";
    /// Hand-out has stopped for good.
    Disconnected = "connection.disconnected";
    /// A grant is proven dead.
    ReconnectRequired = "connection.reconnect_required";
    /// A user went through the consent again.
    Reconnected = "connection.reconnected";
    /// Everything that was granted through a connector was revoked. That each connection is ended
    /// is another entry.
    ConnectionsRevoked = "connections.revoked";
    /// A connector was added.
    ConnectorCreated = "connector.created";
    /// A connector is gone, and everything granted through it.
    ConnectorDeleted = "connector.deleted";
    /// A connector's deletion was asked for; hand-out has stopped.
    ConnectorDeleting = "connector.deleting";
    /// A connector was disabled.
    ConnectorDisabled = "connector.disabled";
    /// A connector was enabled again.
    ConnectorEnabled = "connector.enabled";
    /// A connector cannot refresh anything before an admin changes it.
    ConnectorMisconfigured = "connector.misconfigured";
    /// A connector was changed.
    ConnectorUpdated = "connector.updated";
    /// An API key has read more connections within an hour than is usual.
    BulkRead = "credential.bulk_read";
    /// An API key was made.
    KeyCreated = "key.created";
    /// An API key was removed.
    KeyRemoved = "key.removed";
    /// An access token was handed out: the first time in an hour to this key.
    TokenRead = "token.read";
    /// An app has forgotten a user.
    UserErased = "user.erased";
}

impl Action {
    /// The action that the API spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.as_str() == text)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// The outcome as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its name, by which it is sorted.
    pub id: AuditId,
    /// When it happened.
    pub time: Timestamp,
    /// Where.
    pub workspace: WorkspaceId,
    /// Who did it, and in which request.
    pub origin: Origin,
    /// What was done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, in a word of the API, where there is more than one reason.
    pub reason: Option<String>,
    /// What a provider said about it; for admins alone.
    pub provider_said: Option<ProviderSaid>,
    /// The connector concerned.
    pub connector: Option<ConnectorId>,
    /// The app concerned.
    pub app: Option<AppId>,
    /// Whose account is concerned, whoever acted.
    pub subject: Option<Subject>,
    /// The connection concerned.
    pub connection: Option<ConnectionId>,
    /// The API key concerned.
    pub key: Option<ApiKeyId>,
}

impl AuditEntry {
    /// An entry that something was done in a workspace.
    pub fn new(id: AuditId, workspace: &WorkspaceId, origin: &Origin, action: Action) -> Self {
        Self {
            time: id.time(),
            id,
            workspace: workspace.clone(),
            origin: origin.clone(),
            action,
            outcome: Outcome::Done,
            reason: None,
            provider_said: None,
            connector: None,
            app: None,
            subject: None,
            connection: None,
            key: None,
        }
    }

    /// The same about an app.
    #[must_use]
    pub fn about_app(mut self, app: &AppId) -> Self {
        self.app = Some(app.clone());
        self
    }

    /// The same about a connector.
    #[must_use]
    pub fn about_connector(mut self, connector: &Connector) -> Self {
        self.connector = Some(connector.id.clone());
        self
    }

    /// The same about an API key of an app.
    #[must_use]
    pub fn about_key(self, app: &AppId, key: &ApiKeyId) -> Self {
        Self {
            key: Some(key.clone()),
            ..self.about_app(app)
        }
    }

    /// The same about a connection.
    #[must_use]
    pub fn about_connection(self, connection: &Connection) -> Self {
        Self {
            connector: Some(connection.key.connector.clone()),
            subject: Some(connection.key.subject.clone()),
            connection: Some(connection.id.clone()),
            ..self.about_app(&connection.key.app)
        }
    }

    /// That a token of `connection` was read `at` with `key`. All of an hour have one entry: they
    /// are given the same id, which stands at the hour's beginning.
    pub fn of_read(
        connection: &Connection,
        key: &ApiKeyId,
        origin: &Origin,
        at: Timestamp,
    ) -> Self {
        let hour = Timestamp::from_millis(hour_of(at).saturating_mul(HOUR));
        let id = AuditId::new(hour, &format!("{}-{key}", connection.id));
        let workspace = &connection.key.workspace;
        Self {
            time: at,
            ..Self::new(id, workspace, origin, Action::TokenRead).about_connection(connection)
        }
    }

    /// What an event says; `None` of one that nobody caused by acting: other scopes that came
    /// with a refresh.
    pub fn of(event: &Event) -> Option<Self> {
        let action = match &event.change {
            Change::Connected(_) => Action::Connected,
            Change::Reconnected(_) => Action::Reconnected,
            Change::ReconnectRequired { .. } => Action::ReconnectRequired,
            Change::ScopesChanged { .. } => return None,
            Change::Disconnected(_) => Action::Disconnected,
            Change::ConnectorCreated => Action::ConnectorCreated,
            Change::ConnectorUpdated => Action::ConnectorUpdated,
            Change::ConnectorDisabled => Action::ConnectorDisabled,
            Change::ConnectorEnabled => Action::ConnectorEnabled,
            Change::ConnectorMisconfigured { .. } => Action::ConnectorMisconfigured,
            Change::ConnectionsRevoked => Action::ConnectionsRevoked,
            Change::ConnectorDeleted => Action::ConnectorDeleted,
            Change::AppDeleted { .. } => Action::AppDeleted,
            Change::BulkRead { .. } => Action::BulkRead,
        };
        let id = AuditId::new(event.time, event.id.as_str());
        let mut entry = Self::new(id, &event.workspace_id, &event.origin, action);
        entry.connector = event.connector_id.clone();
        if let Change::BulkRead { app_id, key_id, .. } = &event.change {
            entry = entry.about_key(app_id, key_id);
        }
        if let Change::AppDeleted { app_id } = &event.change {
            entry = entry.about_app(app_id);
        }
        if let Some(connection) = concerned(&event.change) {
            entry.app = Some(connection.app_id.clone());
            entry.subject = Some(connection.subject.clone());
            entry.connection = Some(connection.connection_id.clone());
        }
        entry.reason = match &event.change {
            Change::ReconnectRequired { reason, .. } => Some(reason.as_str().to_owned()),
            Change::ConnectorMisconfigured { cause } => Some(cause.as_str().to_owned()),
            _ => None,
        };
        Some(entry)
    }
}

fn concerned(change: &Change) -> Option<&ConnectionRef> {
    match change {
        Change::Connected(connection)
        | Change::Reconnected(connection)
        | Change::ReconnectRequired { connection, .. }
        | Change::ScopesChanged { connection, .. }
        | Change::Disconnected(connection) => Some(connection),
        Change::ConnectorCreated
        | Change::ConnectorUpdated
        | Change::ConnectorDisabled
        | Change::ConnectorEnabled
        | Change::ConnectorMisconfigured { .. }
        | Change::ConnectionsRevoked
        | Change::ConnectorDeleted
        | Change::AppDeleted { .. }
        | Change::BulkRead { .. } => None,
    }
}

const HOUR: i64 = 3_600_000;

/// The hour an instant is in, counted from the epoch: what a reading is told by.
pub fn hour_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(HOUR)
}

/// The day an instant is in, counted from the epoch, in UTC.
pub fn day_of(at: Timestamp) -> i64 {
    hour_of(at).div_euclid(24)
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of one connector.
    pub connector: Option<ConnectorId>,
    /// Of one app.
    pub app: Option<AppId>,
    /// Of one user.
    pub user: Option<UserId>,
    /// Of one kind.
    pub action: Option<Action>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_reads_back_and_nothing_else_is_one() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(*action));
        }
        assert_eq!(Action::parse("token.forge"), None);
    }
}

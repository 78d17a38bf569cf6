//! What is told to the outside when something changed. No event carries a secret.

use serde::{Deserialize, Serialize};

use super::audit::Origin;
use super::connection::ReconnectReason;
use super::connector::ConnectorKind;
use super::health::Misconfiguration;
use super::ids::{Alias, ApiKeyId, AppId, ConnectionId, ConnectorId, EventId, UserId, WorkspaceId};
use super::scopes::ScopeList;
use super::subject::Subject;
use super::time::Timestamp;

/// One state change, as published on the stack's bus.
///
/// At least once: it is written with the state change, published after it, and published
/// later if the first attempt was lost. Receivers de-duplicate by `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The same for every delivery of the same change.
    pub id: EventId,
    /// Of what the OpenAPI document says of events, see [`Event::VERSION`].
    #[serde(default = "first_version")]
    pub version: u32,
    /// When the change was made.
    pub time: Timestamp,
    /// Where it was made.
    pub workspace_id: WorkspaceId,
    /// The connector concerned, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector_id: Option<ConnectorId>,
    /// Who changed it.
    #[serde(flatten)]
    pub origin: Origin,
    /// What changed.
    #[serde(flatten)]
    pub change: Change,
}

/// That of events which an older version wrote.
fn first_version() -> u32 {
    1
}

impl Event {
    /// The version of the events that are written now. It grows when a member changes its meaning;
    /// a new member is no new version.
    pub const VERSION: u32 = 1;

    /// The same, caused by somebody.
    #[must_use]
    pub fn by(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        self
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Change {
    /// A user connected for the first time, or again after a disconnect.
    #[serde(rename = "connection.connected")]
    Connected(ConnectionRef),
    /// A user went through the consent again.
    #[serde(rename = "connection.reconnected")]
    Reconnected(ConnectionRef),
    /// A grant is proven dead.
    #[serde(rename = "connection.reconnect_required")]
    ReconnectRequired {
        /// Whose connection.
        #[serde(flatten)]
        connection: ConnectionRef,
        /// Why.
        reason: ReconnectReason,
    },
    /// A refresh brought other scopes than were granted before.
    #[serde(rename = "connection.scopes_changed")]
    ScopesChanged {
        /// Whose connection.
        #[serde(flatten)]
        connection: ConnectionRef,
        /// What is granted now.
        granted_scopes: ScopeList,
    },
    /// Hand-out has stopped for good.
    #[serde(rename = "connection.disconnected")]
    Disconnected(ConnectionRef),
    /// An admin added a connector.
    #[serde(rename = "connector.created")]
    ConnectorCreated,
    /// An admin changed a connector.
    #[serde(rename = "connector.updated")]
    ConnectorUpdated,
    /// An admin disabled a connector.
    #[serde(rename = "connector.disabled")]
    ConnectorDisabled,
    /// An admin enabled a connector again.
    #[serde(rename = "connector.enabled")]
    ConnectorEnabled,
    /// A connector cannot refresh anything before an admin changes it. Told once a fault.
    #[serde(rename = "connector.misconfigured")]
    ConnectorMisconfigured {
        /// What is wrong.
        cause: Misconfiguration,
    },
    /// An admin revoked everything that was granted through a connector.
    #[serde(rename = "connections.revoked")]
    ConnectionsRevoked,
    /// A connector and everything granted through it are gone.
    #[serde(rename = "connector.deleted")]
    ConnectorDeleted,
    /// An app and everything its users had granted through it are gone.
    #[serde(rename = "app.deleted")]
    AppDeleted {
        /// The app.
        app_id: AppId,
    },
    /// An API key has read more connections within an hour than is usual. Told once a day and key.
    #[serde(rename = "credential.bulk_read")]
    BulkRead {
        /// The app it belongs to.
        app_id: AppId,
        /// The key.
        key_id: ApiKeyId,
        /// How many, up to this one.
        connections: u64,
    },
}

/// Which connection an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ToldRef", into = "ToldRef")]
pub struct ConnectionRef {
    /// The connection.
    pub connection_id: ConnectionId,
    /// The app it was made in.
    pub app_id: AppId,
    /// Whose it is.
    pub subject: Subject,
    /// Which of several accounts; `None` for the default one.
    pub alias: Option<Alias>,
}

/// How an event spells it. `subject` says in a word what `user_id` says by being there, as it
/// alone does in what an older version wrote (F47).
#[derive(Serialize, Deserialize)]
struct ToldRef {
    connection_id: ConnectionId,
    app_id: AppId,
    #[serde(skip_deserializing)]
    subject: ConnectorKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alias: Option<Alias>,
}

impl From<ToldRef> for ConnectionRef {
    fn from(told: ToldRef) -> Self {
        Self {
            connection_id: told.connection_id,
            app_id: told.app_id,
            subject: told.user_id.into(),
            alias: told.alias,
        }
    }
}

impl From<ConnectionRef> for ToldRef {
    fn from(connection: ConnectionRef) -> Self {
        Self {
            connection_id: connection.connection_id,
            app_id: connection.app_id,
            subject: connection.subject.kind(),
            user_id: connection.subject.into(),
            alias: connection.alias,
        }
    }
}

impl Change {
    /// The EventBridge detail type.
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::Connected(_) => "connection.connected",
            Self::Reconnected(_) => "connection.reconnected",
            Self::ReconnectRequired { .. } => "connection.reconnect_required",
            Self::ScopesChanged { .. } => "connection.scopes_changed",
            Self::Disconnected(_) => "connection.disconnected",
            Self::ConnectorCreated => "connector.created",
            Self::ConnectorUpdated => "connector.updated",
            Self::ConnectorDisabled => "connector.disabled",
            Self::ConnectorEnabled => "connector.enabled",
            Self::ConnectorMisconfigured { .. } => "connector.misconfigured",
            Self::ConnectionsRevoked => "connections.revoked",
            Self::ConnectorDeleted => "connector.deleted",
            Self::AppDeleted { .. } => "app.deleted",
            Self::BulkRead { .. } => "credential.bulk_read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::Actor;
    use super::*;

    #[test]
    fn an_event_names_its_type_and_its_subject_flat() {
        let event = Event {
            id: EventId::parse("e1").unwrap(),
            version: Event::VERSION,
            time: Timestamp::from_millis(0),
            workspace_id: WorkspaceId::parse("w1").unwrap(),
            connector_id: Some(ConnectorId::parse("c1").unwrap()),
            origin: Origin {
                actor: Actor::User(UserId::parse("u1").unwrap()),
                request_id: Some("r1".into()),
            },
            change: Change::ReconnectRequired {
                connection: ConnectionRef {
                    connection_id: ConnectionId::parse("k1").unwrap(),
                    app_id: AppId::parse("a1").unwrap(),
                    subject: Subject::User(UserId::parse("u1").unwrap()),
                    alias: None,
                },
                reason: ReconnectReason::GrantRevoked,
            },
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": "e1", "version": 1, "time": "1970-01-01T00:00:00Z", "workspace_id": "w1",
                "connector_id": "c1", "type": "connection.reconnect_required",
                "connection_id": "k1", "app_id": "a1", "subject": "user", "user_id": "u1",
                "reason": "grant_revoked", "actor": {"kind": "user", "id": "u1"},
                "request_id": "r1",
            })
        );
        assert_eq!(json["type"], event.change.detail_type());
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }

    #[test]
    fn an_event_of_an_apps_own_account_names_no_user() {
        let change = Change::Disconnected(ConnectionRef {
            connection_id: ConnectionId::parse("k1").unwrap(),
            app_id: AppId::parse("a1").unwrap(),
            subject: Subject::App,
            alias: None,
        });
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "connection.disconnected", "connection_id": "k1", "app_id": "a1",
                "subject": "app",
            })
        );
        assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
    }

    /// F47.
    #[test]
    fn an_event_that_an_older_version_wrote_of_a_connection_is_of_its_user() {
        let json = serde_json::json!({
            "type": "connection.connected", "connection_id": "k1", "app_id": "a1",
            "user_id": "u1",
        });
        let Change::Connected(connection) = serde_json::from_value(json).unwrap() else {
            panic!("another change");
        };
        let user = UserId::parse("u1").unwrap();
        assert_eq!(connection.subject, Subject::User(user));
    }

    #[test]
    fn a21_a_bulk_read_names_the_key_and_no_connector() {
        let event = Event {
            id: EventId::parse("e1").unwrap(),
            version: Event::VERSION,
            time: Timestamp::from_millis(0),
            workspace_id: WorkspaceId::parse("w1").unwrap(),
            connector_id: None,
            origin: Origin::default(),
            change: Change::BulkRead {
                app_id: AppId::parse("a1").unwrap(),
                key_id: ApiKeyId::parse("k1").unwrap(),
                connections: 501,
            },
        };
        let json = serde_json::to_value(&event).unwrap();
        let expected = serde_json::json!({
            "id": "e1", "version": 1, "time": "1970-01-01T00:00:00Z", "workspace_id": "w1",
            "type": "credential.bulk_read", "app_id": "a1", "key_id": "k1", "connections": 501,
            "actor": {"kind": "system"},
        });
        assert_eq!(json, expected);
        assert_eq!(json["type"], event.change.detail_type());
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }

    /// F47.
    #[test]
    fn an_event_that_an_older_version_wrote_was_caused_by_nobody_known() {
        let json = serde_json::json!({
            "id": "e1", "time": "1970-01-01T00:00:00Z", "workspace_id": "w1",
            "connector_id": "c1", "type": "connector.created",
        });
        let event: Event = serde_json::from_value(json).unwrap();
        assert_eq!(event.origin, Origin::default());
    }

    #[test]
    fn h77_a_misconfigured_connector_is_told_of_with_its_cause() {
        let change = Change::ConnectorMisconfigured {
            cause: Misconfiguration::ClientRefused,
        };
        let json = serde_json::to_value(&change).unwrap();
        let expected = serde_json::json!({
            "type": "connector.misconfigured", "cause": "client_refused",
        });
        assert_eq!(json, expected);
        assert_eq!(json["type"], change.detail_type());
        assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
    }
}

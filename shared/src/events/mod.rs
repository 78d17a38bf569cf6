//! The outbox: events are written with the state change, published after it, and relayed by the
//! scheduled function when the first publication was lost.

pub mod eventbridge;

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::hash::random_id;
use crate::domain::app::App;
use crate::domain::audit::{AuditEntry, AuditId, Origin};
use crate::domain::connection::{Connection, ReconnectReason};
use crate::domain::connector::Connector;
use crate::domain::event::{Change, ConnectionRef, Event};
use crate::domain::ids::{EventId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{Audit, DueTable, Entropy, EventSink, StoreError};

/// How long an event may stand in the outbox before it counts as lost: longer than any
/// function that published it right after writing it can still be running.
pub const RELAY_AFTER: Duration = Duration::from_secs(30);

/// Publishes events that were written with their state change.
#[derive(Clone)]
pub struct Publisher {
    sink: Arc<dyn EventSink>,
    outbox: Arc<dyn DueTable>,
}

impl Publisher {
    /// A publisher from `outbox` to `sink`.
    pub fn new(sink: Arc<dyn EventSink>, outbox: Arc<dyn DueTable>) -> Self {
        Self { sink, outbox }
    }

    /// Publishes an event that stands in the outbox. A failure loses nothing: the event stays
    /// there and the relay finds it.
    pub async fn publish(&self, event: &Event) {
        if !self
            .sink
            .publish(std::slice::from_ref(event))
            .await
            .is_empty()
        {
            note(event, self.outbox.remove_event(event).await);
        }
    }

    /// Publishes what one shard of the outbox has held for longer than [`RELAY_AFTER`], at most
    /// `limit`. Answers how many the bus took.
    ///
    /// # Errors
    /// When the outbox does not answer.
    pub async fn relay(&self, shard: u32, now: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let unsent = self
            .outbox
            .unsent_events(shard, now.before(RELAY_AFTER), limit)
            .await?;
        if unsent.is_empty() {
            return Ok(0);
        }
        let (found, events): (Vec<_>, Vec<_>) = unsent.into_iter().unzip();
        let taken = self.sink.publish(&events).await;
        let entries = found.iter().zip(&events);
        for (work, event) in entries.filter(|(_, event)| taken.contains(&event.id)) {
            note(event, self.outbox.remove_found_event(work).await);
        }
        Ok(taken.len())
    }
}

/// Published but not removed: it is published again, with the same id.
fn note(event: &Event, removed: Result<(), StoreError>) {
    if let Err(error) = removed {
        tracing::warn!(event.id = %event.id, error = %error, "event stays in the outbox");
    }
}

/// An event about a connector, of Grantry's own accord; see [`Event::by`].
pub fn connector_event(
    entropy: &dyn Entropy,
    connector: &Connector,
    change: Change,
    now: Timestamp,
) -> Event {
    Event {
        version: Event::VERSION,
        id: event_id(entropy),
        time: now,
        workspace_id: connector.workspace.clone(),
        connector_id: Some(connector.id.clone()),
        origin: Origin::default(),
        change,
    }
}

/// An event about a connection, of Grantry's own accord; see [`Event::by`].
pub fn connection_event(
    entropy: &dyn Entropy,
    connection: &Connection,
    change: impl FnOnce(ConnectionRef) -> Change,
    now: Timestamp,
) -> Event {
    let subject = ConnectionRef {
        connection_id: connection.id.clone(),
        app_id: connection.key.app.clone(),
        subject: connection.key.subject.clone(),
        alias: connection.key.alias.clone(),
    };
    Event {
        version: Event::VERSION,
        id: event_id(entropy),
        time: now,
        workspace_id: connection.key.workspace.clone(),
        connector_id: Some(connection.key.connector.clone()),
        origin: Origin::default(),
        change: change(subject),
    }
}

/// That an app is gone, of Grantry's own accord; see [`Event::by`].
pub fn app_deleted(entropy: &dyn Entropy, app: &App, now: Timestamp) -> Event {
    Event {
        version: Event::VERSION,
        id: event_id(entropy),
        time: now,
        workspace_id: app.workspace.clone(),
        connector_id: None,
        origin: Origin::default(),
        change: Change::AppDeleted {
            app_id: app.id.clone(),
        },
    }
}

/// An event about a credential, of Grantry's own accord; see [`Event::by`].
pub fn credential_event(
    entropy: &dyn Entropy,
    workspace: &WorkspaceId,
    change: Change,
    now: Timestamp,
) -> Event {
    Event {
        version: Event::VERSION,
        id: event_id(entropy),
        time: now,
        workspace_id: workspace.clone(),
        connector_id: None,
        origin: Origin::default(),
        change,
    }
}

/// `connection.reconnect_required`.
pub fn reconnect_required(reason: ReconnectReason) -> impl FnOnce(ConnectionRef) -> Change {
    move |connection| Change::ReconnectRequired { connection, reason }
}

/// The id of an audit entry that goes with no event.
pub fn audit_id(entropy: &dyn Entropy, now: Timestamp) -> AuditId {
    AuditId::new(now, &random_id(entropy))
}

/// Adds an entry that goes with no write. A table that does not take it refuses nobody less, and
/// keeps nobody waiting: that is told, and what it was about goes on.
pub async fn add_entry(audit: &dyn Audit, entry: &AuditEntry) {
    if let Err(error) = audit.add_entry(entry).await {
        let action = entry.action.as_str();
        tracing::error!(action, audit.id = %entry.id, error = %error, "audit entry was not written");
    }
}

fn event_id(entropy: &dyn Entropy) -> EventId {
    EventId::parse(random_id(entropy)).expect("base64url is a valid id")
}

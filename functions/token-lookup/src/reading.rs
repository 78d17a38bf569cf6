//! What is written down when a token is read: by each key the first time in an hour.

use http::request::Parts;
use shared::domain::audit::{AuditEntry, hour_of};
use shared::domain::connection::{Connection, Readers};
use shared::domain::time::Timestamp;
use shared::http::identity::AppBackend;
use shared::ports::StoreError;

use crate::State;
use crate::bulk;

/// A failure costs the caller nothing: the next reading is written down instead. The request's
/// log line tells of this one.
pub(crate) async fn note(
    state: &State,
    parts: &Parts,
    reader: &AppBackend,
    connection: &Connection,
    readers: &Readers,
) {
    let now = state.engine.clock.now();
    let noted = readers.get(&reader.key);
    if noted.is_some_and(|at| hour_of(*at) == hour_of(now)) {
        return;
    }
    if let Err(error) = write(state, parts, reader, connection, readers, now).await {
        tracing::error!(
            connection.id = %connection.id, key.id = %reader.key, error = %error,
            "reading was not written down"
        );
    }
}

/// The entry before the note that spares the next one: who dies in between leaves the entry, and
/// the next to come finds it there.
async fn write(
    state: &State,
    parts: &Parts,
    reader: &AppBackend,
    connection: &Connection,
    readers: &Readers,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = AuditEntry::of_read(connection, &reader.key, &reader.origin, now);
    if state.audit.add_entry(&entry).await?
        && let Err(error) = bulk::watch(state, parts, reader, now).await
    {
        tracing::error!(key.id = %reader.key, error = %error, "connection was not counted");
    }
    let mut readers = readers.clone();
    readers.retain(|_, at| hour_of(*at) == hour_of(now));
    readers.insert(reader.key.clone(), now);
    let connections = &state.engine.connections;
    connections
        .record_read(&connection.key, &readers, now)
        .await
}

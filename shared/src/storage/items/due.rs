//! Due work and the outbox of events.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::schema::{self, DueKind, SK, attr};
use super::{Reader, Row, Writer, value};
use crate::domain::connection::ConnectionKey;
use crate::domain::event::Event;
use crate::domain::ids::{ConnectionId, WorkspaceId};
use crate::domain::time::Timestamp;
use crate::ports::{Doomed, DueWork, Revocation, StoreError};

/// The work of refreshing a connection that is due at `due_at`.
pub(in super::super) fn refresh_work(id: &ConnectionId, due_at: Timestamp, shards: u32) -> DueWork {
    work(id.as_str().to_owned(), due_at, shards)
}

/// The work of revoking a grant.
pub(in super::super) fn revocation_work(
    revocation: &Revocation,
    due_at: Timestamp,
    shards: u32,
) -> DueWork {
    work(schema::revocation_id(revocation), due_at, shards)
}

/// The work of deleting a connector or an app.
pub(in super::super) fn deletion_work(
    workspace: &WorkspaceId,
    what: &Doomed,
    due_at: Timestamp,
    shards: u32,
) -> DueWork {
    work(schema::deletion_id(workspace, what), due_at, shards)
}

/// The work of publishing an event, should whoever wrote it not come to it.
pub(in super::super) fn event_work(event: &Event, shards: u32) -> DueWork {
    work(event.id.as_str().to_owned(), event.time, shards)
}

fn work(id: String, due_at: Timestamp, shards: u32) -> DueWork {
    DueWork {
        shard: schema::shard_of(&id, shards),
        due_at,
        id,
    }
}

/// Reads where a row of one shard is kept.
pub(in super::super) fn read_work(shard: u32, row: &Row) -> Result<DueWork, StoreError> {
    let item = Reader::new(row, "due work");
    schema::parse_due(shard, item.text(SK)?).ok_or_else(|| item.corrupt())
}

pub(in super::super) fn write_refresh(work: &DueWork, key: &ConnectionKey) -> Row {
    with_connection(Writer::new(schema::due(DueKind::Refresh, work)), key).done()
}

pub(in super::super) fn read_refresh(row: &Row) -> Result<ConnectionKey, StoreError> {
    read_connection_key(&Reader::new(row, "due refresh"))
}

pub(in super::super) fn write_revocation(work: &DueWork, revocation: &Revocation) -> Row {
    let item = Writer::new(schema::due(DueKind::Revocation, work));
    with_connection(item, &revocation.key)
        .with(attr::ID, value::text(revocation.connection.as_str()))
        .with(attr::SEALED, value::bytes(&revocation.sealed))
        .with(attr::GENERATION, value::number(revocation.generation))
        .with(
            attr::CONNECTOR_GENERATION,
            value::number(revocation.connector_generation),
        )
        .with(attr::SINCE, value::time(revocation.since))
        .with(
            attr::SETTLES,
            AttributeValue::Bool(revocation.settles_connection),
        )
        .done()
}

pub(in super::super) fn read_revocation(row: &Row) -> Result<Revocation, StoreError> {
    let item = Reader::new(row, "revocation");
    Ok(Revocation {
        key: read_connection_key(&item)?,
        connection: item.id(attr::ID)?,
        sealed: item.bytes(attr::SEALED)?,
        generation: item.number(attr::GENERATION)?,
        connector_generation: item.number(attr::CONNECTOR_GENERATION)?,
        since: item.time(attr::SINCE)?,
        settles_connection: item.flag(attr::SETTLES)?,
    })
}

/// A deletion says everything in its key.
pub(in super::super) fn write_deletion(work: &DueWork) -> Row {
    Writer::new(schema::due(DueKind::Deletion, work)).done()
}

pub(in super::super) fn read_deletion(work: &DueWork) -> Result<(WorkspaceId, Doomed), StoreError> {
    schema::parse_deletion_id(&work.id).ok_or(StoreError::Corrupt("deletion"))
}

/// # Errors
/// None that can happen: an event is made of texts and instants, which are always JSON.
pub(in super::super) fn write_event(work: &DueWork, event: &Event) -> Result<Row, StoreError> {
    let json = serde_json::to_string(event).map_err(|_| StoreError::Corrupt("event"))?;
    Ok(Writer::new(schema::due(DueKind::Event, work))
        .with(attr::EVENT, value::text(json))
        .done())
}

pub(in super::super) fn read_event(row: &Row) -> Result<Event, StoreError> {
    let item = Reader::new(row, "event");
    serde_json::from_str(item.text(attr::EVENT)?).map_err(|_| item.corrupt())
}

fn with_connection(item: Writer, key: &ConnectionKey) -> Writer {
    let at = schema::connection(key);
    item.with(attr::CONNECTION_PK, value::text(at.pk))
        .with(attr::CONNECTION_SK, value::text(at.sk))
}

fn read_connection_key(item: &Reader<'_>) -> Result<ConnectionKey, StoreError> {
    schema::parse_connection(
        item.text(attr::CONNECTION_PK)?,
        item.text(attr::CONNECTION_SK)?,
    )
    .ok_or_else(|| item.corrupt())
}

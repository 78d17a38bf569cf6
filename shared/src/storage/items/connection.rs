//! Connections. The lease stands on the same item, but is the store's own: the domain sees it
//! only in the answers to lease moves.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::schema::{self, APP_PK, GSI_PK, GSI_SK, PK, SK, TTL, attr, life, status};
use super::{Reader, Row, Writer, value};
use crate::domain::census::{Life, Listed};
use crate::domain::connection::{
    Connection, ConnectionStatus, Readers, ReconnectReason, RevocationOutcome,
};
use crate::domain::ids::{ApiKeyId, AttemptId};
use crate::domain::scopes::ScopeList;
use crate::domain::time::Timestamp;
use crate::domain::token::{Account, Validity};
use crate::ports::StoreError;

/// The item of a connection that nobody holds a lease on.
pub(in super::super) fn write_connection(connection: &Connection) -> Row {
    let account = connection.account.as_ref();
    let item = Writer::new(schema::connection(&connection.key))
        .with(attr::ID, value::text(connection.id.as_str()))
        .with(attr::GENERATION, value::number(connection.generation))
        .with(
            attr::CONNECTOR_GENERATION,
            value::number(connection.connector_generation),
        )
        .with_some(
            attr::SEALED,
            connection
                .sealed
                .as_ref()
                .map(|sealed| value::bytes(sealed)),
        )
        .with(attr::ISSUED_AT, value::time(connection.validity.issued_at))
        .with_some(
            attr::EXPIRES_AT,
            connection.validity.expires_at.map(value::time),
        )
        .with_some(
            attr::GRANT_EXPIRES_AT,
            connection.validity.grant_expires_at.map(value::time),
        )
        .with(
            attr::REFRESHABLE,
            AttributeValue::Bool(connection.refreshable),
        )
        .with(
            attr::REQUESTED_SCOPES,
            value::scopes(&connection.requested_scopes),
        )
        .with(
            attr::GRANTED_SCOPES,
            value::scopes(&connection.granted_scopes),
        )
        .with_some(attr::ACCOUNT_ID, account.map(|who| value::text(&who.id)))
        .with_some(
            attr::ACCOUNT_LABEL,
            account.and_then(|who| who.label.as_ref()).map(value::text),
        )
        .with_some(attr::DUE_AT, connection.due_at.map(value::time))
        .with(attr::OPEN_ATTEMPTS, value::number(connection.open_attempts))
        .with_some(attr::OPEN_SINCE, connection.open_since.map(value::time))
        .with(
            attr::OUTCOME_LOST,
            AttributeValue::Bool(connection.outcome_lost),
        )
        .with(attr::FAILURES, value::number(connection.failures))
        .with_some(
            attr::NEXT_ATTEMPT_AT,
            connection.next_attempt_at.map(value::time),
        )
        .with(attr::CREATED_AT, value::time(connection.created_at))
        .with(attr::CONNECTED_AT, value::time(connection.connected_at))
        .with_some(attr::REFRESHED_AT, connection.refreshed_at.map(value::time))
        .with_some(attr::LAST_READ_AT, connection.last_read_at.map(value::time));
    let item = write_status(item, &connection.status);
    match connection.status {
        ConnectionStatus::Disconnected { since, .. } => item.with(TTL, tombstone_ttl(since)),
        ConnectionStatus::Active
        | ConnectionStatus::Suspect { .. }
        | ConnectionStatus::ReconnectRequired { .. }
        | ConnectionStatus::Revoking { .. } => item
            .with(
                GSI_PK,
                value::text(schema::by_connector(
                    &connection.key.workspace,
                    &connection.key.connector,
                )),
            )
            .with(GSI_SK, value::text(connection.id.as_str()))
            .with(
                APP_PK,
                value::text(schema::by_app(
                    &connection.key.workspace,
                    &connection.key.app,
                )),
            )
            .with(attr::LIFE, value::text(life_of(&connection.status)))
            .with(
                attr::CONSENTED_SCOPES,
                value::scopes(&connection.granted_scopes),
            ),
    }
    .done()
}

/// What the index says of a connection that it lists.
fn life_of(status: &ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Active | ConnectionStatus::Suspect { .. } => life::LIVE,
        ConnectionStatus::ReconnectRequired { .. } => life::DEAD,
        ConnectionStatus::Revoking { .. } | ConnectionStatus::Disconnected { .. } => life::ENDING,
    }
}

/// Reads an entry of the index.
pub(in super::super) fn read_listed(row: &Row) -> Result<Listed, StoreError> {
    let item = Reader::new(row, "index entry");
    let key = schema::parse_connection(item.text(PK)?, item.text(SK)?);
    Ok(Listed {
        key: key.ok_or_else(|| item.corrupt())?,
        life: match item.maybe_text(attr::LIFE)? {
            // An older version wrote none.
            Some(life::LIVE) | None => Life::Live,
            Some(life::DEAD) => Life::Dead,
            Some(life::ENDING) => Life::Ending,
            Some(_) => return Err(item.corrupt()),
        },
        connector_generation: item.number(attr::CONNECTOR_GENERATION)?,
        requested_scopes: item.scopes(attr::REQUESTED_SCOPES)?,
        consented_scopes: ScopeList::reported(
            item.maybe_list(attr::CONSENTED_SCOPES)?.unwrap_or_default(),
        ),
    })
}

/// When the item of a connection disconnected at `since` may go.
pub(in super::super) fn tombstone_ttl(since: Timestamp) -> AttributeValue {
    value::ttl(since.after(schema::TOMBSTONE_LIFETIME))
}

fn write_status(item: Writer, at: &ConnectionStatus) -> Writer {
    match at {
        ConnectionStatus::Active => item.with(attr::STATUS, value::text(status::ACTIVE)),
        ConnectionStatus::Suspect { since } => item
            .with(attr::STATUS, value::text(status::SUSPECT))
            .with(attr::SINCE, value::time(*since)),
        ConnectionStatus::ReconnectRequired { reason, since } => item
            .with(attr::STATUS, value::text(status::RECONNECT_REQUIRED))
            .with(attr::REASON, value::text(reason.as_str()))
            .with(attr::SINCE, value::time(*since)),
        ConnectionStatus::Revoking { since } => item
            .with(attr::STATUS, value::text(status::REVOKING))
            .with(attr::SINCE, value::time(*since)),
        ConnectionStatus::Disconnected { outcome, since } => item
            .with(attr::STATUS, value::text(status::DISCONNECTED))
            .with(attr::OUTCOME, value::text(outcome_name(*outcome)))
            .with(attr::SINCE, value::time(*since)),
    }
}

pub(in super::super) fn outcome_name(outcome: RevocationOutcome) -> &'static str {
    match outcome {
        RevocationOutcome::Revoked => "revoked",
        RevocationOutcome::Unsupported => "unsupported",
        RevocationOutcome::Failed => "failed",
    }
}

pub(in super::super) fn read_connection(row: &Row) -> Result<Connection, StoreError> {
    let item = Reader::new(row, "connection");
    let label = item.maybe_text(attr::ACCOUNT_LABEL)?.map(str::to_owned);
    Ok(Connection {
        key: schema::parse_connection(item.text(PK)?, item.text(SK)?)
            .ok_or_else(|| item.corrupt())?,
        id: item.id(attr::ID)?,
        status: read_status(&item)?,
        generation: item.number(attr::GENERATION)?,
        connector_generation: item.number(attr::CONNECTOR_GENERATION)?,
        sealed: item.maybe_bytes(attr::SEALED)?,
        validity: Validity {
            issued_at: item.time(attr::ISSUED_AT)?,
            expires_at: item.maybe_time(attr::EXPIRES_AT)?,
            grant_expires_at: item.maybe_time(attr::GRANT_EXPIRES_AT)?,
        },
        refreshable: item.flag(attr::REFRESHABLE)?,
        requested_scopes: item.scopes(attr::REQUESTED_SCOPES)?,
        granted_scopes: item.scopes(attr::GRANTED_SCOPES)?,
        account: item.maybe_text(attr::ACCOUNT_ID)?.map(|id| Account {
            id: id.to_owned(),
            label,
        }),
        due_at: item.maybe_time(attr::DUE_AT)?,
        open_attempts: item.maybe_number(attr::OPEN_ATTEMPTS)?.unwrap_or(0),
        open_since: item.maybe_time(attr::OPEN_SINCE)?,
        outcome_lost: item.maybe_flag(attr::OUTCOME_LOST)?,
        failures: item.maybe_number(attr::FAILURES)?.unwrap_or(0),
        next_attempt_at: item.maybe_time(attr::NEXT_ATTEMPT_AT)?,
        created_at: item.time(attr::CREATED_AT)?,
        connected_at: item.time(attr::CONNECTED_AT)?,
        refreshed_at: item.maybe_time(attr::REFRESHED_AT)?,
        last_read_at: item.maybe_time(attr::LAST_READ_AT)?,
    })
}

fn read_status(item: &Reader<'_>) -> Result<ConnectionStatus, StoreError> {
    let since = || item.time(attr::SINCE);
    Ok(match item.text(attr::STATUS)? {
        status::ACTIVE => ConnectionStatus::Active,
        status::SUSPECT => ConnectionStatus::Suspect { since: since()? },
        status::RECONNECT_REQUIRED => ConnectionStatus::ReconnectRequired {
            reason: item.word::<ReconnectReason>(attr::REASON)?,
            since: since()?,
        },
        status::REVOKING => ConnectionStatus::Revoking { since: since()? },
        status::DISCONNECTED => ConnectionStatus::Disconnected {
            outcome: item.word(attr::OUTCOME)?,
            since: since()?,
        },
        _ => return Err(item.corrupt()),
    })
}

/// The store's own, as the lease is: a look-up alone asks for it.
pub(in super::super) fn write_readers(readers: &Readers) -> AttributeValue {
    let readers = readers.iter();
    let readers = readers.map(|(key, at)| (key.to_string(), value::time(*at)));
    AttributeValue::M(readers.collect())
}

pub(in super::super) fn read_readers(row: &Row) -> Result<Readers, StoreError> {
    let item = Reader::new(row, "connection");
    let readers = item.optional(attr::READERS, |readers| {
        let readers = readers.as_m().ok()?.iter();
        readers
            .map(|(key, at)| {
                let millis = at.as_n().ok()?.parse().ok()?;
                Some((ApiKeyId::parse(key).ok()?, Timestamp::from_millis(millis)))
            })
            .collect()
    })?;
    Ok(readers.unwrap_or_default())
}

/// The lease on a connection's item, and the last attempt that ended on it.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct LeaseState {
    pub(in super::super) owner: Option<AttemptId>,
    pub(in super::super) until: Option<Timestamp>,
    pub(in super::super) last_attempt: Option<AttemptId>,
}

pub(in super::super) fn read_lease(row: &Row) -> Result<LeaseState, StoreError> {
    let item = Reader::new(row, "lease");
    Ok(LeaseState {
        owner: item.maybe_id(attr::LEASE_OWNER)?,
        until: item.maybe_time(attr::LEASE_UNTIL)?,
        last_attempt: item.maybe_id(attr::LAST_ATTEMPT)?,
    })
}

//! Audit entries.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::schema::{self, GSI_PK, GSI_SK, SK, TTL, attr};
use super::{Reader, Row, Writer, value};
use crate::domain::audit::{Action, Actor, AuditEntry, AuditId, Origin, Outcome, ProviderSaid};
use crate::domain::ids::{ApiKeyId, UserId, WorkspaceId};
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// The value of [`attr::SUBJECT`] where an entry is about the app's own account.
const SHARED: &str = "app";

pub(in super::super) fn write_entry(entry: &AuditEntry, kept_for: Duration) -> Row {
    let actor = &entry.origin.actor;
    let user = entry.subject.as_ref().and_then(Subject::user);
    let is_shared = entry.subject == Some(Subject::App);
    let said = entry.provider_said.as_ref();
    let text = |text: &str| value::text(text);
    let item = Writer::new(schema::audit(&entry.workspace, &entry.id))
        .with(attr::WORKSPACE, text(entry.workspace.as_str()))
        .with(attr::AT, value::time(entry.time))
        .with(attr::ACTOR_KIND, text(actor.kind()))
        .with_some(attr::ACTOR_ID, actor_id(actor).map(text))
        .with_some(
            attr::REQUEST_ID,
            entry.origin.request_id.as_deref().map(text),
        )
        .with(attr::ACTION, text(entry.action.as_str()))
        .with(attr::OUTCOME, text(entry.outcome.as_str()))
        .with_some(attr::REASON, entry.reason.as_deref().map(text))
        .with_some(
            attr::PROVIDER_ERROR,
            said.map(|said| text(said.error.as_str())),
        )
        .with_some(
            attr::PROVIDER_ERROR_DESCRIPTION,
            said.and_then(|said| said.description.as_deref()).map(text),
        )
        .with_some(
            attr::CONNECTOR,
            entry.connector.as_ref().map(|id| text(id.as_str())),
        )
        .with_some(attr::APP, entry.app.as_ref().map(|id| text(id.as_str())))
        .with_some(attr::USER, user.map(|id| text(id.as_str())))
        .with_some(attr::SUBJECT, is_shared.then(|| text(SHARED)))
        .with_some(
            attr::CONNECTION,
            entry.connection.as_ref().map(|id| text(id.as_str())),
        )
        .with_some(
            attr::API_KEY,
            entry.key.as_ref().map(|id| text(id.as_str())),
        )
        .with(TTL, value::ttl(entry.time.after(kept_for)));
    match user {
        Some(user) => item
            .with(
                GSI_PK,
                value::text(schema::audit_by_user(&entry.workspace, user)),
            )
            .with(GSI_SK, text(entry.id.as_str())),
        None => item,
    }
    .done()
}

fn actor_id(actor: &Actor) -> Option<&str> {
    match actor {
        Actor::Admin(user) | Actor::User(user) => Some(user.as_str()),
        Actor::AppKey(key) => Some(key.as_str()),
        Actor::System => None,
    }
}

/// `None` for an action of a newer version (F47).
pub(in super::super) fn read_entry(row: &Row) -> Result<Option<AuditEntry>, StoreError> {
    let item = Reader::new(row, "audit entry");
    let Some(action) = Action::parse(item.text(attr::ACTION)?) else {
        return Ok(None);
    };
    let id = AuditId::parse(item.text(SK)?).ok_or_else(|| item.corrupt())?;
    let actor = match item.text(attr::ACTOR_KIND)? {
        "admin" => Actor::Admin(item.id(attr::ACTOR_ID)?),
        "user" => Actor::User(item.id(attr::ACTOR_ID)?),
        "app_key" => Actor::AppKey(item.id(attr::ACTOR_ID)?),
        "system" => Actor::System,
        _ => return Err(item.corrupt()),
    };
    Ok(Some(AuditEntry {
        id,
        time: item.time(attr::AT)?,
        workspace: item.id(attr::WORKSPACE)?,
        origin: Origin {
            actor,
            request_id: item.maybe_text(attr::REQUEST_ID)?.map(str::to_owned),
        },
        action,
        outcome: item.word::<Outcome>(attr::OUTCOME)?,
        reason: item.maybe_text(attr::REASON)?.map(str::to_owned),
        provider_said: read_said(&item)?,
        connector: item.maybe_id(attr::CONNECTOR)?,
        app: item.maybe_id(attr::APP)?,
        subject: read_subject(&item)?,
        connection: item.maybe_id(attr::CONNECTION)?,
        key: item.maybe_id(attr::API_KEY)?,
    }))
}

fn read_said(item: &Reader<'_>) -> Result<Option<ProviderSaid>, StoreError> {
    let Some(error) = item.maybe_text(attr::PROVIDER_ERROR)? else {
        return Ok(None);
    };
    Ok(Some(ProviderSaid {
        error: error.to_owned(),
        description: item
            .maybe_text(attr::PROVIDER_ERROR_DESCRIPTION)?
            .map(str::to_owned),
    }))
}

fn read_subject(item: &Reader<'_>) -> Result<Option<Subject>, StoreError> {
    match item.maybe_text(attr::SUBJECT)? {
        None => Ok(item.maybe_id(attr::USER)?.map(Subject::User)),
        Some(SHARED) => Ok(Some(Subject::App)),
        Some(_) => Err(item.corrupt()),
    }
}

/// Remembers that a key's bulk read of a day was told.
pub(in super::super) fn write_bulk_read(key: &ApiKeyId, day: i64) -> Row {
    let began = Timestamp::from_millis(day.saturating_mul(24 * 3_600_000));
    Writer::new(schema::bulk_read_of(key, day))
        .with(TTL, value::ttl(began.after(schema::BULK_LIFETIME)))
        .done()
}

/// Where a query of the table, or of the index for a user, goes on after an entry.
pub(in super::super) fn position_after(
    id: &AuditId,
    of: &WorkspaceId,
    user: Option<&UserId>,
) -> Row {
    let mut position = Writer::new(schema::audit(of, id));
    if let Some(user) = user {
        position = position
            .with(GSI_PK, value::text(schema::audit_by_user(of, user)))
            .with(GSI_SK, AttributeValue::S(id.as_str().to_owned()));
    }
    position.done()
}

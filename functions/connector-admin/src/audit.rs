//! `GET /v1/audit`: what happened in a workspace.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::audit::{
    Action, Actor, AuditEntry, AuditFilter, AuditId, Outcome, ProviderSaid,
};
use shared::domain::connector::ConnectorKind;
use shared::domain::ids::{ApiKeyId, AppId, ConnectionId, ConnectorId, UserId};
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::http::identity::Admin;
use shared::http::problem::Problem;
use shared::http::request::Query;
use shared::http::respond::{self, List};

use crate::State;

#[derive(Serialize)]
struct View {
    id: AuditId,
    time: Timestamp,
    actor: Actor,
    action: Action,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_said: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector_id: Option<ConnectorId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<AppId>,
    /// Whose account it is about: a user's own, or an app's.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<ConnectorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<ConnectionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<ApiKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// A provider's own words, named as the provider names them.
#[derive(Serialize)]
struct Said {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<String>,
}

impl From<ProviderSaid> for Said {
    fn from(said: ProviderSaid) -> Self {
        Self {
            error: said.error,
            error_description: said.description,
        }
    }
}

impl From<AuditEntry> for View {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            time: entry.time,
            actor: entry.origin.actor,
            action: entry.action,
            outcome: entry.outcome,
            reason: entry.reason,
            provider_said: entry.provider_said.map(Said::from),
            connector_id: entry.connector,
            app_id: entry.app,
            subject: entry.subject.as_ref().map(Subject::kind),
            user_id: entry.subject.and_then(Option::from),
            connection_id: entry.connection,
            key_id: entry.key,
            request_id: entry.origin.request_id,
        }
    }
}

/// Every role may read it: a viewer is often the auditor.
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    admin: Admin,
    query: Query,
) -> Result<Response, Problem> {
    let page = state
        .audit
        .entries(
            &admin.workspace,
            &filter(&query)?,
            query.cursor(),
            query.limit()?,
        )
        .await?;
    let list = List {
        items: page.items.into_iter().map(View::from).collect(),
        next_cursor: page.next,
    };
    Ok(respond::json(StatusCode::OK, &list))
}

fn filter(query: &Query) -> Result<AuditFilter, Problem> {
    let action = query.get("action").map(|text| {
        let unknown = || Problem::field("action", "must be an action, such as token.read");
        Action::parse(text).ok_or_else(unknown)
    });
    Ok(AuditFilter {
        connector: query
            .get("connector_id")
            .map(ConnectorId::parse)
            .transpose()?,
        user: query.get("user_id").map(UserId::parse).transpose()?,
        app: None,
        action: action.transpose()?,
        from: instant(query, "from")?,
        to: instant(query, "to")?,
    })
}

fn instant(query: &Query, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let read =
        |text| Timestamp::parse(text).ok_or_else(|| Problem::field(name, "must be RFC 3339"));
    query.get(name).map(read).transpose()
}

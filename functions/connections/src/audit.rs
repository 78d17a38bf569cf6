//! `GET /v1/me/audit`: what happened to a user's own connections in this app.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::audit::{Action, AuditEntry, AuditFilter, AuditId, Outcome};
use shared::domain::ids::{ConnectionId, ConnectorId};
use shared::domain::time::Timestamp;
use shared::http::identity::User;
use shared::http::problem::Problem;
use shared::http::request::Query;
use shared::http::respond::{self, List};

use crate::State;

#[derive(Serialize)]
struct Item {
    id: AuditId,
    time: Timestamp,
    /// The kind alone: who the admins of a workspace are is theirs to tell.
    actor: &'static str,
    action: Action,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector_id: Option<ConnectorId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<ConnectionId>,
}

pub(crate) async fn mine(
    extract::State(state): extract::State<State>,
    user: User,
    query: Query,
) -> Result<Response, Problem> {
    let own = AuditFilter {
        app: Some(user.app),
        user: Some(user.user),
        ..AuditFilter::default()
    };
    let page = state
        .audit
        .entries(&user.workspace, &own, query.cursor(), query.limit()?)
        .await?;
    let list = List {
        items: page.items.into_iter().map(item).collect(),
        next_cursor: page.next,
    };
    Ok(respond::json(StatusCode::OK, &list))
}

fn item(entry: AuditEntry) -> Item {
    Item {
        id: entry.id,
        time: entry.time,
        actor: entry.origin.actor.kind(),
        action: entry.action,
        outcome: entry.outcome,
        reason: entry.reason,
        connector_id: entry.connector,
        connection_id: entry.connection,
    }
}

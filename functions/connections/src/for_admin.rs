//! The connections of one connector.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::connection::{Connection, ReconnectReason};
use shared::domain::connector::Connector;
use shared::domain::handout::{Standing, missing_scopes, standing_at};
use shared::domain::ids::{AppId, ConnectionId, ConnectorId, UserId};
use shared::domain::scopes::ScopeList;
use shared::domain::time::Timestamp;
use shared::http::identity::Admin;
use shared::http::problem::Problem;
use shared::http::request::{PathIds, Query};
use shared::http::respond::{self, List};

use crate::State;

#[derive(Debug, Serialize)]
struct Item {
    connection_id: ConnectionId,
    app_id: AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReconnectReason>,
    granted_scopes: ScopeList,
    missing_scopes: ScopeList,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_label: Option<String>,
    connected_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    refreshed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read_at: Option<Timestamp>,
}

pub(crate) async fn of_connector(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
    query: Query,
) -> Result<Response, Problem> {
    let connector = state.registry.connector(&admin.workspace, &id).await?;
    let connector = connector.ok_or_else(Problem::not_found)?;
    let page = state
        .connections
        .of_connector(&admin.workspace, &id, query.cursor(), query.limit()?)
        .await?;
    let now = state.clock.now();
    let items = page
        .items
        .into_iter()
        .map(|connection| item(&connector, connection, now));
    let list = List {
        items: items.collect(),
        next_cursor: page.next,
    };
    Ok(respond::json(StatusCode::OK, &list))
}

fn item(connector: &Connector, connection: Connection, now: Timestamp) -> Item {
    let (status, reason) = match standing_at(connector, &connection, now) {
        Standing::Connected => ("connected", None),
        Standing::ReconnectRequired(reason) => ("reconnect_required", Some(reason)),
        Standing::NotConnected => ("disconnecting", None),
    };
    Item {
        status,
        reason,
        missing_scopes: missing_scopes(connector, &connection),
        connection_id: connection.id,
        app_id: connection.key.app,
        user_id: connection.key.subject.into(),
        granted_scopes: connection.granted_scopes,
        account_label: connection.account.and_then(|account| account.label),
        connected_at: connection.connected_at,
        refreshed_at: connection.refreshed_at,
        last_read_at: connection.last_read_at,
    }
}

//! The connectors of an app with one user's status in each.

use std::collections::BTreeMap;

use axum::extract::{self, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::app::KeyScope;
use shared::domain::connection::{Connection, ReconnectReason};
use shared::domain::connector::Connector;
use shared::domain::handout::{Standing, missing_scopes, outlives_its_token, standing_at};
use shared::domain::ids::{AppId, ConnectionId, ConnectorId, ProviderId, UserId, WorkspaceId};
use shared::domain::scopes::ScopeList;
use shared::domain::time::Timestamp;
use shared::http::identity::{AppBackend, User};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::Problem;
use shared::http::request::{PathIds, Query};
use shared::http::respond::{self, List};

use crate::State;

#[derive(Debug, Serialize)]
struct Item {
    connector_id: ConnectorId,
    name: String,
    provider: ProviderId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReconnectReason>,
    #[serde(flatten)]
    connection: Option<Details>,
}

#[derive(Debug, Serialize)]
struct Details {
    connection_id: ConnectionId,
    granted_scopes: ScopeList,
    missing_scopes: ScopeList,
    refreshable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_label: Option<String>,
    connected_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read_at: Option<Timestamp>,
}

pub(crate) async fn mine(
    extract::State(state): extract::State<State>,
    user: User,
    query: Query,
) -> Result<Response, Problem> {
    list(&state, &user.workspace, &user.app, &user.user, &query).await
}

pub(crate) async fn of_user(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let scope = KeyScope::ConnectionsRead;
    let backend = AppBackend::authenticate(&parts, &*state.registry, scope).await?;
    let PathIds(user) = PathIds::<UserId>::from_request_parts(&mut parts, &state).await?;
    backend.user(Rider::of(&parts), Some(&user))?;
    let query = Query::from_request_parts(&mut parts, &state).await?;
    list(&state, &backend.workspace, &backend.app, &user, &query).await
}

async fn list(
    state: &State,
    workspace: &WorkspaceId,
    app: &AppId,
    user: &UserId,
    query: &Query,
) -> Result<Response, Problem> {
    let connectors = state
        .registry
        .connectors(workspace, query.cursor(), query.limit()?)
        .await?;
    let connections = state.connections.of_user(workspace, app, user).await?;
    let connections: BTreeMap<_, _> = connections
        .into_iter()
        .filter(|connection| connection.key.alias.is_none())
        .map(|connection| (connection.key.connector.clone(), connection))
        .collect();
    let now = state.clock.now();
    let items = connectors
        .items
        .iter()
        .filter(|connector| connector.serves(app))
        .map(|connector| item(connector, connections.get(&connector.id), now))
        .collect();
    Ok(respond::json(
        StatusCode::OK,
        &List {
            items,
            next_cursor: connectors.next,
        },
    ))
}

fn item(connector: &Connector, connection: Option<&Connection>, now: Timestamp) -> Item {
    let standing = connection.map_or(Standing::NotConnected, |connection| {
        standing_at(connector, connection, now)
    });
    let (status, reason) = match standing {
        Standing::Connected => ("connected", None),
        Standing::ReconnectRequired(reason) => ("reconnect_required", Some(reason)),
        Standing::NotConnected => ("not_connected", None),
    };
    let shown = connection.filter(|_| standing != Standing::NotConnected);
    Item {
        connector_id: connector.id.clone(),
        name: connector.name.clone(),
        provider: connector.provider.clone(),
        status,
        reason,
        connection: shown.map(|connection| details(connector, connection)),
    }
}

fn details(connector: &Connector, connection: &Connection) -> Details {
    Details {
        connection_id: connection.id.clone(),
        granted_scopes: connection.granted_scopes.clone(),
        missing_scopes: missing_scopes(connector, connection),
        refreshable: outlives_its_token(connection),
        account_label: connection
            .account
            .as_ref()
            .and_then(|account| account.label.clone()),
        connected_at: connection.connected_at,
        last_read_at: connection.last_read_at,
    }
}

//! The connectors of an app with one user's status in each.

use std::collections::BTreeMap;

use axum::extract::{self, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::catalogue::{self, Field};
use shared::domain::app::KeyScope;
use shared::domain::connection::{Connection, ReconnectReason};
use shared::domain::connector::{Accounts, Connector, ConnectorKind, ConnectorStatus};
use shared::domain::handout::{
    Standing, missing_scopes, outlives_its_token, standing, standing_at,
};
use shared::domain::ids::WorkspaceId;
use shared::domain::ids::{Alias, AppId, ConnectionId, ConnectorId, ProviderId, UserId};
use shared::domain::scopes::ScopeList;
use shared::domain::time::Timestamp;
use shared::http::identity::{AppBackend, User};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::Problem;
use shared::http::request::{PathIds, Query};
use shared::http::respond::{self, List};

use crate::State;
use crate::siblings::{Sibling, Siblings};

#[derive(Debug, Serialize)]
struct Item {
    connector_id: ConnectorId,
    name: String,
    provider: ProviderId,
    /// Whatever the status, nothing is handed out before an admin enables it again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    connector_disabled: bool,
    /// What whoever connects an account is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    /// The default account.
    #[serde(flatten)]
    default: Account,
    /// Every account that is connected, where there may be or have been several.
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<Account>>,
}

#[derive(Debug, Serialize)]
struct Account {
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<Alias>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ends_with_it: Vec<Sibling>,
}

pub(crate) async fn mine(
    extract::State(state): extract::State<State>,
    user: User,
    query: Query,
) -> Result<Response, Problem> {
    // To its users an app that is being deleted is gone.
    let app = state.registry.app(&user.workspace, &user.app).await?;
    if app.is_none_or(|app| app.is_deleting()) {
        return Err(Problem::not_found());
    }
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
    let mut by_connector = BTreeMap::<_, Vec<_>>::new();
    for connection in &connections {
        let of = by_connector.entry(&connection.key.connector);
        of.or_default().push(connection);
    }
    let siblings = Siblings::among(state, workspace, &connectors.items, &connections).await?;
    let now = state.clock.now();
    let items = connectors
        .items
        .iter()
        .filter(|connector| connector.is_for(app) && connector.kind == ConnectorKind::User)
        .map(|connector| {
            let own = by_connector.get(&connector.id);
            let own = own.map_or(&[][..], Vec::as_slice);
            item(connector, own, &siblings, now)
        })
        .collect();
    Ok(respond::json(
        StatusCode::OK,
        &List {
            items,
            next_cursor: connectors.next,
        },
    ))
}

fn item(
    connector: &Connector,
    own: &[&Connection],
    siblings: &Siblings<'_>,
    now: Timestamp,
) -> Item {
    let connected: Vec<&Connection> = own
        .iter()
        .copied()
        .filter(|one| standing(connector, one, None) != Standing::NotConnected)
        .collect();
    let default = connected.iter().find(|one| one.key.alias.is_none());
    let aliases = connected.iter().any(|one| one.key.alias.is_some());
    let several = aliases || connector.accounts == Accounts::Several;
    Item {
        connector_id: connector.id.clone(),
        name: connector.name.clone(),
        provider: connector.provider.clone(),
        fields: catalogue::asked_of_users(connector),
        connector_disabled: connector.status != ConnectorStatus::Enabled,
        default: account(connector, default.copied(), siblings, now),
        accounts: several.then(|| {
            let accounts = connected.iter();
            let accounts = accounts.map(|one| account(connector, Some(one), siblings, now));
            accounts.collect()
        }),
    }
}

fn account(
    connector: &Connector,
    connection: Option<&Connection>,
    siblings: &Siblings<'_>,
    now: Timestamp,
) -> Account {
    let standing = connection.map_or(Standing::NotConnected, |connection| {
        standing_at(connector, connection, now)
    });
    let (status, reason) = match standing {
        Standing::Connected => ("connected", None),
        Standing::ReconnectRequired(reason) => ("reconnect_required", Some(reason)),
        Standing::NotConnected => ("not_connected", None),
    };
    let shown = connection.filter(|_| standing != Standing::NotConnected);
    Account {
        alias: shown.and_then(|connection| connection.key.alias.clone()),
        status,
        reason,
        connection: shown.map(|connection| details(connector, connection, siblings)),
    }
}

fn details(connector: &Connector, connection: &Connection, siblings: &Siblings<'_>) -> Details {
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
        ends_with_it: siblings.of(connection),
    }
}

//! The look-up as Base44's JavaScript SDK asks for it (`asServiceRole.connectors`): the account of
//! the user whose JWT comes along, or the one that everyone in the app uses, named by its
//! connector or by its provider.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{self, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::app::{KeyScope, PresentedApiKey};
use shared::domain::connection::ConnectionKey;
use shared::domain::connector::{Connector, ConnectorKind};
use shared::domain::handout::{Standing, standing};
use shared::domain::ids::{AppId, ConnectorId, ProviderId};
use shared::domain::subject::Subject;
use shared::http::identity::{AppBackend, presented_key};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::Problem;
use shared::http::request::PathIds;
use shared::http::respond;

use crate::hand_out::{Asked, HandedOut, hand_out};
use crate::{DEFAULT_MIN_TTL, State};

/// How many connectors are read at a time.
const PAGE: u32 = 100;

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    integration_type: &'a ProviderId,
    connection_config: &'a BTreeMap<String, String>,
}

/// `GET /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/token`.
pub(crate) async fn of_user(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let key = presented_key(&parts)?;
    let PathIds((app, connector)) =
        PathIds::<(AppId, ConnectorId)>::from_request_parts(&mut parts, &state).await?;
    let Some(rider) = Rider::of(&parts) else {
        // Without a key of the app it is that which is missing.
        let registry = &*state.engine.registry;
        let backend = AppBackend::authenticate(&parts, registry, KeyScope::TokensRead).await?;
        backend.at(&app)?;
        return Err(Problem::on_behalf_of_required());
    };
    let asked = Asked {
        rider: Some(rider),
        ..of_the_app(key, app, connector)
    };
    Ok(answer(&hand_out(&state, &parts, asked).await?))
}

/// `GET /api/apps/{app_id}/external-auth/tokens/connectors/{connector_id}`.
pub(crate) async fn of_app(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let key = presented_key(&parts)?;
    let PathIds((app, connector)) =
        PathIds::<(AppId, ConnectorId)>::from_request_parts(&mut parts, &state).await?;
    let asked = of_the_app(key, app, connector);
    Ok(answer(&hand_out(&state, &parts, asked).await?))
}

/// `GET /api/apps/{app_id}/external-auth/tokens/{integration_type}`.
pub(crate) async fn of_app_by_type(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let key = presented_key(&parts)?;
    // Before connectors are read: whoever makes up a key makes nobody read them.
    let registry = &*state.engine.registry;
    let backend = AppBackend::authenticate(&parts, registry, KeyScope::TokensRead).await?;
    let PathIds((app, provider)) =
        PathIds::<(AppId, ProviderId)>::from_request_parts(&mut parts, &state).await?;
    backend.at(&app)?;
    let connector = meant(&state, &backend, &provider).await?;
    let connector = connector.ok_or_else(Problem::not_connected)?;
    let asked = of_the_app(key, app, connector);
    Ok(answer(&hand_out(&state, &parts, asked).await?))
}

/// The app's own account, for as long as is usual.
fn of_the_app(key: PresentedApiKey, app: AppId, connector: ConnectorId) -> Asked<'static> {
    Asked {
        key,
        app: Some(app),
        connector,
        rider: None,
        named: None,
        alias: None,
        min_ttl: Duration::from_secs(DEFAULT_MIN_TTL),
        scopes: None,
    }
}

/// The connector whose account an app means by the name of its provider: the only one there is.
/// Of several the first that is connected, else the first that once was, else the first; the
/// oldest comes first.
async fn meant(
    state: &State,
    backend: &AppBackend,
    provider: &ProviderId,
) -> Result<Option<ConnectorId>, Problem> {
    let mut all = shared_of(state, backend, provider).await?;
    all.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    let mut once_connected = None;
    if all.len() > 1 {
        for connector in &all {
            let connection = account(backend, connector);
            let connection = state.engine.connections.connection(&connection).await?;
            match connection.map(|connection| standing(connector, &connection, None)) {
                Some(Standing::Connected) if connector.serves(&backend.app) => {
                    return Ok(Some(connector.id.clone()));
                }
                Some(Standing::Connected | Standing::ReconnectRequired(_)) => {
                    once_connected.get_or_insert(&connector.id);
                }
                Some(Standing::NotConnected) | None => {}
            }
        }
    }
    let first = all.first().map(|connector| &connector.id);
    Ok(once_connected.or(first).cloned())
}

/// The connectors of a provider that connect an account for everyone in the app.
async fn shared_of(
    state: &State,
    backend: &AppBackend,
    provider: &ProviderId,
) -> Result<Vec<Connector>, Problem> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = state
            .engine
            .registry
            .connectors(&backend.workspace, after.as_deref(), PAGE)
            .await?;
        found.extend(page.items.into_iter().filter(|connector| {
            connector.kind == ConnectorKind::App
                && connector.provider == *provider
                && connector.is_for(&backend.app)
        }));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn account(backend: &AppBackend, connector: &Connector) -> ConnectionKey {
    ConnectionKey {
        workspace: backend.workspace.clone(),
        app: backend.app.clone(),
        subject: Subject::App,
        connector: connector.id.clone(),
        alias: None,
    }
}

fn answer(handed_out: &HandedOut) -> Response {
    let tokens = &handed_out.fresh.tokens;
    let answer = Answer {
        access_token: tokens.access_token.expose(),
        integration_type: &handed_out.provider,
        connection_config: &tokens.connection_config,
    };
    respond::json(StatusCode::OK, &answer)
}

//! A fresh access token for an app's back end.
//!
//! A token that is still fresh costs one DynamoDB round trip, no KMS call while the workspace's
//! key is in memory, and no write but once an hour and key: the audit
//! entry and the note that it was read.

mod base44;
mod bulk;
mod caps;
mod exchange;
mod hand_out;
mod reading;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{self, FromRequest, Request};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::ids::{Alias, ConnectorId, UserId};
use shared::domain::rate::Meter;
use shared::domain::scopes::ScopeList;
use shared::domain::time::Timestamp;
use shared::http::identity::presented_key;
use shared::http::on_behalf_of::{OnBehalfOf, Rider};
use shared::http::problem::Problem;
use shared::http::request::Json;
use shared::http::respond;
use shared::ports::{Audit, Lookup};
use shared::refresh::{FreshTokens, RefreshEngine};

use hand_out::{Asked, hand_out};

/// The validity asked for when the caller names none.
const DEFAULT_MIN_TTL: u64 = 60;
/// The longest validity a caller may ask for, in seconds.
const MAX_MIN_TTL: u64 = 3600;

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// The read path.
    pub lookup: Arc<dyn Lookup>,
    /// Refreshes what is not fresh.
    pub engine: RefreshEngine,
    /// Counts what is read.
    pub meter: Arc<Mutex<Meter>>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// Verifies the JWTs of users for whom a back end asks.
    pub on_behalf_of: OnBehalfOf,
    /// How many connections a key may read in an hour before that is told.
    pub bulk_connections: u32,
}

/// The function's routes.
pub fn router(state: State) -> Router {
    let tokens = Router::new()
        .route("/v1/tokens", post(token))
        .route(
            "/api/apps/{app_id}/app-user-auth/connectors/{connector_id}/token",
            get(base44::of_user),
        )
        .with_state(state.clone());
    Router::new()
        .route("/v1/oauth/token", post(exchange::exchange))
        .route(
            "/api/apps/{app_id}/external-auth/tokens/connectors/{connector_id}",
            get(base44::of_app),
        )
        .route(
            "/api/apps/{app_id}/external-auth/tokens/{integration_type}",
            get(base44::of_app_by_type),
        )
        .with_state(state.clone())
        .merge(state.on_behalf_of.around(tokens))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    connector_id: ConnectorId,
    /// Whose token; absent where the user's JWT comes along, and for the account that everyone in
    /// the app uses.
    user_id: Option<UserId>,
    /// Which of several accounts; absent for the default one.
    alias: Option<Alias>,
    min_ttl: Option<u64>,
    scopes: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    scopes: &'a ScopeList,
    connection_config: &'a BTreeMap<String, String>,
}

async fn token(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = presented_key(&parts)?;
    let request = Request::from_parts(parts.clone(), body);
    let Json(wanted) = Json::<Wanted>::from_request(request, &()).await?;
    let asked = Asked {
        key,
        app: None,
        connector: wanted.connector_id,
        rider: Rider::of(&parts),
        named: wanted.user_id,
        alias: wanted.alias,
        min_ttl: Duration::from_secs(checked_min_ttl(wanted.min_ttl)?),
        scopes: checked_scopes(wanted.scopes.as_deref())?,
    };
    Ok(answer(&hand_out(&state, &parts, asked).await?.fresh))
}

fn checked_min_ttl(min_ttl: Option<u64>) -> Result<u64, Problem> {
    let min_ttl = min_ttl.unwrap_or(DEFAULT_MIN_TTL);
    if min_ttl > MAX_MIN_TTL {
        return Err(Problem::field(
            "min_ttl",
            format!("must be at most {MAX_MIN_TTL} seconds"),
        ));
    }
    Ok(min_ttl)
}

fn checked_scopes(scopes: Option<&[String]>) -> Result<Option<ScopeList>, Problem> {
    scopes
        .map(|scopes| ScopeList::parse(scopes.iter().map(String::as_str)))
        .transpose()
        .map_err(|error| Problem::field("scopes", error.to_string()))
}

fn answer(fresh: &FreshTokens) -> Response {
    let answer = Answer {
        access_token: fresh.tokens.access_token.expose(),
        token_type: "Bearer",
        expires_at: fresh.connection.validity.expires_at,
        scopes: &fresh.connection.granted_scopes,
        connection_config: &fresh.tokens.connection_config,
    };
    respond::json(StatusCode::OK, &answer)
}

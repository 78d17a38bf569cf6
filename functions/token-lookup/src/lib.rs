//! A fresh access token for an app's back end.
//!
//! A token that is still fresh costs one DynamoDB round trip, no KMS call while the workspace's
//! key is in memory, and no write but once an hour and key: the audit
//! entry and the note that it was read.

mod bulk;
mod caps;
mod reading;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{self, FromRequest, Request};
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::crypto::hash::hash;
use shared::domain::app::KeyScope;
use shared::domain::connection::ConnectionKey;
use shared::domain::handout::{Standing, standing};
use shared::domain::ids::{ConnectorId, UserId};
use shared::domain::rate::{Meter, minute_of};
use shared::domain::scopes::ScopeList;
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::http::identity::{AppBackend, presented_key};
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, RequestFacts};
use shared::http::respond;
use shared::ports::{Audit, Lookup, LookupKeys};
use shared::refresh::{FreshTokens, NotFresh, RefreshEngine};

/// The validity asked for when the caller names none.
const DEFAULT_MIN_TTL: u64 = 60;
/// The longest validity a caller may ask for, in seconds.
const MAX_MIN_TTL: u64 = 3600;

/// What the route needs.
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
    /// How many connections a key may read in an hour before that is told.
    pub bulk_connections: u32,
}

/// The function's route.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/v1/tokens", post(token))
        .with_state(state)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    connector_id: ConnectorId,
    user_id: UserId,
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
    let presented = presented_key(&parts)?;
    let request = Request::from_parts(parts.clone(), body);
    let Json(wanted) = Json::<Wanted>::from_request(request, &()).await?;
    let min_ttl = Duration::from_secs(checked_min_ttl(wanted.min_ttl)?);
    let scopes = checked_scopes(wanted.scopes.as_deref())?;

    // The key names workspace and app, so its record and the connection are read together. The
    // record decides whether the rest is looked at.
    let key = ConnectionKey {
        workspace: presented.workspace.clone(),
        app: presented.app.clone(),
        subject: Subject::User(wanted.user_id),
        connector: wanted.connector_id,
        alias: None,
    };
    let cached = state.engine.vault.cached(&key.workspace);
    let now = state.engine.clock.now();
    let keys = LookupKeys {
        api_key: hash(&presented.key),
        connection: key.clone(),
        with_workspace_keys: cached.is_none(),
        minute: minute_of(now),
    };
    let rows = state.lookup.lookup(&keys).await?;
    let record = rows.api_key.as_ref();
    let reader = AppBackend::admit(&parts, &presented, record, KeyScope::TokensRead)?;
    caps::pass(&state.meter, &*state.lookup, &keys, rows.reads, now).await?;

    let connector = rows
        .connector
        .filter(|connector| connector.serves(&key.app))
        .ok_or_else(Problem::not_connected)?;
    let connection = rows.connection.ok_or_else(Problem::not_connected)?;
    match standing(&connector, &connection, scopes.as_ref()) {
        Standing::Connected => {}
        Standing::ReconnectRequired(reason) => return Err(Problem::reconnect_required(reason)),
        Standing::NotConnected => return Err(Problem::not_connected()),
    }
    if let Some(wrapped) = &rows.workspace_keys {
        state.engine.vault.admit(&key.workspace, wrapped).await?;
    }
    let fresh = state
        .engine
        .fresh_tokens(&connector, connection, min_ttl)
        .await
        .map_err(refusal)?;
    RequestFacts::note(&parts, |facts| {
        facts.connection = Some(fresh.connection.id.clone());
    });
    reading::note(&state, &parts, &reader, &fresh.connection, &rows.readers).await;
    Ok(answer(&fresh))
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

fn refusal(reason: NotFresh) -> Problem {
    match reason {
        NotFresh::Gone => Problem::not_connected(),
        NotFresh::ReconnectRequired(reason) => Problem::reconnect_required(reason),
        NotFresh::ProviderUnavailable { retry_after } => Problem::new(
            Code::ProviderUnavailable,
            "the provider issued no fresh token; try again",
        )
        .retry_after(retry_after),
        NotFresh::KeysUnavailable { retry_after } => Problem::new(
            Code::KmsUnavailable,
            "the encryption key cannot be used at the moment",
        )
        .retry_after(retry_after),
        NotFresh::Unreadable => Problem::new(Code::Internal, "the fault has been recorded"),
    }
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

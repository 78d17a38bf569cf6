//! `/_control`: what [`FakeAs`](super::FakeAs) offers in its process, over HTTP and in JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::observe::{Counters, GrantView, IssuedSecret, LoggedRequest};
use super::script::{Behaviour, Script, When};
use super::server::Server;
use super::settings::{Client, Settings};

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/config", get(settings).patch(configure))
        .route("/clients", post(add_client))
        .route("/script", get(steps_left).post(push).delete(clear_script))
        .route("/counters", get(counters))
        .route("/requests", get(requests))
        .route("/secrets", get(secrets))
        .route("/grants", get(grants))
        .route("/grants/withdraw", post(withdraw))
        .route("/access-tokens/expire", post(expire))
        .route("/held", get(held))
        .route("/held/release", post(release))
        .route("/reset", post(reset))
}

/// A step as `POST /_control/script` takes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) when: When,
    pub(crate) behaviour: Behaviour,
    #[serde(default)]
    pub(crate) always: bool,
}

/// Whose grants or tokens; none means everybody's where that makes sense.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose<T> {
    pub(crate) account: T,
}

async fn settings(Shared(server): Shared<Arc<Server>>) -> Json<Settings> {
    Json(server.lock().state.settings.clone())
}

/// Replaces the members it names and leaves the others.
async fn configure(
    Shared(server): Shared<Arc<Server>>,
    Json(changes): Json<Map<String, Value>>,
) -> Response {
    let mut inner = server.lock();
    let mut all = json!(inner.state.settings);
    for (name, value) in changes {
        all[name] = value;
    }
    match serde_json::from_value(all) {
        Ok(settings) => {
            inner.state.settings = settings;
            Json(&inner.state.settings).into_response()
        }
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn add_client(Shared(server): Shared<Arc<Server>>, Json(client): Json<Client>) -> StatusCode {
    server.lock().state.add_client(client);
    StatusCode::NO_CONTENT
}

async fn push(Shared(server): Shared<Arc<Server>>, Json(step): Json<Step>) -> StatusCode {
    let mut inner = server.lock();
    match step.always {
        true => inner.script.always(step.when, step.behaviour),
        false => inner.script.push(step.when, step.behaviour),
    }
    StatusCode::NO_CONTENT
}

async fn steps_left(Shared(server): Shared<Arc<Server>>) -> Json<Value> {
    Json(json!({ "steps_left": server.lock().script.remaining() }))
}

async fn clear_script(Shared(server): Shared<Arc<Server>>) -> StatusCode {
    server.lock().script = Script::default();
    StatusCode::NO_CONTENT
}

async fn counters(Shared(server): Shared<Arc<Server>>) -> Json<Counters> {
    Json(server.lock().counters.clone())
}

async fn requests(Shared(server): Shared<Arc<Server>>) -> Json<Vec<LoggedRequest>> {
    Json(server.lock().log.clone())
}

async fn secrets(Shared(server): Shared<Arc<Server>>) -> Json<Vec<IssuedSecret>> {
    Json(server.lock().state.issued())
}

async fn grants(Shared(server): Shared<Arc<Server>>) -> Json<Vec<GrantView>> {
    Json(server.lock().state.grants())
}

async fn withdraw(
    Shared(server): Shared<Arc<Server>>,
    Json(whose): Json<Whose<String>>,
) -> Json<Value> {
    let now = server.now();
    Json(json!({ "withdrawn": server.lock().state.withdraw(&whose.account, now) }))
}

async fn expire(
    Shared(server): Shared<Arc<Server>>,
    Json(whose): Json<Whose<Option<String>>>,
) -> Json<Value> {
    let now = server.now();
    let expired = server
        .lock()
        .state
        .expire_access_tokens(whose.account.as_deref(), now);
    Json(json!({ "expired": expired }))
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    at_least: usize,
    #[serde(default)]
    wait_ms: u64,
}

/// Answers when enough requests are held or the wait is over, with the number there is.
async fn held(Shared(server): Shared<Arc<Server>>, Query(wait): Query<Wait>) -> Json<Value> {
    // Bounded, so that a client that went away does not leave a waiter behind for ever.
    let limit = Duration::from_millis(wait.wait_ms.min(30_000));
    let _ = tokio::time::timeout(limit, server.holds.wait_until(wait.at_least)).await;
    Json(json!({ "held": server.holds.held() }))
}

async fn release(Shared(server): Shared<Arc<Server>>) -> Json<Value> {
    Json(json!({ "released": server.holds.release() }))
}

async fn reset(Shared(server): Shared<Arc<Server>>) -> StatusCode {
    server.reset();
    StatusCode::NO_CONTENT
}

//! The running server: shared state behind one lock, and its routes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State as Shared};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::call::{Answer, Call};
use super::holds::Holds;
use super::observe::{Counters, LoggedRequest, Tally};
use super::script::{Behaviour, Endpoint, Script};
use super::settings::Settings;
use super::state::State;
use super::token::{self, Handle};
use super::{FakeAsConfig, authorize, control, pages, play};
use crate::loopback::{Clock, Line};

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) holds: Holds,
    clock: Clock,
    initial: Settings,
    inner: Mutex<Inner>,
}

/// Everything that changes. One lock, never held across an await: each request is handled in
/// one piece, as a provider with a transactional store does it.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) script: Script,
    pub(crate) counters: Counters,
    pub(crate) log: Vec<LoggedRequest>,
    arrived: u64,
    in_flight: BTreeMap<String, u64>,
}

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/authorize", get(authorize::begin))
        .route("/authorize/decision", post(authorize::decide))
        .route("/token", post(token_endpoint))
        .route("/revoke", post(revoke_endpoint))
        .route("/exchange", get(exchange_endpoint))
        .route("/userinfo", get(userinfo_endpoint))
        .route("/grants", get(pages::grants))
        .route("/jwks", get(jwks))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/openid-configuration", get(openid_metadata))
        .nest("/_control", control::routes())
        .with_state(server)
}

impl Server {
    pub(crate) fn new(config: FakeAsConfig, url: String) -> Self {
        let mut state = State::new(url.clone(), config.seed, config.settings.clone());
        config
            .clients
            .into_iter()
            .for_each(|client| state.add_client(client));
        let inner = Inner {
            state,
            script: Script::default(),
            counters: Counters::default(),
            log: Vec::new(),
            arrived: 0,
            in_flight: BTreeMap::new(),
        };
        Self {
            url,
            name: config.name,
            holds: Holds::new(),
            clock: config.clock,
            initial: config.settings,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reset(&self) {
        let mut inner = self.lock();
        inner.state.settings = self.initial.clone();
        inner.script = Script::default();
        inner.counters = Counters::default();
        inner.log.clear();
        drop(inner);
        self.holds.release();
    }

    /// Counts and logs a call, and takes its step of the script.
    pub(crate) fn admit(self: &Arc<Self>, call: &Call) -> Admitted {
        let now = self.now();
        let mut inner = self.lock();
        let caller = token::caller(&inner.state, call, now);
        inner.count(caller.client_id.as_deref(), |tally| match call.endpoint {
            Endpoint::Token | Endpoint::Exchange => {
                tally.token += 1;
                let kind = caller.grant_type.clone().unwrap_or_default();
                *tally.token_by_grant_type.entry(kind).or_default() += 1;
            }
            Endpoint::Revoke => tally.revoke += 1,
            Endpoint::Userinfo => tally.userinfo += 1,
        });
        let number = inner.record(LoggedRequest {
            number: 0,
            at_ms: now,
            request: call.endpoint.request_line().to_owned(),
            query: call.query.clone(),
            form: call.form.clone(),
            authorization: call.authorization.clone(),
            status: None,
        });
        let behaviour = inner.script.next(call.endpoint, &caller);
        let family = caller.family.filter(|_| call.endpoint == Endpoint::Token);
        if let Some(family) = &family {
            let current = inner.in_flight.entry(family.clone()).or_default();
            *current += 1;
            let current = *current;
            let most = inner
                .counters
                .max_in_flight_by_grant
                .entry(family.clone())
                .or_default();
            *most = current.max(*most);
        }
        drop(inner);
        Admitted {
            number,
            behaviour,
            flight: Flight {
                server: Arc::clone(self),
                family,
            },
        }
    }

    pub(crate) fn answered(&self, number: u64, status: u16) {
        let mut inner = self.lock();
        // A reset may have taken the entry away meanwhile.
        if let Some(entry) = inner
            .log
            .iter_mut()
            .rev()
            .find(|entry| entry.number == number)
        {
            entry.status = Some(status);
        }
    }
}

impl Inner {
    pub(crate) fn count(&mut self, client_id: Option<&str>, add: impl Fn(&mut Tally)) {
        add(&mut self.counters.total);
        if let Some(client_id) = client_id {
            add(self
                .counters
                .by_client
                .entry(client_id.to_owned())
                .or_default());
        }
    }

    /// Numbers and keeps a request.
    pub(crate) fn record(&mut self, request: LoggedRequest) -> u64 {
        self.arrived += 1;
        self.log.push(LoggedRequest {
            number: self.arrived,
            ..request
        });
        self.arrived
    }
}

pub(crate) struct Admitted {
    pub(crate) number: u64,
    pub(crate) behaviour: Option<Behaviour>,
    pub(crate) flight: Flight,
}

/// A refresh in flight for as long as this lives.
pub(crate) struct Flight {
    server: Arc<Server>,
    family: Option<String>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(family) = &self.family else { return };
        if let Some(current) = self.server.lock().in_flight.get_mut(family) {
            *current -= 1;
        }
    }
}

/// The parts of a request that the form endpoints read.
type Parts = (RawQuery, HeaderMap, Bytes);

async fn token_endpoint(
    Shared(server): Shared<Arc<Server>>,
    ConnectInfo(line): ConnectInfo<Line>,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    perform(
        &server,
        line,
        Endpoint::Token,
        (query, headers, body),
        token::token,
    )
    .await
}

async fn revoke_endpoint(
    Shared(server): Shared<Arc<Server>>,
    ConnectInfo(line): ConnectInfo<Line>,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    perform(
        &server,
        line,
        Endpoint::Revoke,
        (query, headers, body),
        token::revoke,
    )
    .await
}

async fn exchange_endpoint(
    Shared(server): Shared<Arc<Server>>,
    ConnectInfo(line): ConnectInfo<Line>,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    perform(
        &server,
        line,
        Endpoint::Exchange,
        (query, headers, body),
        token::exchange,
    )
    .await
}

async fn userinfo_endpoint(
    Shared(server): Shared<Arc<Server>>,
    ConnectInfo(line): ConnectInfo<Line>,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    perform(
        &server,
        line,
        Endpoint::Userinfo,
        (query, headers, body),
        token::userinfo,
    )
    .await
}

async fn perform(
    server: &Arc<Server>,
    line: Line,
    endpoint: Endpoint,
    (RawQuery(query), headers, body): Parts,
    handle: Handle,
) -> Response {
    let call = Call::read(endpoint, query, &headers, &body);
    let admitted = server.admit(&call);
    play::play(server, line, call, admitted, handle).await
}

/// RFC 7517 section 5.
async fn jwks(Shared(server): Shared<Arc<Server>>) -> Response {
    let state = &server.lock().state;
    if state.settings.keys_down {
        return Answer::empty(StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    Answer::json(StatusCode::OK, &state.jwks()).into_response()
}

/// RFC 8414.
async fn metadata(Shared(server): Shared<Arc<Server>>) -> Response {
    document(&server, 0)
}

/// OpenID Connect Discovery section 4, which lists the same endpoints.
async fn openid_metadata(Shared(server): Shared<Arc<Server>>) -> Response {
    document(&server, 1)
}

fn document(server: &Server, which: usize) -> Response {
    let url = &server.url;
    let settings = &server.lock().state.settings;
    if !settings.metadata_at[which] {
        return Answer::empty(StatusCode::NOT_FOUND).into_response();
    }
    let methods = json!(["client_secret_basic", "client_secret_post"]);
    let mut document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "revocation_endpoint": format!("{url}/revoke"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": settings.iss,
    });
    let members = document.as_object_mut().expect("an object");
    for (name, value) in &settings.metadata {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    Answer::json(StatusCode::OK, &document).into_response()
}

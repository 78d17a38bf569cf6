//! The start of a connect flow: the authorization session and the redirect to the provider.

mod begin;
mod redirect;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use shared::domain::address::AddressRules;
use shared::http::idempotency::Once;
use shared::http::identity::IdentityRules;
use shared::ports::{Clock, Entropy, KeyService, Registry, Sessions};
use url::Url;

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// Apps and connectors.
    pub registry: Arc<dyn Registry>,
    /// Authorization sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Seals the PKCE verifier.
    pub keys: Arc<dyn KeyService>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Claim names.
    pub identity: IdentityRules,
    /// Where browsers reach the API.
    pub public_url: Url,
    /// Which addresses a connector's endpoints may have.
    pub address_rules: AddressRules,
}

impl FromRef<State> for IdentityRules {
    fn from_ref(state: &State) -> Self {
        state.identity.clone()
    }
}

/// The function's routes; `once` stands around those that change something.
pub fn router(state: State, once: Once) -> Router {
    let changes = Router::new()
        .route("/v1/me/connections", post(begin::begin))
        .with_state(state.clone());
    Router::new()
        .route("/connect/{ticket}", get(redirect::redirect))
        .with_state(state)
        .merge(once.around(changes))
}

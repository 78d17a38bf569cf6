//! The start of a connect flow: the authorization session and the redirect to the provider.

mod base44;
mod begin;
mod redirect;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use shared::domain::address::AddressRules;
use shared::http::idempotency::Once;
use shared::http::identity::IdentityRules;
use shared::http::on_behalf_of::OnBehalfOf;
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

/// The function's routes; `once` stands around those that change something,
/// and `on_behalf_of` tells those of back ends who rides along.
pub fn router(state: State, once: Once, on_behalf_of: OnBehalfOf) -> Router {
    let of_backends = Router::new()
        .route("/v1/users/{user_id}/connections", post(begin::by_backend))
        .with_state(state.clone());
    let changes = Router::new()
        .route("/v1/me/connections", post(begin::by_user))
        .route(
            "/v1/connectors/{connector_id}/connect",
            post(begin::by_admin),
        )
        .route(
            "/api/apps/{app_id}/app-user-auth/connectors/{connector_id}/initiate",
            post(base44::initiate),
        )
        .with_state(state.clone());
    Router::new()
        .route("/connect/{ticket}", get(redirect::redirect))
        .with_state(state)
        .merge(once.clone().around(changes))
        // Who rides along is a part of who calls, so that is known first.
        .merge(on_behalf_of.around(once.around(of_backends)))
}

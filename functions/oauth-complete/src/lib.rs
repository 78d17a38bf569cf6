//! The end of a connect flow: proves the user, redeems the code, stores the token set.

mod complete;
mod confirm;
mod connect;
mod identify;
mod redeem;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use shared::crypto::vault::Vault;
use shared::domain::address::AddressRules;
use shared::events::Publisher;
use shared::http::idempotency::Once;
use shared::http::identity::IdentityRules;
use shared::id_token::IdTokens;
use shared::ports::{
    Audit, Clock, Connections, DueTable, Entropy, JobQueue, KeyService, ProviderApi, Registry,
    Sessions,
};
use url::Url;

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// Apps and connectors.
    pub registry: Arc<dyn Registry>,
    /// Authorization sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Connections.
    pub connections: Arc<dyn Connections>,
    /// Takes tokens that nobody may have, to be revoked.
    pub due: Arc<dyn DueTable>,
    /// Takes tokens that the table does not take.
    pub jobs: Arc<dyn JobQueue>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// Opens the code and the verifier.
    pub keys: Arc<dyn KeyService>,
    /// The workspaces' keys.
    pub vault: Arc<Vault>,
    /// Validates ID tokens.
    pub id_tokens: Arc<IdTokens>,
    /// The providers.
    pub providers: Arc<dyn ProviderApi>,
    /// Tells of new connections.
    pub publisher: Publisher,
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
        .route("/v1/me/connections/complete", post(complete::by_user))
        .route(
            "/v1/connectors/{connector_id}/connect/complete",
            post(complete::by_admin),
        )
        .with_state(state.clone());
    Router::new()
        .route("/oauth/confirm", get(confirm::show).post(confirm::decide))
        .with_state(state)
        .merge(once.around(changes))
}

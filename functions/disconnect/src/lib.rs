//! Disconnecting: hand-out stops with the answer, the provider is told, what is left is erased.
//! The same function tells providers again in the background, and works off connectors and apps
//! that are being deleted and connections that an admin has revoked.

mod background;
mod disconnect;
mod doomed;
mod erase;
mod revoke;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::delete;
use shared::crypto::vault::Vault;
use shared::domain::address::AddressRules;
use shared::events::Publisher;
use shared::http::idempotency::Once;
use shared::http::identity::IdentityRules;
use shared::http::on_behalf_of::OnBehalfOf;
use shared::ports::{Audit, Clock, Connections, DueTable, Entropy, ProviderApi, Registry};

pub use background::run;

/// What routes and job need.
#[derive(Clone)]
pub struct State {
    /// Connectors and API keys.
    pub registry: Arc<dyn Registry>,
    /// Connections.
    pub connections: Arc<dyn Connections>,
    /// Revocations and deletions that are due.
    pub due: Arc<dyn DueTable>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// The workspaces' keys.
    pub vault: Arc<Vault>,
    /// The providers.
    pub providers: Arc<dyn ProviderApi>,
    /// Tells of what ended.
    pub publisher: Publisher,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Claim names.
    pub identity: IdentityRules,
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
        .route(
            "/v1/users/{user_id}/connections/{connector_id}",
            delete(routes::by_app),
        )
        .route("/v1/users/{user_id}", delete(erase::user))
        .with_state(state.clone());
    let of_people = Router::new()
        .route("/v1/me/connections/{connector_id}", delete(routes::by_user))
        .route(
            "/api/apps/{app_id}/app-user-auth/connectors/{connector_id}",
            delete(routes::by_user_at_app),
        )
        .route(
            "/v1/connectors/{connector_id}/connections/{connection_id}",
            delete(routes::by_admin),
        )
        .with_state(state);
    // Who rides along is a part of who calls, so that is known first.
    let of_backends = on_behalf_of.around(once.clone().around(of_backends));
    once.around(of_people).merge(of_backends)
}

//! The admin API: connectors, apps and API keys of a workspace, the provider catalogue, and the
//! document that describes the whole API.

mod apps;
mod audit;
mod census;
mod connectors;
mod create;
mod discovery;
mod document;
mod input;
mod keys;
mod providers;
mod revocations;
mod switch;
mod update;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{delete, get, post};
use shared::crypto::vault::Vault;
use shared::domain::address::AddressRules;
use shared::domain::provider_hosts::ProviderHosts;
use shared::events::Publisher;
use shared::http::idempotency::Once;
use shared::http::identity::IdentityRules;
use shared::ports::{Audit, Clock, Connections, ConnectorHealth, Documents, Entropy, Registry};
use url::Url;

pub use document::OPENAPI;

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// Apps, keys, connectors.
    pub registry: Arc<dyn Registry>,
    /// How connections stand.
    pub connections: Arc<dyn Connections>,
    /// How connectors are doing.
    pub health: Arc<dyn ConnectorHealth>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// What issuers publish.
    pub documents: Arc<dyn Documents>,
    /// Seals client secrets.
    pub vault: Arc<Vault>,
    /// Tells of changes.
    pub publisher: Publisher,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Claim names and the plan gate.
    pub identity: IdentityRules,
    /// Where browsers reach the API.
    pub public_url: Url,
    /// Which addresses endpoints and return URLs may have.
    pub address_rules: AddressRules,
    /// Which hosts a connector's provider may have.
    pub provider_hosts: ProviderHosts,
}

impl FromRef<State> for IdentityRules {
    fn from_ref(state: &State) -> Self {
        state.identity.clone()
    }
}

/// The function's routes; `once` stands around those that change something.
pub fn router(state: State, once: Once) -> Router {
    let routes = Router::new()
        .route("/v1/providers", get(providers::list))
        .route("/v1/providers/{provider}", get(providers::view))
        .route("/v1/connectors", post(create::create).get(connectors::list))
        .route(
            "/v1/connectors/{connector_id}",
            get(connectors::view)
                .put(create::put)
                .patch(update::update)
                .delete(connectors::delete),
        )
        .route(
            "/v1/connectors/{connector_id}/disable",
            post(switch::disable),
        )
        .route("/v1/connectors/{connector_id}/enable", post(switch::enable))
        .route("/v1/revocations", post(revocations::revoke))
        .route(
            "/v1/apps/{app_id}",
            get(apps::view).put(apps::put).delete(apps::delete),
        )
        .route("/v1/apps/{app_id}/keys", post(keys::create).get(keys::list))
        .route("/v1/apps/{app_id}/keys/{key_id}", delete(keys::remove))
        .route("/v1/audit", get(audit::list))
        .with_state(state.clone());
    // What changes nothing is not kept for who asks again.
    let others = Router::new()
        .route(
            "/v1/connectors/{connector_id}/scope-plan",
            post(census::scope_plan),
        )
        .route("/openapi.json", get(document::serve))
        .with_state(state);
    once.around(routes).merge(others)
}

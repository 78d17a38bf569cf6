//! Who is connected to what: lists for users, for app back ends and for admins. Hands out no
//! token and can open none.

mod audit;
mod for_admin;
mod for_user;
mod siblings;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use shared::domain::address::AddressRules;
use shared::http::identity::IdentityRules;
use shared::http::on_behalf_of::OnBehalfOf;
use shared::ports::{Audit, Clock, Connections, Registry};

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// Connectors and API keys.
    pub registry: Arc<dyn Registry>,
    /// Connections.
    pub connections: Arc<dyn Connections>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// Time.
    pub clock: Arc<dyn Clock>,
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

/// The function's routes; `on_behalf_of` tells those of back ends who rides along.
pub fn router(state: State, on_behalf_of: OnBehalfOf) -> Router {
    let of_backends = Router::new()
        .route("/v1/users/{user_id}/connections", get(for_user::of_user))
        .with_state(state.clone());
    Router::new()
        .route("/v1/me/connectors", get(for_user::mine))
        .route(
            "/v1/connectors/{connector_id}/connections",
            get(for_admin::of_connector),
        )
        .route("/v1/me/audit", get(audit::mine))
        .with_state(state)
        .merge(on_behalf_of.around(of_backends))
}

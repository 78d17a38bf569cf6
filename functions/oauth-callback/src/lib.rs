//! The provider's return: checks, and keeps the sealed code. The code is not redeemed here;
//! that waits until the user who finished is proven to be the user who started (H-01).

mod callback;
mod finish;
mod posted;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use shared::ports::{Audit, Clock, Entropy, KeyService, Registry, Sessions};
use url::Url;

/// What the routes need. Nothing in it can open what it seals.
#[derive(Clone)]
pub struct State {
    /// Apps.
    pub registry: Arc<dyn Registry>,
    /// Authorization sessions.
    pub sessions: Arc<dyn Sessions>,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// Seals the code.
    pub keys: Arc<dyn KeyService>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where browsers reach the API.
    pub public_url: Url,
}

/// The function's routes.
pub fn router(state: State) -> Router {
    Router::new()
        .route(
            "/oauth/callback/{connector_id}",
            get(callback::callback).post(posted::posted),
        )
        .route("/oauth/finish", get(finish::finish))
        .with_state(state)
}

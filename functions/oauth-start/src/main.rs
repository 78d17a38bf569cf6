//! The Lambda function `oauth-start`.

use std::sync::Arc;

use oauth_start::{State, router};
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let once = wiring.once(&store, env!("CARGO_PKG_NAME"));
    let state = State {
        registry: Arc::clone(&store) as _,
        sessions: store,
        keys: wiring.kms(),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        identity: wiring.config.identity.clone(),
        public_url: wiring.config.public_url.clone(),
        address_rules: wiring.config.address_rules,
    };
    serve(with_telemetry(
        router(state, once, wiring.on_behalf_of()),
        wiring.telemetry,
        wiring.clock,
    ))
    .await
}

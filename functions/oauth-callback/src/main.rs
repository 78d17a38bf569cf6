//! The Lambda function `oauth-callback`.

use std::sync::Arc;

use oauth_callback::{State, router};
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let state = State {
        registry: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        audit: store,
        keys: wiring.kms(),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        public_url: wiring.config.public_url.clone(),
    };
    serve(with_telemetry(
        router(state),
        wiring.telemetry,
        wiring.clock,
    ))
    .await
}

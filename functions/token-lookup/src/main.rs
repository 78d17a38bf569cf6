//! The Lambda function `token-lookup`.

use std::sync::{Arc, Mutex};

use shared::domain::rate::Meter;
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;
use token_lookup::{State, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let vault = wiring.vault(&store);
    // On nobody's clock: the first caller does not wait for KMS. Without it they would.
    if let Err(error) = vault.warm().await {
        tracing::warn!(error = %error, "the root key was not opened ahead");
    }
    let engine = wiring.engine(&store, &vault);
    let state = State {
        lookup: Arc::clone(&store) as _,
        audit: store,
        bulk_connections: wiring.config.bulk_connections,
        engine,
        on_behalf_of: wiring.on_behalf_of(),
        meter: Arc::new(Mutex::new(Meter::new(wiring.config.caps))),
    };
    serve(with_telemetry(
        router(state),
        wiring.telemetry,
        Arc::clone(&wiring.clock),
    ))
    .await
}

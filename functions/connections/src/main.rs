//! The Lambda function `connections`.

use std::sync::Arc;

use connections::{State, router};
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let state = State {
        registry: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        audit: store,
        clock: Arc::clone(&wiring.clock),
        identity: wiring.config.identity.clone(),
        address_rules: wiring.config.address_rules,
    };
    serve(with_telemetry(
        router(state, wiring.on_behalf_of()),
        wiring.telemetry,
        wiring.clock,
    ))
    .await
}

//! The Lambda function `connector-admin`.

use std::sync::Arc;

use connector_admin::{State, router};
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let once = wiring.once(&store, env!("CARGO_PKG_NAME"));
    let state = State {
        registry: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        health: Arc::clone(&store) as _,
        audit: Arc::clone(&store) as _,
        documents: wiring.documents(),
        vault: wiring.vault(&store),
        publisher: wiring.publisher(&store),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        identity: wiring.config.identity.clone(),
        public_url: wiring.config.public_url.clone(),
        address_rules: wiring.config.address_rules,
        provider_hosts: wiring.config.provider_hosts.clone(),
    };
    serve(with_telemetry(
        router(state, once),
        wiring.telemetry,
        wiring.clock,
    ))
    .await
}

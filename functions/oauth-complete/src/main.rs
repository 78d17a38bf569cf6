//! The Lambda function `oauth-complete`.

use std::sync::Arc;

use oauth_complete::{State, router};
use shared::id_token::IdTokens;
use shared::runtime::lambda::{serve, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let once = wiring.once(&store, env!("CARGO_PKG_NAME"));
    let state = State {
        registry: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        jobs: wiring.bus(),
        audit: Arc::clone(&store) as _,
        keys: wiring.kms(),
        vault: wiring.vault(&store),
        providers: wiring.providers(),
        id_tokens: Arc::new(IdTokens::new(wiring.documents(), Arc::clone(&wiring.clock))),
        publisher: wiring.publisher(&store),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        identity: wiring.config.identity.clone(),
        public_url: wiring.config.public_url.clone(),
        address_rules: wiring.config.address_rules,
    };
    serve(with_telemetry(
        router(state, once),
        wiring.telemetry,
        wiring.clock,
    ))
    .await
}

//! The Lambda function `disconnect`.

use std::sync::Arc;

use disconnect::{State, router, run};
use shared::runtime::lambda::{Job, serve_with_job, with_telemetry};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let once = wiring.once(&store, env!("CARGO_PKG_NAME"));
    let state = State {
        registry: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        audit: Arc::clone(&store) as _,
        vault: wiring.vault(&store),
        providers: wiring.providers(),
        publisher: wiring.publisher(&store),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        identity: wiring.config.identity.clone(),
        address_rules: wiring.config.address_rules,
    };
    let routes = with_telemetry(
        router(state.clone(), once, wiring.on_behalf_of()),
        wiring.telemetry.clone(),
        Arc::clone(&wiring.clock),
    );
    let job = move |job: Job| {
        let state = state.clone();
        async move {
            match job.job.as_str() {
                "revoke_due" => Ok(run(&state).await),
                other => Err(format!("no job is called {other:?}").into()),
            }
        }
    };
    serve_with_job(routes, wiring.telemetry, wiring.clock, job).await
}

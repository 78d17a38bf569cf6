//! The Lambda function `token-refresher`.

use std::sync::Arc;

use shared::runtime::lambda::{Job, serve_job};
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let engine = wiring.engine(&store, &wiring.vault(&store));
    let publisher = wiring.publisher(&store);
    let job = move |job: Job| {
        let (engine, publisher) = (engine.clone(), publisher.clone());
        async move {
            match job.job.as_str() {
                "refresh_due" => Ok(token_refresher::run(&engine, &publisher).await?),
                other => Err(format!("no job is called {other:?}").into()),
            }
        }
    };
    serve_job(wiring.telemetry, Arc::clone(&wiring.clock), job).await
}

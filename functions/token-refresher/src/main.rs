//! The Lambda function `token-refresher`.

use std::sync::Arc;

use shared::runtime::lambda::{Job, serve_jobs};
use shared::runtime::queue::Batch;
use shared::runtime::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let wiring = Wiring::start().await?;
    let store = wiring.store();
    let engine = wiring.engine(&store, &wiring.vault(&store));
    let publisher = wiring.publisher(&store);
    let worker = engine.clone();
    let scheduled = move |job: Job| {
        let (engine, publisher) = (engine.clone(), publisher.clone());
        async move {
            match job.job.as_str() {
                "refresh_due" => Ok(token_refresher::tick(&engine, &publisher).await?),
                other => Err(format!("no job is called {other:?}").into()),
            }
        }
    };
    let queued = move |batch: Batch| {
        let engine = worker.clone();
        async move { token_refresher::work(&engine, batch).await }
    };
    serve_jobs(
        wiring.telemetry,
        Arc::clone(&wiring.clock),
        scheduled,
        queued,
    )
    .await
}

//! The work that keeps connections alive. By schedule: hands over what is due, and publishes
//! events whose first publication was lost. From the queues: does what was handed over.

use std::collections::BTreeMap;
use std::error::Error as _;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use shared::domain::job::Job;
use shared::events::Publisher;
use shared::ports::StoreError;
use shared::refresh::{DueOutcome, RefreshEngine, ShardReport, TickError};
use shared::runtime::lambda::JobReport;
use shared::runtime::queue::{Batch, BatchReport, Record};
use shared::runtime::telemetry::Metric;

/// How often what happened.
type Counts = BTreeMap<&'static str, u64>;

/// How many lost events one tick publishes per shard.
const RELAY_LIMIT: u32 = 100;
/// How many shards of the outbox are read at a time.
const RELAYS_AT_ONCE: usize = 64;

/// Why a tick failed; the next one is the retry.
#[derive(Debug, thiserror::Error)]
pub enum TickFailed {
    /// Not everything that is due was handed over.
    #[error("what is due was not handed over")]
    Refresh(#[from] TickError),
    /// The outbox did not answer.
    #[error("lost events were not published")]
    Relay(#[from] StoreError),
}

/// Does one tick.
///
/// # Errors
/// When one of its two tasks failed. The other was done nevertheless.
pub async fn tick(engine: &RefreshEngine, publisher: &Publisher) -> Result<JobReport, TickFailed> {
    let tick = engine.tick().await;
    let relayed = relay(engine, publisher).await;
    let (tick, relayed) = (tick?, relayed?);
    Ok(JobReport {
        outcome: "ok",
        facts: [("due_shards".to_owned(), json!(tick.due_shards))]
            .into_iter()
            .collect(),
        metrics: vec![
            count("relayed_events", relayed as f64),
            Metric {
                name: "oldest_due_age",
                unit: "Seconds",
                value: tick.oldest_due.as_secs_f64(),
            },
        ],
    })
}

async fn relay(engine: &RefreshEngine, publisher: &Publisher) -> Result<usize, StoreError> {
    let now = engine.clock.now();
    let shards: Vec<_> = stream::iter(0..engine.due.shards())
        .map(|shard| publisher.relay(shard, now, RELAY_LIMIT))
        .buffer_unordered(RELAYS_AT_ONCE)
        .collect()
        .await;
    shards.into_iter().sum()
}

/// Works off a batch of a queue, its messages side by side.
pub async fn work(engine: &RefreshEngine, batch: Batch) -> BatchReport {
    let done = join_all(batch.records.iter().map(|record| handle(engine, record))).await;
    let mut report = BatchReport::default();
    for (record, counts) in batch.records.iter().zip(done) {
        match counts {
            Some(counts) => {
                for (name, more) in counts {
                    *report.counts.entry(name).or_default() += more;
                }
            }
            None => report.failed.push(record.message_id.clone()),
        }
    }
    let refreshed = report.counts.get(DueOutcome::Refreshed.as_str());
    let refreshed = refreshed.map_or(0.0, |n| *n as f64);
    report
        .metrics
        .push(count("refreshed_connections", refreshed));
    report
}

/// Does one job and says what came of it; `None` when it has to be delivered again.
async fn handle(engine: &RefreshEngine, record: &Record) -> Option<Counts> {
    let id = record.message_id.as_str();
    let job = match serde_json::from_str::<Job>(&record.body) {
        Ok(job) => job,
        // What it says instead is not for the log: a body may hold sealed tokens.
        Err(error) => {
            let fault = error.classify();
            tracing::error!(message.id = id, ?fault, "message is no job");
            return None;
        }
    };
    let done = match job {
        Job::RefreshShard { shard } => engine.refresh_shard(shard).await.map(outcomes),
        Job::RetryRefresh { connection, id } => {
            let done = engine.retry_refresh(&connection, &id).await;
            done.map(|()| Counts::from([("retried", 1)]))
        }
        Job::StoreTokens(tokens) => {
            let done = engine.store_escrowed(&tokens).await;
            done.map(|()| Counts::from([("out_of_escrow", 1)]))
        }
        Job::StoreConnection(grant) => {
            let done = engine.store_connected(&grant).await;
            done.map(|()| Counts::from([("out_of_escrow", 1)]))
        }
    };
    done.inspect_err(|error| {
        let cause = error.source().map(ToString::to_string);
        tracing::error!(message.id = id, error = %error, cause, "job is left to the queue");
    })
    .ok()
}

fn outcomes(report: ShardReport) -> Counts {
    let outcomes = report.outcomes.into_iter();
    outcomes.map(|(it, n)| (it.as_str(), n)).collect()
}

fn count(name: &'static str, value: f64) -> Metric {
    Metric {
        name,
        unit: "Count",
        value,
    }
}

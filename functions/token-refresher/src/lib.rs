//! The scheduled work that keeps connections alive: refreshes what is due, and publishes events
//! whose first publication was lost.

use serde_json::{Map, json};
use shared::events::Publisher;
use shared::ports::StoreError;
use shared::refresh::{RefreshEngine, SweepReport};
use shared::runtime::lambda::JobReport;
use shared::runtime::telemetry::Metric;

/// How many lost events one run publishes per shard.
const RELAY_LIMIT: u32 = 100;

/// Does one run.
///
/// # Errors
/// When the outbox does not answer; what was due has been refreshed by then.
pub async fn run(engine: &RefreshEngine, publisher: &Publisher) -> Result<JobReport, StoreError> {
    let sweep = engine.sweep().await;
    let mut relayed = 0;
    for shard in 0..engine.due.shards() {
        relayed += publisher
            .relay(shard, engine.clock.now(), RELAY_LIMIT)
            .await?;
    }
    Ok(report(&sweep, relayed))
}

fn report(sweep: &SweepReport, relayed: usize) -> JobReport {
    let mut facts = Map::new();
    for (outcome, count) in &sweep.outcomes {
        facts.insert(outcome.as_str().into(), json!(count));
    }
    let count = |name, value| Metric {
        name,
        unit: "Count",
        value,
    };
    let refreshed = sweep.outcomes.get(&shared::refresh::DueOutcome::Refreshed);
    let lag = sweep.oldest_due.unwrap_or_default();
    JobReport {
        outcome: "ok",
        facts,
        metrics: vec![
            count(
                "refreshed_connections",
                refreshed.map_or(0.0, |n| *n as f64),
            ),
            count("relayed_events", relayed as f64),
            Metric {
                name: "oldest_due_age",
                unit: "Seconds",
                value: lag.as_secs_f64(),
            },
        ],
    }
}

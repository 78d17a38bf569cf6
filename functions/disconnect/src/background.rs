//! The scheduled half: connectors and apps that are being deleted, connectors whose connections are
//! revoked, and revocations that providers did not take at once. Reads what is due and nothing
//! else; the next run is the retry.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, json};
use shared::http::problem::Problem;
use shared::runtime::lambda::JobReport;
use shared::runtime::telemetry::Metric;

use crate::State;
use crate::doomed;
use crate::revoke::{Settled, revoke};

/// No piece of work begins later than this after the run did: the function is stopped after
/// 15 s, and one provider may take 10.
const START_WINDOW: Duration = Duration::from_secs(4);
/// How many providers are asked, or connections ended, side by side in each shard.
pub(crate) const CONCURRENCY: usize = 10;
pub(crate) const PAGE: u32 = 50;
/// How many shards are worked through side by side: one after the other, the reads of a thousand
/// that have nothing due would take all the time there is.
const SHARDS_AT_ONCE: usize = 8;

#[derive(Default)]
pub(crate) struct Counts {
    revoked: u64,
    postponed: u64,
    failed: u64,
    pub(crate) connectors_deleted: u64,
    pub(crate) apps_deleted: u64,
    /// Connectors of which everything that was revoked is ended.
    pub(crate) connectors_revoked: u64,
}

impl Counts {
    fn plus(mut self, other: &Self) -> Self {
        self.revoked += other.revoked;
        self.postponed += other.postponed;
        self.failed += other.failed;
        self.connectors_deleted += other.connectors_deleted;
        self.apps_deleted += other.apps_deleted;
        self.connectors_revoked += other.connectors_revoked;
        self
    }
}

/// Does one run.
pub async fn run(state: &State) -> JobReport {
    let last_start = state.clock.monotonic() + START_WINDOW;
    // What ends first: what they disconnect is then revoked in the same run.
    let ended = stream::iter(0..state.due.shards())
        .map(|shard| async move {
            let mut counts = Counts::default();
            let result = doomed::end(state, shard, last_start, &mut counts).await;
            note(result, shard, counts)
        })
        .buffer_unordered(SHARDS_AT_ONCE)
        .fold(Counts::default(), async |sum, one| sum.plus(&one))
        .await;
    let counts = stream::iter(0..state.due.shards())
        .map(|shard| async move {
            let mut counts = Counts::default();
            let result = revoke_due(state, shard, last_start, &mut counts).await;
            note(result, shard, counts)
        })
        .buffer_unordered(SHARDS_AT_ONCE)
        .fold(ended, async |sum, one| sum.plus(&one))
        .await;
    let mut facts = Map::new();
    facts.insert("revoked".into(), json!(counts.revoked));
    facts.insert("postponed".into(), json!(counts.postponed));
    facts.insert("failed".into(), json!(counts.failed));
    facts.insert(
        "connectors_deleted".into(),
        json!(counts.connectors_deleted),
    );
    facts.insert("apps_deleted".into(), json!(counts.apps_deleted));
    facts.insert(
        "connectors_revoked".into(),
        json!(counts.connectors_revoked),
    );
    let pending = Metric {
        name: "revocations_pending",
        unit: "Count",
        value: (counts.postponed + counts.failed) as f64,
    };
    JobReport {
        outcome: "ok",
        facts,
        metrics: vec![pending],
    }
}

/// A shard that failed is the next run's.
fn note(result: Result<(), Problem>, shard: u32, mut counts: Counts) -> Counts {
    if let Err(problem) = result {
        tracing::error!(shard, code = problem.code().as_str(), "shard was left");
        counts.failed += 1;
    }
    counts
}

/// Works through the revocations that are due. Each one that is not settled is postponed, so
/// the first page is always new.
async fn revoke_due(
    state: &State,
    shard: u32,
    last_start: Duration,
    counts: &mut Counts,
) -> Result<(), Problem> {
    while state.clock.monotonic() < last_start {
        let due = state
            .due
            .due_revocations(shard, state.clock.now(), PAGE)
            .await?;
        let full_page = due.len() == PAGE as usize;
        let outcomes: Vec<_> = stream::iter(due)
            .map(|(work, revocation)| async move {
                if state.clock.monotonic() >= last_start {
                    return None;
                }
                Some(revoke(state, &work, &revocation).await)
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let failed = outcomes.iter().any(Result::is_err);
        for outcome in outcomes {
            match outcome {
                Ok(Settled::Done(_)) => counts.revoked += 1,
                Ok(Settled::Later) => counts.postponed += 1,
                Err(_) => counts.failed += 1,
            }
        }
        // What failed would be read again at once.
        if !full_page || failed {
            break;
        }
    }
    Ok(())
}

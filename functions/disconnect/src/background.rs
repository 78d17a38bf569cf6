//! The scheduled half: revocations that providers did not take at once, and connectors that
//! are being deleted. Reads what is due and nothing else; the next run is the retry.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, json};
use shared::domain::connector::ConnectorStatus;
use shared::domain::event::Change;
use shared::domain::ids::{ConnectorId, WorkspaceId};
use shared::events::connector_event;
use shared::http::problem::Problem;
use shared::ports::DueWork;
use shared::runtime::lambda::JobReport;
use shared::runtime::telemetry::Metric;

use crate::State;
use crate::disconnect::{stop, tell_provider};
use crate::revoke::{Settled, revoke};

/// No piece of work begins later than this after the run did: the function is stopped after
/// 15 s, and one provider may take 10.
const START_WINDOW: Duration = Duration::from_secs(4);
const CONCURRENCY: usize = 10;
const PAGE: u32 = 50;
/// A connector is gone no sooner than this after its deletion began: the index of its
/// connections lags behind the table, and a connect that came just before must be seen.
const INDEX_SETTLES: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Counts {
    revoked: u64,
    postponed: u64,
    failed: u64,
    connectors_deleted: u64,
}

/// Does one run over `shards` shards.
pub async fn run(state: &State, shards: u32) -> JobReport {
    let last_start = state.clock.monotonic() + START_WINDOW;
    let mut counts = Counts::default();
    for shard in 0..shards {
        if let Err(problem) = run_shard(state, shard, last_start, &mut counts).await {
            tracing::error!(shard, code = problem.code().as_str(), "shard was left");
            counts.failed += 1;
        }
    }
    let mut facts = Map::new();
    facts.insert("revoked".into(), json!(counts.revoked));
    facts.insert("postponed".into(), json!(counts.postponed));
    facts.insert("failed".into(), json!(counts.failed));
    facts.insert(
        "connectors_deleted".into(),
        json!(counts.connectors_deleted),
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

async fn run_shard(
    state: &State,
    shard: u32,
    last_start: Duration,
    counts: &mut Counts,
) -> Result<(), Problem> {
    let in_time = || state.clock.monotonic() < last_start;
    let now = state.clock.now();
    let due = state.due.due_revocations(shard, now, PAGE).await?;
    let outcomes: Vec<_> = stream::iter(&due)
        .map(|(work, revocation)| async move {
            if in_time() {
                Some(revoke(state, work, revocation).await)
            } else {
                None
            }
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    for outcome in outcomes {
        match outcome {
            Ok(Settled::Done(_)) => counts.revoked += 1,
            Ok(Settled::Later) => counts.postponed += 1,
            Err(_) => counts.failed += 1,
        }
    }
    for (work, workspace, connector) in state.due.due_deletions(shard, now, PAGE).await? {
        if in_time() && delete_connector(state, &work, &workspace, &connector, last_start).await? {
            counts.connectors_deleted += 1;
        }
    }
    Ok(())
}

/// Disconnects the next page of a connector's connections. `true` when none was left and the
/// connector is gone. Resumable at any point: what is disconnected leaves the index.
async fn delete_connector(
    state: &State,
    work: &DueWork,
    workspace: &WorkspaceId,
    id: &ConnectorId,
    last_start: Duration,
) -> Result<bool, Problem> {
    let page = state
        .connections
        .of_connector(workspace, id, None, PAGE)
        .await?;
    let now = state.clock.now();
    stream::iter(
        page.items
            .iter()
            .filter(|connection| !connection.status.is_gone()),
    )
    .for_each_concurrent(CONCURRENCY, |connection| async move {
        if state.clock.monotonic() >= last_start {
            return;
        }
        match stop(state, connection, now).await {
            Ok(Some(revocation)) => {
                tell_provider(state, &revocation).await;
            }
            // It changed; the next run sees it as it is then.
            Ok(None) => {}
            Err(error) => tracing::warn!(
                connection.id = %connection.id, error = %error, "was not disconnected"
            ),
        }
    })
    .await;
    let Some(connector) = state.registry.connector(workspace, id).await? else {
        return Ok(false);
    };
    let settled = match connector.status {
        ConnectorStatus::Deleting { since } => now.since(since) >= INDEX_SETTLES,
        ConnectorStatus::Enabled => false,
    };
    if !page.items.is_empty() || !settled {
        return Ok(false);
    }
    let event = connector_event(&*state.entropy, &connector, Change::ConnectorDeleted, now);
    let gone = state
        .registry
        .finish_connector_deletion(workspace, id, work, &event)
        .await?;
    if gone {
        state.publisher.publish(&event).await;
    }
    Ok(gone)
}

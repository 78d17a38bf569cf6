//! The scheduled half: revocations that providers did not take at once, and connectors and apps
//! that are being deleted. Reads what is due and nothing else; the next run is the retry.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, json};
use shared::domain::app::AppStatus;
use shared::domain::audit::Origin;
use shared::domain::connection::Connection;
use shared::domain::connector::ConnectorStatus;
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectorId, WorkspaceId};
use shared::domain::session::{CODE_LIFETIME, SESSION_LIFETIME};
use shared::events::{app_deleted, connector_event};
use shared::http::problem::Problem;
use shared::ports::{Doomed, DueWork};
use shared::runtime::lambda::JobReport;
use shared::runtime::telemetry::Metric;

use crate::State;
use crate::disconnect::stop;
use crate::revoke::{Settled, revoke};

/// No piece of work begins later than this after the run did: the function is stopped after
/// 15 s, and one provider may take 10.
const START_WINDOW: Duration = Duration::from_secs(4);
const CONCURRENCY: usize = 10;
const PAGE: u32 = 50;
/// How many shards are worked through side by side: one after the other, the reads of a thousand
/// that have nothing due would take all the time there is.
const SHARDS_AT_ONCE: usize = 8;
/// A connector is gone no sooner than this after its deletion began: the index of its
/// connections lags behind the table, and a connect that came just before must be seen.
const INDEX_SETTLES: Duration = Duration::from_secs(60);
/// An app is gone no sooner than this after its deletion began: as long as it is there, no flow
/// that was under way can connect, and after this none is.
const FLOWS_END: Duration = Duration::from_secs(15 * 60);
const _: () = assert!(FLOWS_END.as_secs() > SESSION_LIFETIME.as_secs() + CODE_LIFETIME.as_secs());

#[derive(Default)]
struct Counts {
    revoked: u64,
    postponed: u64,
    failed: u64,
    connectors_deleted: u64,
    apps_deleted: u64,
}

impl Counts {
    fn plus(mut self, other: &Self) -> Self {
        self.revoked += other.revoked;
        self.postponed += other.postponed;
        self.failed += other.failed;
        self.connectors_deleted += other.connectors_deleted;
        self.apps_deleted += other.apps_deleted;
        self
    }
}

/// Does one run.
pub async fn run(state: &State) -> JobReport {
    let last_start = state.clock.monotonic() + START_WINDOW;
    // Deletions first: what they disconnect is then revoked in the same run.
    let deleted = stream::iter(0..state.due.shards())
        .map(|shard| async move {
            let mut counts = Counts::default();
            let result = delete(state, shard, last_start, &mut counts).await;
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
        .fold(deleted, async |sum, one| sum.plus(&one))
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

async fn delete(
    state: &State,
    shard: u32,
    last_start: Duration,
    counts: &mut Counts,
) -> Result<(), Problem> {
    let now = state.clock.now();
    for (work, workspace, what) in state.due.due_deletions(shard, now, PAGE).await? {
        if !is_empty(state, &workspace, &what, last_start).await? {
            continue;
        }
        match &what {
            Doomed::Connector(id) => {
                counts.connectors_deleted +=
                    u64::from(finish_connector(state, &work, &workspace, id).await?);
            }
            Doomed::App(id) => {
                counts.apps_deleted += u64::from(finish_app(state, &work, &workspace, id).await?);
            }
        }
    }
    Ok(())
}

/// Disconnects the connections of what is being deleted, as many as there is time for. `true`
/// when there was none. Resumable at any point: what is disconnected and settled leaves the index.
async fn is_empty(
    state: &State,
    workspace: &WorkspaceId,
    what: &Doomed,
    last_start: Duration,
) -> Result<bool, Problem> {
    let connections = &state.connections;
    let mut empty = true;
    let mut after: Option<String> = None;
    loop {
        if state.clock.monotonic() >= last_start {
            return Ok(false);
        }
        let from = after.as_deref();
        let page = match what {
            Doomed::Connector(id) => connections.of_connector(workspace, id, from, PAGE).await?,
            Doomed::App(id) => connections.of_app(workspace, id, from, PAGE).await?,
        };
        empty &= page.items.is_empty();
        disconnect_all(state, page.items).await;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(empty),
        }
    }
}

/// `true` when the connector, of which no connection was left, is gone.
async fn finish_connector(
    state: &State,
    work: &DueWork,
    workspace: &WorkspaceId,
    id: &ConnectorId,
) -> Result<bool, Problem> {
    let Some(connector) = state.registry.connector(workspace, id).await? else {
        return Ok(false);
    };
    let now = state.clock.now();
    let settled = match connector.status {
        ConnectorStatus::Deleting { since } => now.since(since) >= INDEX_SETTLES,
        ConnectorStatus::Enabled | ConnectorStatus::Disabled { .. } => false,
    };
    if !settled {
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

/// `true` when the app, of which no connection was left, is gone.
async fn finish_app(
    state: &State,
    work: &DueWork,
    workspace: &WorkspaceId,
    id: &AppId,
) -> Result<bool, Problem> {
    let Some(app) = state.registry.app(workspace, id).await? else {
        return Ok(false);
    };
    let now = state.clock.now();
    let settled = match app.status {
        AppStatus::Deleting { since } => now.since(since) >= FLOWS_END,
        AppStatus::Active => false,
    };
    if !settled {
        return Ok(false);
    }
    let event = app_deleted(&*state.entropy, &app, now);
    let gone = state
        .registry
        .finish_app_deletion(&app, work, &event)
        .await?;
    if gone {
        state.publisher.publish(&event).await;
    }
    Ok(gone)
}

/// Stops hand-out; the revocations this leaves are due at once. One that changed meanwhile is
/// seen by the next run as it is then.
async fn disconnect_all(state: &State, connections: Vec<Connection>) {
    stream::iter(connections)
        .for_each_concurrent(CONCURRENCY, |connection| async move {
            if connection.status.is_gone() {
                return;
            }
            if let Err(error) =
                stop(state, &connection, &Origin::default(), state.clock.now()).await
            {
                tracing::warn!(
                    connection.id = %connection.id, error = %error, "was not disconnected"
                );
            }
        })
        .await;
}

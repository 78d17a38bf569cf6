//! What ends in the background with everything that was granted: connectors and apps that are being
//! deleted, and connectors whose connections an admin has revoked (H-89).
//!
//! Work ends nothing unless the connector or the app says so itself at that moment: work may be
//! older than what stands there, where a table was restored (H-90).

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use shared::domain::app::{App, AppStatus};
use shared::domain::audit::Origin;
use shared::domain::census::{Life, Listed};
use shared::domain::connection::{Connection, ConnectionKey};
use shared::domain::connector::{Connector, ConnectorStatus};
use shared::domain::event::Change;
use shared::domain::session::{CODE_LIFETIME, SESSION_LIFETIME};
use shared::events::{app_deleted, connector_event};
use shared::http::problem::Problem;
use shared::ports::{Doomed, DueWork, StoreError};

use crate::State;
use crate::background::{CONCURRENCY, Counts, PAGE};
use crate::disconnect::stop;

/// Nothing of a connector is over sooner than this after it was asked for: the index of its
/// connections lags behind the table, and a connect that came just before must be seen.
const INDEX_SETTLES: Duration = Duration::from_secs(60);
/// An app is gone no sooner than this after its deletion began: as long as it is there, no flow
/// that was under way can connect, and after this none is.
const FLOWS_END: Duration = Duration::from_secs(15 * 60);
const _: () = assert!(FLOWS_END.as_secs() > SESSION_LIFETIME.as_secs() + CODE_LIFETIME.as_secs());
/// What stands in the index is read page by page of these, a run some hundred thousand entries. So
/// much may be connected anew while what was revoked is ended.
const INDEX_PAGE: u32 = 1_000;
/// A generation after every grant's.
const ALL: u64 = u64::MAX;

/// Goes on with whatever ends in a shard.
pub(crate) async fn end(
    state: &State,
    shard: u32,
    last_start: Duration,
    counts: &mut Counts,
) -> Result<(), Problem> {
    let now = state.clock.now();
    for (work, workspace, what) in state.due.due_deletions(shard, now, PAGE).await? {
        match &what {
            Doomed::Connector(id) => {
                let connector = state.registry.connector(&workspace, id).await?;
                let gone = end_connector(state, &work, connector, last_start).await?;
                counts.connectors_deleted += u64::from(gone);
            }
            Doomed::App(id) => {
                let app = state.registry.app(&workspace, id).await?;
                let gone = end_app(state, &work, app, last_start).await?;
                counts.apps_deleted += u64::from(gone);
            }
            Doomed::Revoked(id) => {
                let connector = state.registry.connector(&workspace, id).await?;
                let done = end_revoked(state, &work, connector, last_start).await?;
                counts.connectors_revoked += u64::from(done);
            }
        }
    }
    Ok(())
}

/// `true` when the connector is gone, of which no connection was left.
async fn end_connector(
    state: &State,
    work: &DueWork,
    connector: Option<Connector>,
    last_start: Duration,
) -> Result<bool, Problem> {
    let deleting = connector.and_then(|connector| match connector.status {
        ConnectorStatus::Deleting { since } => Some((connector, since)),
        ConnectorStatus::Enabled | ConnectorStatus::Disabled { .. } => None,
    });
    let Some((connector, since)) = deleting else {
        state.due.remove_deletion(work).await?;
        return Ok(false);
    };
    let ended = end_grants(state, &connector, ALL, last_start).await?;
    let now = state.clock.now();
    if !ended || now.since(since) < INDEX_SETTLES {
        return Ok(false);
    }
    let event = connector_event(&*state.entropy, &connector, Change::ConnectorDeleted, now);
    let gone = state
        .registry
        .finish_connector_deletion(&connector.workspace, &connector.id, work, &event)
        .await?;
    if gone {
        state.publisher.publish(&event).await;
    }
    Ok(gone)
}

/// `true` when the app is gone, of which no connection was left.
async fn end_app(
    state: &State,
    work: &DueWork,
    app: Option<App>,
    last_start: Duration,
) -> Result<bool, Problem> {
    let deleting = app.and_then(|app| match app.status {
        AppStatus::Deleting { since } => Some((app, since)),
        AppStatus::Active => None,
    });
    let Some((app, since)) = deleting else {
        state.due.remove_deletion(work).await?;
        return Ok(false);
    };
    let empty = is_empty(state, &app, last_start).await?;
    let now = state.clock.now();
    if !empty || now.since(since) < FLOWS_END {
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

/// `true` when all that was granted before the connector's last revocation is ended. Whoever has
/// connected since is left alone.
async fn end_revoked(
    state: &State,
    work: &DueWork,
    connector: Option<Connector>,
    last_start: Duration,
) -> Result<bool, Problem> {
    // A deletion ends everything by itself.
    let revoked = connector
        .filter(|connector| !connector.status.is_deleting())
        .and_then(|connector| Some((connector.revoked?, connector)));
    let Some((revoked, connector)) = revoked else {
        state.due.remove_deletion(work).await?;
        return Ok(false);
    };
    let ended = end_grants(state, &connector, revoked.before, last_start).await?;
    let done = ended && state.clock.now().since(revoked.at) >= INDEX_SETTLES;
    if done {
        state.due.remove_deletion(work).await?;
    }
    Ok(done)
}

/// Disconnects what was granted through a connector under a generation before `before`, as much as
/// there is time for. `true` when there was none. Resumable at any point: what is disconnected and
/// settled leaves the index.
async fn end_grants(
    state: &State,
    connector: &Connector,
    before: u64,
    last_start: Duration,
) -> Result<bool, Problem> {
    let (workspace, id) = (&connector.workspace, &connector.id);
    let mut ended = true;
    let mut after: Option<String> = None;
    loop {
        if state.clock.monotonic() >= last_start {
            return Ok(false);
        }
        let page = state
            .connections
            .listed(workspace, id, after.as_deref(), INDEX_PAGE)
            .await?;
        let earlier = page.items.into_iter();
        let earlier: Vec<Listed> = earlier
            .filter(|listed| listed.connector_generation < before)
            .collect();
        ended &= earlier.is_empty();
        let live = earlier
            .into_iter()
            .filter(|listed| listed.life != Life::Ending);
        stream::iter(live)
            .for_each_concurrent(CONCURRENCY, |listed| async move {
                if state.clock.monotonic() < last_start {
                    tell(end_grant(state, &listed.key, before).await, &listed.key);
                }
            })
            .await;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(ended),
        }
    }
}

/// Disconnects the connections of an app, as many as there is time for. `true` when there was none.
async fn is_empty(state: &State, app: &App, last_start: Duration) -> Result<bool, Problem> {
    let mut empty = true;
    let mut after: Option<String> = None;
    loop {
        if state.clock.monotonic() >= last_start {
            return Ok(false);
        }
        let page = state
            .connections
            .of_app(&app.workspace, &app.id, after.as_deref(), PAGE)
            .await?;
        empty &= page.items.is_empty();
        stream::iter(page.items)
            .for_each_concurrent(CONCURRENCY, |connection| async move {
                tell(disconnect(state, &connection).await, &connection.key);
            })
            .await;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(empty),
        }
    }
}

/// The index lags: what stands there now decides.
async fn end_grant(state: &State, key: &ConnectionKey, before: u64) -> Result<(), StoreError> {
    match state.connections.connection(key).await? {
        Some(connection) if connection.connector_generation < before => {
            disconnect(state, &connection).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Stops hand-out; the revocation this leaves is due at once. One that changed meanwhile is seen by
/// the next run as it is then.
async fn disconnect(state: &State, connection: &Connection) -> Result<(), StoreError> {
    if connection.status.is_gone() {
        return Ok(());
    }
    stop(state, connection, &Origin::default(), state.clock.now())
        .await
        .map(|_| ())
}

fn tell(ended: Result<(), StoreError>, key: &ConnectionKey) {
    if let Err(error) = ended {
        tracing::warn!(connector.id = %key.connector, error = %error, "a connection was not disconnected");
    }
}

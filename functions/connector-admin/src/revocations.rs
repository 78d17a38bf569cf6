//! `POST /v1/revocations`: everything that was granted is revoked at once, in the whole workspace, at
//! one provider or through one connector (H-89).
//!
//! Hand-out stops with the answer, because each connector's generation moves, which a look-up
//! compares anyway. The rest is the background's (see the function `disconnect`). Needs no plan:
//! nobody needs one to be safe.

use axum::extract;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::catalogue;
use shared::domain::connector::Connector;
use shared::domain::event::Change;
use shared::domain::ids::{ConnectorId, ProviderId};
use shared::events::connector_event;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::Json;
use shared::http::respond;

use crate::State;
use crate::connectors::{being_deleted, read};
use crate::input;

/// How many connectors are marked side by side.
const CONCURRENCY: usize = 10;
const PAGE: u32 = 100;
/// How often an admin's other change may come in between.
const TRIES: usize = 5;

/// What is revoked: all of the workspace, if neither a provider nor a connector is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default, deserialize_with = "input::sent")]
    provider: Option<ProviderId>,
    #[serde(default, deserialize_with = "input::sent")]
    connector_id: Option<ConnectorId>,
    /// The workspace's id.
    confirm: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    connectors: Vec<Revoked>,
}

#[derive(Serialize)]
struct Revoked {
    connector_id: ConnectorId,
    name: String,
    provider: ProviderId,
}

pub(crate) async fn revoke(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    if wanted.confirm.as_deref() != Some(admin.workspace.as_str()) {
        return Err(Problem::new(
            Code::ConfirmationRequired,
            "this disconnects everyone; send confirm: <id of the workspace>",
        ));
    }
    let connectors = match (&wanted.connector_id, &wanted.provider) {
        (Some(_), Some(_)) => {
            let rule = "is not sent together with connector_id";
            return Err(Problem::field("provider", rule));
        }
        (Some(id), None) => vec![named(&state, &admin, id).await?],
        (None, provider) => all(&state, &admin, provider.as_ref()).await?,
    };
    let marked: Vec<Option<Connector>> = stream::iter(connectors)
        .map(|connector| mark(&state, &admin, connector))
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let connectors = marked.into_iter().flatten().map(|connector| Revoked {
        connector_id: connector.id,
        name: connector.name,
        provider: connector.provider,
    });
    let answer = Answer {
        connectors: connectors.collect(),
    };
    Ok(respond::json(StatusCode::ACCEPTED, &answer))
}

async fn named(state: &State, admin: &Admin, id: &ConnectorId) -> Result<Connector, Problem> {
    let connector = read(state, admin, id).await?;
    if connector.status.is_deleting() {
        return Err(being_deleted());
    }
    Ok(connector)
}

/// The workspace's connectors at a provider, or all. A name that no provider has would revoke
/// nothing, and look as if it had.
async fn all(
    state: &State,
    admin: &Admin,
    provider: Option<&ProviderId>,
) -> Result<Vec<Connector>, Problem> {
    if provider.is_some_and(|id| catalogue::details(id).is_none()) {
        return Err(Problem::field("provider", "is not in the catalogue"));
    }
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = state
            .registry
            .connectors(&admin.workspace, after.as_deref(), PAGE)
            .await?;
        let at_provider = page.items.into_iter();
        found.extend(
            at_provider
                .filter(|connector| provider.is_none_or(|provider| connector.provider == *provider))
                .filter(|connector| !connector.status.is_deleting()),
        );
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Ends the hand-out of what was granted through a connector, and leaves the rest to the
/// background. `None` when the connector has gone meanwhile, or is going by itself.
async fn mark(
    state: &State,
    admin: &Admin,
    mut before: Connector,
) -> Result<Option<Connector>, Problem> {
    for _ in 0..TRIES {
        let now = state.clock.now();
        let version = before.version;
        let after = before.revoking(now);
        let event = connector_event(&*state.entropy, &after, Change::ConnectionsRevoked, now);
        let event = event.by(&admin.origin);
        let marked = state
            .registry
            .revoke_connections(&after, version, now, &event);
        if marked.await? {
            state.publisher.publish(&event).await;
            return Ok(Some(after));
        }
        let now_there = state
            .registry
            .connector(&admin.workspace, &after.id)
            .await?;
        match now_there.filter(|connector| !connector.status.is_deleting()) {
            Some(changed) => before = changed,
            None => return Ok(None),
        }
    }
    Err(Problem::new(
        Code::Conflict,
        "a connector keeps changing; try again",
    ))
}

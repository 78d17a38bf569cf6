//! How many connections of a connector stand how, and what a change of its scopes would do to
//! them. Counted when it is asked for: nothing is kept in step, so nothing can be out of it.

use std::time::Duration;

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::census::Census;
use shared::domain::connector::{Connector, ScopePolicy};
use shared::domain::ids::ConnectorId;
use shared::domain::scopes::ScopeList;
use shared::http::identity::Admin;
use shared::http::problem::Problem;
use shared::http::request::{Json, PathIds};
use shared::http::respond;

use crate::State;
use crate::connectors::read;
use crate::input::{self, ScopesInput};

/// How many connections are looked through at most: some 4 MB of the index.
const MOST: u64 = 10_000;
/// No page is asked for later than this after the first: somebody waits.
const LAST_PAGE: Duration = Duration::from_secs(3);
const PAGE: u32 = 1_000;

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) census: Census,
    /// Whether there are no more than these.
    pub(crate) all: bool,
}

/// Counts a connector's connections as they stand, or would stand, under it.
pub(crate) async fn count(state: &State, connector: &Connector) -> Result<Counted, Problem> {
    let last_page = state.clock.monotonic() + LAST_PAGE;
    let mut census = Census::default();
    let mut after: Option<String> = None;
    loop {
        let (workspace, id) = (&connector.workspace, &connector.id);
        let page = state
            .connections
            .listed(workspace, id, after.as_deref(), PAGE)
            .await?;
        for listed in &page.items {
            census.count(connector, listed);
        }
        after = page.next;
        let all = after.is_none();
        if all || census.all() >= MOST || state.clock.monotonic() >= last_page {
            return Ok(Counted { census, all });
        }
    }
}

/// What a change of scopes does.
#[derive(Debug, Serialize)]
pub(crate) struct ScopePlan {
    /// How many connections keep working.
    keep: u64,
    /// How many users have to connect again, those included who had to before.
    reconnect: u64,
    /// Whether that is all of them.
    counted_all: bool,
    added: ScopeList,
    removed: ScopeList,
}

impl ScopePlan {
    /// What becomes of the connections when `before` becomes `after`.
    async fn of(state: &State, before: &Connector, after: &Connector) -> Result<Self, Problem> {
        let counted = count(state, after).await?;
        Ok(Self {
            keep: counted.census.connected,
            reconnect: counted.census.reconnect_required,
            counted_all: counted.all,
            added: after.scopes.missing_from(&before.scopes),
            removed: before.scopes.missing_from(&after.scopes),
        })
    }

    /// The plan of an edit; `None` of one that leaves the scopes as they are.
    pub(crate) async fn of_edit(
        state: &State,
        before: &Connector,
        after: &Connector,
    ) -> Result<Option<Self>, Problem> {
        let as_before = before.scopes == after.scopes && before.scope_policy == after.scope_policy;
        if as_before {
            return Ok(None);
        }
        Self::of(state, before, after).await.map(Some)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    scopes: ScopesInput,
    #[serde(default, deserialize_with = "input::sent")]
    scope_policy: Option<ScopePolicy>,
}

/// `POST /v1/connectors/{id}/scope-plan`: what an edit would do. Changes nothing.
pub(crate) async fn scope_plan(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
    Json(body): Json<Change>,
) -> Result<Response, Problem> {
    let before = read(&state, &admin, &id).await?;
    let after = Connector {
        scopes: body.scopes.checked()?,
        scope_policy: body.scope_policy.unwrap_or(before.scope_policy),
        ..before.clone()
    };
    let plan = ScopePlan::of(&state, &before, &after).await?;
    Ok(respond::json(StatusCode::OK, &plan))
}

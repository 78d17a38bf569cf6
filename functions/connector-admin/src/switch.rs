//! `POST /v1/connectors/{id}/disable` and `/enable`: hand-out and refresh stop and go on; what was
//! granted is kept. Needs no plan: a workspace that was downgraded keeps its connectors.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use shared::domain::connector::{Connector, ConnectorStatus};
use shared::domain::event::Change;
use shared::domain::ids::ConnectorId;
use shared::domain::time::Timestamp;
use shared::events::connector_event;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::PathIds;

use crate::State;
use crate::connectors::{being_deleted, read};
use crate::view::respond_with;

/// How often an admin's other change may come in between.
const TRIES: usize = 5;

pub(crate) async fn disable(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
) -> Result<Response, Problem> {
    switch(
        &state,
        &admin,
        &id,
        Change::ConnectorDisabled,
        |status, now| match status {
            ConnectorStatus::Enabled => Some(ConnectorStatus::Disabled { since: now }),
            ConnectorStatus::Disabled { .. } | ConnectorStatus::Deleting { .. } => None,
        },
    )
    .await
}

pub(crate) async fn enable(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
) -> Result<Response, Problem> {
    switch(
        &state,
        &admin,
        &id,
        Change::ConnectorEnabled,
        |status, _| match status {
            ConnectorStatus::Disabled { .. } => Some(ConnectorStatus::Enabled),
            ConnectorStatus::Enabled | ConnectorStatus::Deleting { .. } => None,
        },
    )
    .await
}

/// Moves a connector to the status that `next` gives, and leaves one alone that is there already.
async fn switch(
    state: &State,
    admin: &Admin,
    id: &ConnectorId,
    change: Change,
    next: impl Fn(ConnectorStatus, Timestamp) -> Option<ConnectorStatus>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    for _ in 0..TRIES {
        let before = read(state, admin, id).await?;
        if before.status.is_deleting() {
            return Err(being_deleted());
        }
        let now = state.clock.now();
        let Some(status) = next(before.status, now) else {
            return Ok(respond_with(StatusCode::OK, &before, &state.public_url));
        };
        let after = Connector {
            status,
            version: before.version + 1,
            updated_at: now,
            ..before.clone()
        };
        let event = connector_event(&*state.entropy, &after, change.clone(), now);
        let event = event.by(&admin.origin);
        let replaced = state
            .registry
            .replace_connector(&after, before.version, &event);
        if replaced.await? {
            state.publisher.publish(&event).await;
            return Ok(respond_with(StatusCode::OK, &after, &state.public_url));
        }
    }
    Err(Problem::new(
        Code::Conflict,
        "the connector keeps changing; try again",
    ))
}

//! `/v1/connectors`: list, view, delete.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use shared::domain::audit::{Action, AuditEntry, Origin};
use shared::domain::connector::{Connector, ConnectorStatus};
use shared::domain::ids::ConnectorId;
use shared::events::audit_id;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{PathIds, Query};
use shared::http::respond::{self, List};

use crate::State;
use crate::census;
use crate::view::{ConnectorView, respond_as, respond_with};

pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    admin: Admin,
    query: Query,
) -> Result<Response, Problem> {
    let page = state
        .registry
        .connectors(&admin.workspace, query.cursor(), query.limit()?)
        .await?;
    let items = page
        .items
        .iter()
        .map(|connector| ConnectorView::of(connector, &state.public_url));
    let list = List {
        items: items.collect(),
        next_cursor: page.next.clone(),
    };
    Ok(respond::json(StatusCode::OK, &list))
}

pub(crate) async fn view(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
) -> Result<Response, Problem> {
    let connector = read(&state, &admin, &id).await?;
    let now = state.clock.now();
    let health = state.health.health(&admin.workspace, &id, now).await?;
    let counted = census::count(&state, &connector).await?;
    let view = ConnectorView::of(&connector, &state.public_url)
        .doing(&connector, &health, now)
        .counted(&connector, &counted);
    Ok(respond_as(StatusCode::OK, &connector, &view))
}

/// Hand-out stops with the answer; the rest is the background's (see the function
/// `disconnect`). Needs no plan: a workspace that was downgraded can still clean up.
pub(crate) async fn delete(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
    query: Query,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let connector = read(&state, &admin, &id).await?;
    if query.get("confirm") != Some(connector.name.as_str()) {
        return Err(Problem::new(
            Code::ConfirmationRequired,
            "this disconnects everyone; send confirm=<name of the connector>",
        ));
    }
    match connector.status {
        ConnectorStatus::Deleting { .. } => Ok(respond_with(
            StatusCode::ACCEPTED,
            &connector,
            &state.public_url,
        )),
        ConnectorStatus::Enabled | ConnectorStatus::Disabled { .. } => {
            begin_deletion(&state, connector, &admin.origin).await
        }
    }
}

async fn begin_deletion(
    state: &State,
    connector: Connector,
    origin: &Origin,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    let id = audit_id(&*state.entropy, now);
    let entry = AuditEntry::new(id, &connector.workspace, origin, Action::ConnectorDeleting)
        .about_connector(&connector);
    let deleting = Connector {
        status: ConnectorStatus::Deleting { since: now },
        version: connector.version + 1,
        updated_at: now,
        ..connector
    };
    let begun = state
        .registry
        .begin_connector_deletion(&deleting, connector.version, now, &entry)
        .await?;
    if !begun {
        return Err(Problem::new(
            Code::Conflict,
            "the connector has just changed; try again",
        ));
    }
    Ok(respond_with(
        StatusCode::ACCEPTED,
        &deleting,
        &state.public_url,
    ))
}

/// The connector, if it is of the admin's workspace.
pub(crate) async fn read(
    state: &State,
    admin: &Admin,
    id: &ConnectorId,
) -> Result<Connector, Problem> {
    let connector = state.registry.connector(&admin.workspace, id).await?;
    connector.ok_or_else(Problem::not_found)
}

/// A connector that is going away does not change any more.
pub(crate) fn being_deleted() -> Problem {
    Problem::new(Code::Conflict, "the connector is being deleted")
}

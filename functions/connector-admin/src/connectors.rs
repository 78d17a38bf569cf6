//! `/v1/connectors`: create, list, view, delete.

use std::collections::BTreeMap;

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use shared::crypto::hash::random_id;
use shared::domain::audit::{Action, AuditEntry, Origin};
use shared::domain::connector::{
    Accounts, ClientSecret, Connector, ConnectorKind, ConnectorStatus, ScopePolicy,
};
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectorId, ProviderId};
use shared::domain::secret::Secret;
use shared::events::{audit_id, connector_event};
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds, Query};
use shared::http::respond::{self, List};

use crate::State;
use crate::discovery;
use crate::input::{self, ScopesInput};
use crate::view::{ConnectorView, respond_as, respond_with};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    provider: ProviderId,
    #[serde(default)]
    kind: ConnectorKind,
    #[serde(default)]
    accounts: Accounts,
    client_id: String,
    client_secret: Secret,
    scopes: ScopesInput,
    #[serde(default)]
    scope_policy: ScopePolicy,
    #[serde(default)]
    config: BTreeMap<String, String>,
    allowed_apps: Option<Vec<AppId>>,
}

pub(crate) async fn create(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(body): Json<Create>,
) -> Result<Response, Problem> {
    admin.may_change_connectors()?;
    let client_secret = input::client_secret(&body.client_secret)?;
    let now = state.clock.now();
    let mut connector = Connector {
        id: ConnectorId::parse(random_id(&*state.entropy))?,
        name: input::name(&body.name)?,
        provider: body.provider,
        kind: body.kind,
        accounts: input::accounts(body.accounts, body.kind)?,
        client_id: input::client_id(&body.client_id)?,
        client_secret: ClientSecret {
            sealed: Vec::new(),
            set_at: now,
            last_four: None,
        },
        scopes: body.scopes.checked()?,
        scope_policy: body.scope_policy,
        config: BTreeMap::new(),
        allowed_apps: body.allowed_apps.map(input::allowed_apps).transpose()?,
        status: ConnectorStatus::Enabled,
        generation: 1,
        version: 1,
        created_at: now,
        updated_at: now,
        workspace: admin.workspace,
    };
    connector.config = discovery::complete(&state, &connector.provider, body.config).await?;
    seal_secret(&state, &mut connector, &client_secret).await?;
    let event = connector_event(&*state.entropy, &connector, Change::ConnectorCreated, now);
    let event = event.by(&admin.origin);
    if !state.registry.add_connector(&connector, &event).await? {
        return Err(Problem::new(Code::Conflict, "the id is taken; try again"));
    }
    state.publisher.publish(&event).await;
    Ok(respond_with(
        StatusCode::CREATED,
        &connector,
        &state.public_url,
    ))
}

/// Seals a new secret under the connector's id and generation.
pub(crate) async fn seal_secret(
    state: &State,
    connector: &mut Connector,
    secret: &Secret,
) -> Result<(), Problem> {
    let keys = state.vault.keys_or_create(&connector.workspace).await?;
    connector.client_secret = ClientSecret {
        sealed: keys.seal_client_secret(
            &*state.entropy,
            &connector.id,
            connector.generation,
            secret,
        ),
        set_at: state.clock.now(),
        last_four: secret.last_four(),
    };
    Ok(())
}

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
    let view = ConnectorView::of(&connector, &state.public_url).doing(&connector, &health, now);
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
        ConnectorStatus::Enabled => begin_deletion(&state, connector, &admin.origin).await,
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

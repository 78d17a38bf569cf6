//! `PATCH /v1/connectors/{id}`.

use std::collections::BTreeMap;

use axum::extract;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Deserializer};
use shared::domain::connector::{Accounts, Connector, ConnectorStatus, ScopePolicy};
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectorId};
use shared::domain::secret::Secret;
use shared::events::connector_event;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};

use crate::State;
use crate::connectors::{read, seal_secret};
use crate::discovery;
use crate::input::{self, ScopesInput};
use crate::view::{etag, respond_with};

/// What may change. A connector stays with its provider and kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    name: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    scopes: Option<ScopesInput>,
    scope_policy: Option<ScopePolicy>,
    accounts: Option<Accounts>,
    config: Option<BTreeMap<String, String>>,
    /// Absent: as it is; null: every app.
    #[serde(default, deserialize_with = "present")]
    allowed_apps: Option<Option<Vec<AppId>>>,
}

fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Vec<AppId>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(crate) async fn update(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<ConnectorId>,
    headers: HeaderMap,
    Json(body): Json<Update>,
) -> Result<Response, Problem> {
    admin.may_change_connectors()?;
    let before = read(&state, &admin, &id).await?;
    check_version(&headers, &before)?;
    if before.status != ConnectorStatus::Enabled {
        return Err(Problem::new(
            Code::Conflict,
            "the connector is being deleted",
        ));
    }
    let new_secret = body
        .client_secret
        .as_ref()
        .map(input::client_secret)
        .transpose()?;
    let config = body.config.clone();
    let mut after = edited(&before, body)?;
    if let Some(config) = config {
        after.config = discovery::complete(&state, &after.provider, config).await?;
    }
    after.updated_at = state.clock.now();
    after.version = before.version + 1;

    // Tokens and the secret belong to the client and endpoints they were given for (H-37, H-38).
    if is_other_client(&state, &before, &after)? {
        if new_secret.is_none() {
            return Err(Problem::field(
                "client_secret",
                "must be sent again when the client id or an endpoint changes",
            ));
        }
        after.generation = before.generation + 1;
    }
    if let Some(secret) = &new_secret {
        seal_secret(&state, &mut after, secret).await?;
    }
    let now = after.updated_at;
    let event = connector_event(&*state.entropy, &after, Change::ConnectorUpdated, now);
    let event = event.by(&admin.origin);
    if !state
        .registry
        .replace_connector(&after, before.version, &event)
        .await?
    {
        return Err(changed_meanwhile());
    }
    state.publisher.publish(&event).await;
    Ok(respond_with(StatusCode::OK, &after, &state.public_url))
}

/// Two admins cannot overwrite each other: the version that was read has to be named.
fn check_version(headers: &HeaderMap, connector: &Connector) -> Result<(), Problem> {
    let wanted = headers.get(header::IF_MATCH).ok_or_else(|| {
        Problem::new(
            Code::PreconditionRequired,
            "send If-Match with the ETag of the connector you are changing",
        )
    })?;
    if wanted
        .to_str()
        .is_ok_and(|wanted| wanted.trim() == etag(connector))
    {
        Ok(())
    } else {
        Err(changed_meanwhile())
    }
}

fn edited(before: &Connector, body: Update) -> Result<Connector, Problem> {
    let mut after = before.clone();
    if let Some(name) = body.name {
        after.name = input::name(&name)?;
    }
    if let Some(client_id) = body.client_id {
        after.client_id = input::client_id(&client_id)?;
    }
    if let Some(scopes) = body.scopes {
        after.scopes = scopes.checked()?;
    }
    if let Some(policy) = body.scope_policy {
        after.scope_policy = policy;
    }
    if let Some(accounts) = body.accounts {
        after.accounts = input::accounts(accounts, after.kind)?;
    }
    if let Some(apps) = body.allowed_apps {
        after.allowed_apps = apps.map(input::allowed_apps).transpose()?;
    }
    Ok(after)
}

fn is_other_client(state: &State, before: &Connector, after: &Connector) -> Result<bool, Problem> {
    if before.client_id != after.client_id {
        return Ok(true);
    }
    if before.config == after.config {
        return Ok(false);
    }
    let now = input::provider(&after.provider, &after.config, state)?;
    // A configuration that cannot be read any more is certainly another one.
    let same = input::provider(&before.provider, &before.config, state)
        .is_ok_and(|then| then.endpoints() == now.endpoints() && then.issuer == now.issuer);
    Ok(!same)
}

fn changed_meanwhile() -> Problem {
    Problem::new(
        Code::PreconditionFailed,
        "the connector has changed since you read it; read it again and repeat your change",
    )
}

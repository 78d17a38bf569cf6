//! `PATCH /v1/connectors/{id}`.

use std::collections::BTreeMap;

use axum::extract;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use shared::domain::connector::{Accounts, ClientSecret, Connector, ScopePolicy};
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectorId};
use shared::domain::secret::Secret;
use shared::events::connector_event;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};

use crate::State;
use crate::census::ScopePlan;
use crate::connectors::{being_deleted, read};
use crate::create::seal_secret;
use crate::discovery;
use crate::input::{self, ScopesInput};
use crate::view::{ConnectorView, etag, respond_as};

/// What may change. A connector stays with its provider and kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    #[serde(default, deserialize_with = "input::sent")]
    name: Option<String>,
    #[serde(default, deserialize_with = "input::sent")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "input::sent")]
    client_secret: Option<Secret>,
    /// With `client_secret`: the one it replaces stays live beside it.
    #[serde(default)]
    keep_previous_secret: bool,
    /// Only null, which drops it.
    #[serde(default, deserialize_with = "present")]
    previous_secret: Option<Option<Secret>>,
    #[serde(default, deserialize_with = "input::sent")]
    scopes: Option<ScopesInput>,
    #[serde(default, deserialize_with = "input::sent")]
    scope_policy: Option<ScopePolicy>,
    #[serde(default, deserialize_with = "input::sent")]
    accounts: Option<Accounts>,
    #[serde(default, deserialize_with = "input::sent")]
    config: Option<BTreeMap<String, String>>,
    /// Absent: as it is; null: what describes the provider is `config` again.
    #[serde(default, deserialize_with = "present")]
    template: Option<Option<Value>>,
    /// Absent: as it is; null: every app.
    #[serde(default, deserialize_with = "present")]
    allowed_apps: Option<Option<Vec<AppId>>>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What happens to the secret that is live beside the current one, or was the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Previous {
    /// It stays as it is, unless the current one is replaced.
    Stays,
    /// The one that is replaced takes its place.
    Replaced,
    /// There is none any more.
    Dropped,
}

impl Previous {
    fn of(body: &Update) -> Result<Self, Problem> {
        let only = |field: &str, rule: &str| Err(Problem::field(field, rule));
        match (body.keep_previous_secret, &body.previous_secret) {
            (_, Some(Some(_))) => only("previous_secret", "can be null alone, which drops it"),
            (true, Some(None)) => only("previous_secret", "cannot be kept and dropped"),
            (true, None) if body.client_secret.is_none() => {
                only("keep_previous_secret", "goes with a new client_secret")
            }
            (true, None) => Ok(Self::Replaced),
            (false, Some(None)) => Ok(Self::Dropped),
            (false, None) => Ok(Self::Stays),
        }
    }

    /// The secret that is live beside the current one when `before` has become `after`.
    fn secret(self, before: &Connector, after: &Connector) -> Option<ClientSecret> {
        match self {
            Self::Replaced => before.client_secret.clone(),
            Self::Dropped => None,
            Self::Stays => before
                .previous_secret
                .clone()
                .filter(|_| after.client_secret == before.client_secret)
                .filter(|_| after.generation == before.generation),
        }
    }
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
    if before.status.is_deleting() {
        return Err(being_deleted());
    }
    let previous = Previous::of(&body)?;
    let described = body.config.is_some() || body.template.is_some();
    let new_secret = body.client_secret.clone();
    let mut after = edited(&state, &before, body)?;
    let provider = match described {
        true => Some(discovery::complete(&state, &mut after).await?),
        false => None,
    };
    let new_secret = match new_secret {
        None => None,
        Some(secret) => {
            let provider = provider.map_or_else(|| input::provider(&after, &state), Ok)?;
            Some(input::client_secret(&secret, &provider)?)
        }
    };
    after.updated_at = state.clock.now();
    after.version = before.version + 1;

    // Tokens and the secret belong to the client and endpoints they were given for (H-37, H-38).
    if is_other_client(&state, &before, &after)? {
        if before.client_secret.is_some() && new_secret.is_none() {
            return Err(Problem::field(
                "client_secret",
                "must be sent again when the client id or an endpoint changes",
            ));
        }
        if previous == Previous::Replaced {
            return Err(Problem::field(
                "keep_previous_secret",
                "belongs to the client and the endpoints that you are changing",
            ));
        }
        after.generation = before.generation + 1;
        after.client_generation = after.generation;
    }
    if let Some(secret) = &new_secret {
        seal_secret(&state, &mut after, secret).await?;
    }
    after.previous_secret = previous.secret(&before, &after);
    // Counted before the change is made, so that whatever is refused has changed nothing.
    let plan = ScopePlan::of_edit(&state, &before, &after).await?;
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
    let view = ConnectorView::of(&after, &state.public_url).planned(plan);
    Ok(respond_as(StatusCode::OK, &after, &view))
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

fn edited(state: &State, before: &Connector, body: Update) -> Result<Connector, Problem> {
    let mut after = before.clone();
    if let Some(config) = body.config {
        after.config = config;
    }
    if let Some(template) = body.template {
        let template = template.map(|template| input::template(&template, &before.provider, state));
        after.template = template.transpose()?;
    }
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
    if before.config == after.config && before.template == after.template {
        return Ok(false);
    }
    let now = input::provider(after, state)?;
    // A configuration that cannot be read any more is certainly another one.
    let same = input::provider(before, state)
        .is_ok_and(|then| then.endpoints() == now.endpoints() && then.issuer == now.issuer);
    Ok(!same)
}

fn changed_meanwhile() -> Problem {
    Problem::new(
        Code::PreconditionFailed,
        "the connector has changed since you read it; read it again and repeat your change",
    )
}

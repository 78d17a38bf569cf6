//! `POST /v1/connectors`, and `PUT /v1/connectors/{id}` where the admin chooses the id: the
//! redirect URI contains it, and some providers want that before they show a secret.

use std::collections::BTreeMap;

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use shared::crypto::hash::{hash, random_id};
use shared::domain::audit::Origin;
use shared::domain::connector::{
    Accounts, ClientSecret, Connector, ConnectorKind, ConnectorStatus, ScopePolicy,
};
use shared::domain::event::Change;
use shared::domain::ids::{AppId, ConnectorId, ProviderId};
use shared::domain::secret::Secret;
use shared::events::connector_event;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};

use crate::State;
use crate::discovery;
use crate::input::{self, ScopesInput};
use crate::view::respond_with;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    name: String,
    provider: ProviderId,
    #[serde(default)]
    kind: ConnectorKind,
    #[serde(default)]
    accounts: Accounts,
    client_id: String,
    #[serde(default, deserialize_with = "input::sent")]
    client_secret: Option<Secret>,
    scopes: ScopesInput,
    #[serde(default)]
    scope_policy: ScopePolicy,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "input::sent")]
    template: Option<Value>,
    allowed_apps: Option<Vec<AppId>>,
}

pub(crate) async fn create(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(body): Json<Draft>,
) -> Result<Response, Problem> {
    admin.may_change_connectors()?;
    if body.client_secret.is_none() {
        return Err(Problem::field(
            "client_secret",
            "must be given; PUT /v1/connectors/{id} adds a connector whose secret is not known yet",
        ));
    }
    let id = ConnectorId::parse(random_id(&*state.entropy))?;
    let wanted = Wanted::of(&state, &admin, id, body).await?;
    let created = add(&state, wanted, &admin.origin).await?;
    created.ok_or_else(taken)
}

/// Creates, or answers what an equal call has created. Changes nothing that is there.
pub(crate) async fn put(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<String>,
    Json(body): Json<Draft>,
) -> Result<Response, Problem> {
    admin.may_change_connectors()?;
    let id = ConnectorId::parse(id)?;
    let wanted = Wanted::of(&state, &admin, id, body).await?;
    let (workspace, id) = (&admin.workspace, wanted.connector.id.clone());
    if let Some(standing) = state.registry.connector(workspace, &id).await? {
        return repeated(&state, &wanted, &standing).await;
    }
    if let Some(created) = add(&state, wanted.clone(), &admin.origin).await? {
        return Ok(created);
    }
    // An equal call may have been faster; otherwise it is another workspace's.
    match state.registry.connector(workspace, &id).await? {
        Some(standing) => repeated(&state, &wanted, &standing).await,
        None => Err(taken()),
    }
}

/// A connector as it is asked for, with its secret not yet sealed.
#[derive(Clone, Debug)]
struct Wanted {
    connector: Connector,
    secret: Option<Secret>,
}

impl Wanted {
    async fn of(
        state: &State,
        admin: &Admin,
        id: ConnectorId,
        body: Draft,
    ) -> Result<Self, Problem> {
        let template = body.template.as_ref();
        let template = template.map(|template| input::template(template, &body.provider, state));
        let template = template.transpose()?;
        let now = state.clock.now();
        let mut connector = Connector {
            workspace: admin.workspace.clone(),
            id,
            name: input::name(&body.name)?,
            provider: body.provider,
            kind: body.kind,
            accounts: input::accounts(body.accounts, body.kind)?,
            client_id: input::client_id(&body.client_id)?,
            client_secret: None,
            previous_secret: None,
            scopes: body.scopes.checked()?,
            scope_policy: body.scope_policy,
            config: body.config,
            template,
            allowed_apps: body.allowed_apps.map(input::allowed_apps).transpose()?,
            status: ConnectorStatus::Enabled,
            generation: Connector::first_generation(now),
            client_generation: Connector::first_generation(now),
            revoked: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let provider = discovery::complete(state, &mut connector).await?;
        let secret = body.client_secret.as_ref();
        let secret = secret.map(|secret| input::client_secret(secret, &provider));
        let secret = secret.transpose()?;
        Ok(Self { connector, secret })
    }
}

/// `None` when the id is taken.
async fn add(state: &State, wanted: Wanted, origin: &Origin) -> Result<Option<Response>, Problem> {
    let Wanted {
        mut connector,
        secret,
    } = wanted;
    if let Some(secret) = &secret {
        seal_secret(state, &mut connector, secret).await?;
    }
    let now = connector.created_at;
    let event = connector_event(&*state.entropy, &connector, Change::ConnectorCreated, now);
    let event = event.by(origin);
    if !state.registry.add_connector(&connector, &event).await? {
        return Ok(None);
    }
    state.publisher.publish(&event).await;
    let status = StatusCode::CREATED;
    Ok(Some(respond_with(status, &connector, &state.public_url)))
}

/// Seals a new secret under the connector's id and the generation of its client.
pub(crate) async fn seal_secret(
    state: &State,
    connector: &mut Connector,
    secret: &Secret,
) -> Result<(), Problem> {
    let keys = state.vault.keys_or_create(&connector.workspace).await?;
    connector.client_secret = Some(ClientSecret {
        sealed: keys.seal_client_secret(
            &*state.entropy,
            &connector.id,
            connector.client_generation,
            secret,
        ),
        set_at: state.clock.now(),
        // A key ends as every key does.
        last_four: secret.last_four().filter(|four| four != "----"),
    });
    Ok(())
}

/// What stands, if it is what is asked for.
async fn repeated(
    state: &State,
    wanted: &Wanted,
    standing: &Connector,
) -> Result<Response, Problem> {
    let as_asked = Connector {
        client_secret: standing.client_secret.clone(),
        previous_secret: standing.previous_secret.clone(),
        status: standing.status,
        generation: standing.generation,
        client_generation: standing.client_generation,
        revoked: standing.revoked,
        version: standing.version,
        created_at: standing.created_at,
        updated_at: standing.updated_at,
        ..wanted.connector.clone()
    };
    if as_asked != *standing || !has_secret(state, standing, wanted.secret.as_ref()).await? {
        return Err(taken());
    }
    Ok(respond_with(StatusCode::OK, standing, &state.public_url))
}

/// Whether a connector has the secret that is asked for. Who names none asks for none: it may
/// have been set since.
async fn has_secret(
    state: &State,
    standing: &Connector,
    wanted: Option<&Secret>,
) -> Result<bool, Problem> {
    let Some(wanted) = wanted else {
        return Ok(true);
    };
    let Some(kept) = &standing.client_secret else {
        return Ok(false);
    };
    let keys = state.vault.keys(&standing.workspace).await?;
    let kept = keys.open_client_secret(standing, kept).map_err(|error| {
        tracing::error!(connector.id = %standing.id, error = %error, "a client secret does not open");
        Problem::new(Code::Internal, "the fault has been recorded")
    })?;
    Ok(hash(&kept) == hash(wanted))
}

fn taken() -> Problem {
    Problem::new(
        Code::AlreadyExists,
        "there is another connector with this id; change yours with PATCH, or choose another id",
    )
}

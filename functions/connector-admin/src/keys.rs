//! `/v1/apps/{app}/keys`: the API keys of an app's back end.

use std::collections::BTreeSet;

use axum::extract;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::crypto::hash::{hash, random_id, random_secret};
use shared::domain::app::{ApiKey, KeyScope, MOST_KEYS, PresentedApiKey};
use shared::domain::audit::{Action, AuditEntry, Origin};
use shared::domain::ids::{ApiKeyId, AppId, WorkspaceId};
use shared::domain::time::Timestamp;
use shared::events::audit_id;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};
use shared::http::respond::{self, List};

use crate::State;
use crate::{apps, input};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    name: String,
    /// Absent: everything.
    #[serde(default, deserialize_with = "input::sent")]
    scopes: Option<BTreeSet<KeyScope>>,
    #[serde(default)]
    on_behalf_of_only: bool,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a ApiKeyId,
    name: &'a str,
    scopes: &'a BTreeSet<KeyScope>,
    on_behalf_of_only: bool,
    created_at: Timestamp,
    /// Only in the answer that makes the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(key: &'a ApiKey, shown: Option<&'a PresentedApiKey>) -> Self {
        Self {
            id: &key.id,
            name: &key.name,
            scopes: &key.scopes,
            on_behalf_of_only: key.on_behalf_of_only,
            created_at: key.created_at,
            key: shown.map(|shown| shown.key.expose()),
        }
    }
}

pub(crate) async fn create(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(app): PathIds<AppId>,
    Json(body): Json<Create>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    if apps::read(&state, &admin, &app).await?.is_deleting() {
        return Err(Problem::new(Code::Conflict, "the app is being deleted"));
    }
    let secret = random_secret(&*state.entropy);
    let minted = PresentedApiKey::mint(admin.workspace.clone(), app.clone(), &secret);
    let key = ApiKey {
        workspace: admin.workspace,
        app,
        id: ApiKeyId::parse(random_id(&*state.entropy))?,
        name: input::name(&body.name)?,
        hash: hash(&minted.key),
        scopes: scopes(body.scopes)?,
        on_behalf_of_only: body.on_behalf_of_only,
        created_at: state.clock.now(),
    };
    let entry = entry(&state, &admin.origin, Action::KeyCreated, &key.workspace);
    let entry = entry.about_key(&key.app, &key.id);
    if !state.registry.add_api_key(&key, &entry).await? {
        return Err(Problem::new(
            Code::TooManyKeys,
            format!("an app has at most {MOST_KEYS} live keys; remove one first"),
        ));
    }
    Ok(respond::json(
        StatusCode::CREATED,
        &View::of(&key, Some(&minted)),
    ))
}

fn entry(state: &State, origin: &Origin, action: Action, workspace: &WorkspaceId) -> AuditEntry {
    let id = audit_id(&*state.entropy, state.clock.now());
    AuditEntry::new(id, workspace, origin, action)
}

fn scopes(asked: Option<BTreeSet<KeyScope>>) -> Result<BTreeSet<KeyScope>, Problem> {
    let scopes = asked.unwrap_or_else(KeyScope::all);
    if scopes.is_empty() {
        return Err(Problem::field("scopes", "must name one scope at least"));
    }
    Ok(scopes)
}

pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(app): PathIds<AppId>,
) -> Result<Response, Problem> {
    apps::read(&state, &admin, &app).await?;
    let keys = state.registry.api_keys(&admin.workspace, &app).await?;
    let items = keys.iter().map(|key| View::of(key, None)).collect();
    Ok(respond::json(
        StatusCode::OK,
        &List {
            items,
            next_cursor: None,
        },
    ))
}

/// Works from the next request on: look-ups read the key's record strongly consistent.
pub(crate) async fn remove(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds((app, key)): PathIds<(AppId, ApiKeyId)>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let entry = entry(&state, &admin.origin, Action::KeyRemoved, &admin.workspace);
    let entry = entry.about_key(&app, &key);
    if state
        .registry
        .remove_api_key(&admin.workspace, &app, &key, &entry)
        .await?
    {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found())
    }
}

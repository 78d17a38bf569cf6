//! `/v1/apps/{app}`: the apps of a workspace, where their connect flows may end, and their own end.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::address::AddressRules;
use shared::domain::app::{AccountChange, App, AppStatus, Completion};
use shared::domain::audit::{Action, AuditEntry, Origin};
use shared::domain::ids::AppId;
use shared::domain::time::Timestamp;
use shared::events::audit_id;
use shared::http::identity::Admin;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds, Query};
use shared::http::respond;
use url::Url;

use crate::State;
use crate::input;

const MAX_RETURN_URLS: usize = 20;
const MAX_URL: usize = 2048;
/// Connections of an app that is being deleted are counted up to here.
const MOST_COUNTED: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    name: String,
    return_urls: Vec<String>,
    #[serde(default)]
    completion: Completion,
    #[serde(default)]
    account_change: AccountChange,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a AppId,
    name: &'a str,
    return_urls: Vec<&'a str>,
    completion: Completion,
    account_change: AccountChange,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<Deletion>,
}

/// How far an app's deletion has come.
#[derive(Debug, Serialize)]
struct Deletion {
    requested_at: Timestamp,
    /// Connections whose end is not settled yet.
    remaining: u64,
    counted_all: bool,
}

pub(crate) async fn put(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<AppId>,
    Json(body): Json<Put>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let now = state.clock.now();
    let before = state.registry.app(&admin.workspace, &id).await?;
    let app = App {
        name: input::name(&body.name)?,
        return_urls: return_urls(&body.return_urls, state.address_rules)?,
        completion: body.completion,
        account_change: body.account_change,
        status: AppStatus::Active,
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        updated_at: now,
        workspace: admin.workspace,
        id,
    };
    let id = audit_id(&*state.entropy, now);
    let entry = AuditEntry::new(id, &app.workspace, &admin.origin, Action::AppChanged);
    let entry = entry.about_app(&app.id);
    if !state.registry.put_app(&app, &entry).await? {
        return Err(Problem::new(Code::Conflict, "the app is being deleted"));
    }
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(respond_with(status, &app, None))
}

pub(crate) async fn view(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<AppId>,
) -> Result<Response, Problem> {
    let app = read(&state, &admin, &id).await?;
    let deletion = deletion(&state, &app).await?;
    Ok(respond_with(StatusCode::OK, &app, deletion))
}

/// The app's keys are gone with the answer, and its users are answered as if it were; the rest is
/// the background's (see the function `disconnect`).
pub(crate) async fn delete(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<AppId>,
    query: Query,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let app = read(&state, &admin, &id).await?;
    if query.get("confirm") != Some(app.name.as_str()) {
        return Err(Problem::new(
            Code::ConfirmationRequired,
            "this disconnects all users of the app; send confirm=<name of the app>",
        ));
    }
    let app = begin_deletion(&state, app, &admin.origin).await?;
    let deletion = deletion(&state, &app).await?;
    Ok(respond_with(StatusCode::ACCEPTED, &app, deletion))
}

/// The app as it is being deleted, by this call or an earlier one.
async fn begin_deletion(state: &State, app: App, origin: &Origin) -> Result<App, Problem> {
    if app.is_deleting() {
        return Ok(app);
    }
    let now = state.clock.now();
    let id = audit_id(&*state.entropy, now);
    let entry = AuditEntry::new(id, &app.workspace, origin, Action::AppDeleting);
    let entry = entry.about_app(&app.id);
    let deleting = App {
        status: AppStatus::Deleting { since: now },
        updated_at: now,
        ..app
    };
    let begun = state
        .registry
        .begin_app_deletion(&deleting, now, &entry)
        .await?;
    if !begun {
        return Err(Problem::new(
            Code::Conflict,
            "the app has just been deleted by another call",
        ));
    }
    Ok(deleting)
}

async fn deletion(state: &State, app: &App) -> Result<Option<Deletion>, Problem> {
    let AppStatus::Deleting { since } = app.status else {
        return Ok(None);
    };
    let (remaining, counted_all) = state
        .connections
        .count_of_app(&app.workspace, &app.id, MOST_COUNTED)
        .await?;
    Ok(Some(Deletion {
        requested_at: since,
        remaining,
        counted_all,
    }))
}

/// The app, if it is of the admin's workspace.
pub(crate) async fn read(state: &State, admin: &Admin, id: &AppId) -> Result<App, Problem> {
    state
        .registry
        .app(&admin.workspace, id)
        .await?
        .ok_or_else(Problem::not_found)
}

fn respond_with(status: StatusCode, app: &App, deletion: Option<Deletion>) -> Response {
    let view = View {
        id: &app.id,
        name: &app.name,
        return_urls: app.return_urls.iter().map(Url::as_str).collect(),
        completion: app.completion,
        account_change: app.account_change,
        created_at: app.created_at,
        updated_at: app.updated_at,
        deletion,
    };
    respond::json(status, &view)
}

fn return_urls(texts: &[String], rules: AddressRules) -> Result<Vec<Url>, Problem> {
    if texts.len() > MAX_RETURN_URLS {
        let rule = format!("an app has at most {MAX_RETURN_URLS} return URLs");
        return Err(Problem::field("return_urls", rule));
    }
    texts.iter().map(|text| return_url(text, rules)).collect()
}

/// A return URL is compared character for character later, so it has to be written in its
/// normal form: an admin sees now what a start would refuse then.
fn return_url(text: &str, rules: AddressRules) -> Result<Url, Problem> {
    let invalid = |rule: String| Problem::field("return_urls", rule);
    let url = Url::parse(text)
        .ok()
        .filter(|_| text.len() <= MAX_URL)
        .ok_or_else(|| {
            invalid(format!(
                "must be absolute URLs of at most {MAX_URL} characters"
            ))
        })?;
    rules
        .check(&url)
        .map_err(|refused| invalid(refused.to_string()))?;
    if url.fragment().is_some() {
        return Err(invalid("must have no fragment".into()));
    }
    if url.as_str() != text {
        return Err(invalid(format!("write this one as {url}")));
    }
    Ok(url)
}

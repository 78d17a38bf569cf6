//! `/v1/apps/{app}`: the apps of a workspace and where their connect flows may end.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::address::AddressRules;
use shared::domain::app::{AccountChange, App, Completion};
use shared::domain::audit::{Action, AuditEntry};
use shared::domain::ids::AppId;
use shared::domain::time::Timestamp;
use shared::events::audit_id;
use shared::http::identity::Admin;
use shared::http::problem::Problem;
use shared::http::request::{Json, PathIds};
use shared::http::respond;
use url::Url;

use crate::State;
use crate::input;

const MAX_RETURN_URLS: usize = 20;
const MAX_URL: usize = 2048;

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
        created_at: before.as_ref().map_or(now, |before| before.created_at),
        updated_at: now,
        workspace: admin.workspace,
        id,
    };
    let id = audit_id(&*state.entropy, now);
    let entry = AuditEntry::new(id, &app.workspace, &admin.origin, Action::AppChanged);
    let entry = entry.about_app(&app.id);
    state.registry.put_app(&app, &entry).await?;
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(respond_with(status, &app))
}

pub(crate) async fn view(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(id): PathIds<AppId>,
) -> Result<Response, Problem> {
    let app = read(&state, &admin, &id).await?;
    Ok(respond_with(StatusCode::OK, &app))
}

/// The app, if it is of the admin's workspace.
pub(crate) async fn read(state: &State, admin: &Admin, id: &AppId) -> Result<App, Problem> {
    state
        .registry
        .app(&admin.workspace, id)
        .await?
        .ok_or_else(Problem::not_found)
}

fn respond_with(status: StatusCode, app: &App) -> Response {
    let view = View {
        id: &app.id,
        name: &app.name,
        return_urls: app.return_urls.iter().map(Url::as_str).collect(),
        completion: app.completion,
        account_change: app.account_change,
        created_at: app.created_at,
        updated_at: app.updated_at,
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

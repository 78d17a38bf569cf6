//! The beginning of a flow: a user connects an account of their own, or their app's back end begins
//! it for them; or an admin connects the account that everyone in an app uses.

use std::collections::BTreeMap;

use axum::extract::{self, FromRequest as _, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::catalogue::{self, Account};
use shared::crypto::hash::{hash, random_id, random_secret};
use shared::domain::app::{App, KeyScope};
use shared::domain::connector::Connector;
use shared::domain::ids::{Alias, AppId, ConnectorId, SessionId, UserId, WorkspaceId};
use shared::domain::provider::Provider;
use shared::domain::session::{
    AuthorizationSession, Callback, Display, SESSION_LIFETIME, SessionToken, Stage, Starter,
};
use shared::domain::time::Timestamp;
use shared::http::identity::{Admin, AppBackend, User};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};
use shared::http::respond;
use url::Url;

use crate::State;

const MAX_LOGIN_HINT: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginOwn {
    connector_id: ConnectorId,
    alias: Option<Alias>,
    return_url: String,
    login_hint: Option<String>,
    #[serde(default)]
    display: Display,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginShared {
    app_id: AppId,
    return_url: String,
    login_hint: Option<String>,
    #[serde(default)]
    display: Display,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// The flow that was begun.
#[derive(Debug, Serialize)]
pub(crate) struct Begun {
    /// Where the browser is to go.
    pub(crate) connect_url: Url,
    expires_at: Timestamp,
}

/// What is to be begun in an app, and by whom.
pub(crate) struct Beginning {
    pub(crate) connector: ConnectorId,
    pub(crate) alias: Option<Alias>,
    pub(crate) starter: Starter,
    pub(crate) starter_label: Option<String>,
    /// One of the app's.
    pub(crate) return_url: Url,
    pub(crate) login_hint: Option<String>,
    pub(crate) display: Display,
    pub(crate) config: BTreeMap<String, String>,
}

impl Beginning {
    /// A user's own account.
    fn own(
        app: &App,
        user: UserId,
        label: Option<String>,
        body: BeginOwn,
    ) -> Result<Self, Problem> {
        Ok(Self {
            connector: body.connector_id,
            alias: body.alias,
            starter: Starter::User(user),
            starter_label: label,
            return_url: return_url(app, &body.return_url)?,
            login_hint: body.login_hint,
            display: body.display,
            config: body.config,
        })
    }
}

/// `POST /v1/me/connections`.
pub(crate) async fn by_user(
    extract::State(state): extract::State<State>,
    user: User,
    Json(body): Json<BeginOwn>,
) -> Result<Response, Problem> {
    let app = registered(&state, &user.workspace, &user.app).await?;
    let wanted = Beginning::own(&app, user.user, user.label, body)?;
    Ok(created(&begin(&state, &app, wanted).await?))
}

/// `POST /v1/users/{user_id}/connections`: an app's back end, for one of its users. It proves
/// nothing of who follows the link: the flow is finished by that user, with their own JWT or on
/// the confirm page.
pub(crate) async fn by_backend(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let scope = KeyScope::ConnectionsWrite;
    let backend = AppBackend::authenticate(&parts, &*state.registry, scope).await?;
    let PathIds(user) = PathIds::<UserId>::from_request_parts(&mut parts, &state).await?;
    let rider = Rider::of(&parts).cloned();
    backend.user(rider.as_ref(), Some(&user))?;
    let request = Request::from_parts(parts, body);
    let Json(body) = Json::<BeginOwn>::from_request(request, &()).await?;
    let label = rider.and_then(|rider| rider.label);
    let app = registered(&state, &backend.workspace, &backend.app).await?;
    let wanted = Beginning::own(&app, user, label, body)?;
    Ok(created(&begin(&state, &app, wanted).await?))
}

/// `POST /v1/connectors/{connector_id}/connect`.
pub(crate) async fn by_admin(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(connector): PathIds<ConnectorId>,
    Json(body): Json<BeginShared>,
) -> Result<Response, Problem> {
    // No plan is asked for: what is connected can be kept connected after a downgrade.
    admin.may_change()?;
    let app = registered(&state, &admin.workspace, &body.app_id).await?;
    let wanted = Beginning {
        connector,
        alias: None,
        starter: Starter::Admin(admin.id),
        starter_label: admin.label,
        return_url: return_url(&app, &body.return_url)?,
        login_hint: body.login_hint,
        display: body.display,
        config: body.config,
    };
    Ok(created(&begin(&state, &app, wanted).await?))
}

/// The app, if an admin has added it.
pub(crate) async fn registered(
    state: &State,
    workspace: &WorkspaceId,
    app: &AppId,
) -> Result<App, Problem> {
    let app = state.registry.app(workspace, app).await?;
    app.filter(|app| !app.is_deleting()).ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            "the app is not registered; an admin has to add it first",
        )
    })
}

fn return_url(app: &App, wanted: &str) -> Result<Url, Problem> {
    app.return_url(wanted).cloned().ok_or_else(|| {
        Problem::field(
            "return_url",
            "must be one of the app's return URLs, character for character",
        )
    })
}

fn created(begun: &Begun) -> Response {
    respond::json(StatusCode::CREATED, begun)
}

/// Begins a flow in `app`.
///
/// # Errors
/// What is wrong with the connector for this app, this starter or this account.
pub(crate) async fn begin(state: &State, app: &App, wanted: Beginning) -> Result<Begun, Problem> {
    let login_hint = checked_hint(wanted.login_hint)?;
    let connector = state
        .registry
        .connector(&app.workspace, &wanted.connector)
        .await?
        .filter(|connector| connector.is_for(&app.id))
        .ok_or_else(Problem::not_found)?;
    if connector.kind != wanted.starter.subject().kind() {
        return Err(Problem::kind_mismatch(connector.kind));
    }
    if !connector.has_account(wanted.alias.as_ref()) {
        return Err(Problem::one_account());
    }
    if !connector.serves(&app.id) {
        return Err(Problem::connector_disabled());
    }
    if connector.client_secret.is_none() {
        return Err(Problem::new(
            Code::ConnectorIncomplete,
            "an admin has to give the connector its client secret first",
        ));
    }
    let provider = provider(state, &connector, &wanted.config)?;

    let now = state.clock.now();
    let ticket = SessionToken {
        session: SessionId::parse(random_id(&*state.entropy))?,
        secret: random_secret(&*state.entropy),
    };
    let session = AuthorizationSession {
        id: ticket.session.clone(),
        workspace: app.workspace.clone(),
        app: app.id.clone(),
        starter: wanted.starter,
        connector: connector.id,
        alias: wanted.alias,
        connector_generation: connector.generation,
        issuer: provider.issuer,
        iss_promised: provider.iss_promised,
        return_url: wanted.return_url,
        response_mode: provider.authorize.response_mode.unwrap_or_default(),
        callback: Callback {
            code_param: provider.authorize.code_param,
            hmac_param: provider.authorize.hmac_param,
            values: provider.callback,
        },
        config: wanted.config,
        display: wanted.display,
        starter_label: wanted.starter_label,
        completion: app.completion,
        account_change: app.account_change,
        cookie: None,
        login_hint,
        created_at: now,
        expires_at: now.after(SESSION_LIFETIME),
        stage: Stage::Started {
            ticket: hash(&ticket.secret),
        },
    };
    state.sessions.add(&session).await?;
    let path = format!("/connect/{}", ticket.to_secret().expose());
    let connect_url = state
        .public_url
        .join(&path)
        .expect("a ticket is a path segment as it is");
    Ok(Begun {
        connect_url,
        expires_at: session.expires_at,
    })
}

/// The connector's provider as it is for who has told `config`.
fn provider(
    state: &State,
    connector: &Connector,
    config: &BTreeMap<String, String>,
) -> Result<Provider, Problem> {
    let asked = catalogue::asked_of_users(connector);
    let is_asked = |name: &str| asked.iter().any(|field| field.name == name);
    if let Some(unknown) = config.keys().find(|name| !is_asked(name)) {
        // No more of what a stranger wrote than needed.
        let name: String = unknown.chars().take(64).collect();
        let rule = "is nothing that this connector asks its users for";
        return Err(Problem::field(format!("config.{name}"), rule));
    }
    let told = Account::Told(config);
    catalogue::of_connector(connector, told, state.address_rules).map_err(|error| {
        if let Some(field) = error.field().filter(|field| is_asked(field)) {
            return Problem::field(format!("config.{field}"), error.to_string());
        }
        tracing::error!(connector.id = %connector.id, error = %error, "connector's provider is unusable");
        Problem::new(Code::Internal, "the connector's configuration is not usable")
    })
}

fn checked_hint(hint: Option<String>) -> Result<Option<String>, Problem> {
    match hint {
        Some(hint)
            if hint.chars().count() > MAX_LOGIN_HINT || hint.chars().any(char::is_control) =>
        {
            let rule = format!("at most {MAX_LOGIN_HINT} characters without control characters");
            Err(Problem::field("login_hint", rule))
        }
        hint => Ok(hint),
    }
}

//! `POST /v1/me/connections`, `POST /v1/users/{user}/connections`: a signed-in user begins to
//! connect an account, or an app's back end begins it for them.

use axum::extract::{self, FromRequest as _, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::catalogue;
use shared::crypto::hash::{hash, random_id, random_secret};
use shared::domain::app::KeyScope;
use shared::domain::ids::{AppId, ConnectorId, SessionId, UserId, WorkspaceId};
use shared::domain::session::{
    AuthorizationSession, Display, SESSION_LIFETIME, SessionToken, Stage, Starter,
};
use shared::domain::time::Timestamp;
use shared::http::identity::{AppBackend, User};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};
use shared::http::respond;
use url::Url;

use crate::State;

const MAX_LOGIN_HINT: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    connector_id: ConnectorId,
    return_url: String,
    login_hint: Option<String>,
    #[serde(default)]
    display: Display,
}

#[derive(Debug, Serialize)]
struct Begun {
    connect_url: Url,
    expires_at: Timestamp,
}

/// A signed-in user, for themselves.
pub(crate) async fn begin(
    extract::State(state): extract::State<State>,
    user: User,
    Json(body): Json<Begin>,
) -> Result<Response, Problem> {
    let app = (&user.workspace, &user.app);
    begin_for(&state, app, user.user, user.label, body).await
}

/// An app's back end, for one of its users. It proves nothing of who follows the link: the flow
/// is finished by that user, with their own JWT or on the confirm page.
pub(crate) async fn begin_on_behalf(
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
    let Json(body) = Json::<Begin>::from_request(request, &()).await?;
    let app = (&backend.workspace, &backend.app);
    let label = rider.and_then(|rider| rider.label);
    begin_for(&state, app, user, label, body).await
}

async fn begin_for(
    state: &State,
    (workspace, app_id): (&WorkspaceId, &AppId),
    user: UserId,
    label: Option<String>,
    body: Begin,
) -> Result<Response, Problem> {
    let login_hint = checked_hint(body.login_hint)?;
    let app = state
        .registry
        .app(workspace, app_id)
        .await?
        .ok_or_else(|| {
            Problem::new(
                Code::NotFound,
                "the app is not registered; an admin has to add it first",
            )
        })?;
    let return_url = app.return_url(&body.return_url).cloned().ok_or_else(|| {
        Problem::field(
            "return_url",
            "must be one of the app's return URLs, character for character",
        )
    })?;
    let connector = state
        .registry
        .connector(workspace, &body.connector_id)
        .await?
        .filter(|connector| connector.serves(app_id))
        .ok_or_else(Problem::not_found)?;
    let provider =
        catalogue::resolve(&connector.provider, &connector.config, state.address_rules)
            .map_err(|error| {
                tracing::error!(connector.id = %connector.id, error = %error, "connector's provider is unusable");
                Problem::new(Code::Internal, "the connector's configuration is not usable")
            })?;

    let now = state.clock.now();
    let ticket = SessionToken {
        session: SessionId::parse(random_id(&*state.entropy))?,
        secret: random_secret(&*state.entropy),
    };
    let session = AuthorizationSession {
        id: ticket.session.clone(),
        workspace: workspace.clone(),
        app: app_id.clone(),
        starter: Starter::User(user),
        connector: connector.id,
        alias: None,
        connector_generation: connector.generation,
        issuer: provider.issuer,
        iss_promised: provider.iss_promised,
        return_url,
        response_mode: provider.authorize.response_mode.unwrap_or_default(),
        display: body.display,
        starter_label: label,
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
    let begun = Begun {
        connect_url,
        expires_at: session.expires_at,
    };
    Ok(respond::json(StatusCode::CREATED, &begun))
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

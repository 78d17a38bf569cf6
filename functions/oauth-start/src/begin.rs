//! `POST /v1/me/connections`: a signed-in user begins to connect an account.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::catalogue;
use shared::crypto::hash::{hash, random_id, random_secret};
use shared::domain::ids::{ConnectorId, SessionId};
use shared::domain::session::{
    AuthorizationSession, Display, SESSION_LIFETIME, SessionToken, Stage, Starter,
};
use shared::domain::time::Timestamp;
use shared::http::identity::User;
use shared::http::problem::{Code, Problem};
use shared::http::request::Json;
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

pub(crate) async fn begin(
    extract::State(state): extract::State<State>,
    user: User,
    Json(body): Json<Begin>,
) -> Result<Response, Problem> {
    let login_hint = checked_hint(body.login_hint)?;
    let app = state
        .registry
        .app(&user.workspace, &user.app)
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
        .connector(&user.workspace, &body.connector_id)
        .await?
        .filter(|connector| connector.serves(&user.app))
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
        workspace: user.workspace,
        app: user.app,
        starter: Starter::User(user.user),
        connector: connector.id,
        alias: None,
        connector_generation: connector.generation,
        issuer: provider.issuer,
        iss_promised: provider.iss_promised,
        return_url,
        response_mode: provider.authorize.response_mode.unwrap_or_default(),
        display: body.display,
        starter_label: user.label,
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

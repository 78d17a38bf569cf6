//! `POST /v1/me/connections/complete`: the app proves with its user's JWT who finished.

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::app::Completion;
use shared::domain::audit::{Action, AuditEntry, Origin, Outcome};
use shared::domain::connection::Connection;
use shared::domain::connector::Connector;
use shared::domain::ending::Ending;
use shared::domain::handout::{missing_scopes, outlives_its_token};
use shared::domain::ids::{ConnectionId, ConnectorId};
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::session::{AuthorizationSession, SessionToken, Starter};
use shared::events::audit_id;
use shared::http::identity::User;
use shared::http::problem::{Code, Problem};
use shared::http::request::Json;
use shared::http::respond;

use crate::State;
use crate::redeem::{self, Completing, Failed, completing, found, redeem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complete {
    code: Secret,
}

#[derive(Debug, Serialize)]
struct Completed<'a> {
    connection_id: &'a ConnectionId,
    connector_id: &'a ConnectorId,
    status: &'static str,
    granted_scopes: &'a ScopeList,
    missing_scopes: ScopeList,
    refreshable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_label: Option<&'a str>,
}

pub(crate) async fn complete(
    extract::State(state): extract::State<State>,
    user: User,
    Json(body): Json<Complete>,
) -> Result<Response, Problem> {
    let token = SessionToken::parse(body.code.expose()).ok_or_else(invalid)?;
    let session = state
        .sessions
        .session(&token.session)
        .await?
        .ok_or_else(invalid)?;
    let completing = completing(&session, &token).ok_or_else(invalid)?;
    // The code of the confirm page is in the browser's address: it proves nobody.
    if session.completion != Completion::App {
        return Err(Problem::new(
            Code::CompletionMode,
            "the user finishes this flow on Grantry's page",
        ));
    }
    // Whoever finishes is whoever started, before the code goes anywhere (H-01). The code of a
    // flow that somebody else tries to finish is thrown away.
    let starter = Starter::User(user.user);
    if (&session.workspace, &session.app, &session.starter)
        != (&user.workspace, &user.app, &starter)
    {
        tracing::warn!(session.id = %session.id, "connect.user_mismatch");
        state
            .sessions
            .end(&session.id, Ending::UserMismatch)
            .await?;
        note_mismatch(&state, &session, &user.origin).await;
        return Err(Problem::new(
            Code::UserMismatch,
            "the flow was started by somebody else; nothing was connected",
        ));
    }
    match completing {
        Completing::Now(returned) => {
            let connected = redeem(&state, &session, returned, &user.origin).await;
            let connected = connected.map_err(Failed::into_problem)?;
            Ok(completed(&connected.connector, &connected.connection))
        }
        // Whoever redeemed the code has died over it (C8).
        Completing::Elsewhere if session.is_expired(state.clock.now()) => {
            Err(redeem::expired().into_problem())
        }
        Completing::Elsewhere => Err(Failed::Elsewhere.into_problem()),
        // The app repeats itself: the same answer (C7).
        Completing::Done(id) => {
            let connected = found(&state, &session, id).await?;
            let connected = connected.ok_or_else(Problem::not_connected)?;
            Ok(completed(&connected.connector, &connected.connection))
        }
    }
}

/// In the workspace whose flow it was. A table that does not answer refuses nobody less.
async fn note_mismatch(state: &State, session: &AuthorizationSession, origin: &Origin) {
    let id = audit_id(&*state.entropy, state.clock.now());
    let entry = AuditEntry {
        outcome: Outcome::Refused,
        connector: Some(session.connector.clone()),
        subject: Some(session.starter.subject()),
        ..AuditEntry::new(id, &session.workspace, origin, Action::UserMismatch)
            .about_app(&session.app)
    };
    if let Err(error) = state.audit.add_entry(&entry).await {
        tracing::error!(session.id = %session.id, error = %error, "audit entry was not written");
    }
}

fn completed(connector: &Connector, connection: &Connection) -> Response {
    let body = Completed {
        connection_id: &connection.id,
        connector_id: &connector.id,
        status: "connected",
        granted_scopes: &connection.granted_scopes,
        missing_scopes: missing_scopes(connector, connection),
        refreshable: outlives_its_token(connection),
        account_label: connection
            .account
            .as_ref()
            .and_then(|account| account.label.as_deref()),
    };
    respond::json(StatusCode::OK, &body)
}

fn invalid() -> Problem {
    Problem::new(
        Code::CompletionInvalid,
        "code: must be the unused code from the return URL of a flow of this user",
    )
}

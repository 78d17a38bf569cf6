//! Completion with a JWT, which proves that whoever finishes is whoever started: the user, sent
//! by the app, or the admin.

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
use shared::domain::ids::{Alias, AppId, ConnectionId, ConnectorId, WorkspaceId};
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::session::{AuthorizationSession, SessionToken, Starter};
use shared::events::{add_entry, audit_id};
use shared::http::identity::{Admin, User};
use shared::http::problem::{Code, Problem};
use shared::http::request::{Json, PathIds};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a Alias>,
    status: &'static str,
    granted_scopes: &'a ScopeList,
    missing_scopes: ScopeList,
    refreshable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_label: Option<&'a str>,
}

/// Who says to have finished, and what.
struct Finisher {
    /// The app that the user is signed in to. An admin is signed in to the workspace.
    app: Option<AppId>,
    /// The connector that an admin names.
    connector: Option<ConnectorId>,
    starter: Starter,
    origin: Origin,
}

impl Finisher {
    /// A user is somebody else than an admin with the same subject, and the other way round.
    fn began(&self, workspace: &WorkspaceId, session: &AuthorizationSession) -> bool {
        let in_app = self.app.as_ref().is_none_or(|app| *app == session.app);
        in_app && (workspace, &self.starter) == (&session.workspace, &session.starter)
    }
}

/// `POST /v1/me/connections/complete`.
pub(crate) async fn by_user(
    extract::State(state): extract::State<State>,
    user: User,
    Json(body): Json<Complete>,
) -> Result<Response, Problem> {
    let finisher = Finisher {
        app: Some(user.app),
        connector: None,
        starter: Starter::User(user.user),
        origin: user.origin,
    };
    complete(&state, &user.workspace, &finisher, &body.code).await
}

/// `POST /v1/connectors/{connector_id}/connect/complete`.
pub(crate) async fn by_admin(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds(connector): PathIds<ConnectorId>,
    Json(body): Json<Complete>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let finisher = Finisher {
        app: None,
        connector: Some(connector),
        starter: Starter::Admin(admin.id),
        origin: admin.origin,
    };
    complete(&state, &admin.workspace, &finisher, &body.code).await
}

async fn complete(
    state: &State,
    workspace: &WorkspaceId,
    by: &Finisher,
    code: &Secret,
) -> Result<Response, Problem> {
    let token = SessionToken::parse(code.expose()).ok_or_else(invalid)?;
    let session = state
        .sessions
        .session(&token.session)
        .await?
        .filter(|session| {
            by.connector
                .as_ref()
                .is_none_or(|id| *id == session.connector)
        })
        .ok_or_else(invalid)?;
    let completing = completing(&session, &token).ok_or_else(invalid)?;
    // The code of the confirm page is in the browser's address: it proves nobody.
    if session.completion != Completion::App {
        return Err(Problem::new(
            Code::CompletionMode,
            "this flow is finished on Grantry's page",
        ));
    }
    // Whoever finishes is whoever started, before the code goes anywhere (H-01). The code of a
    // flow that somebody else tries to finish is thrown away.
    if !by.began(workspace, &session) {
        tracing::warn!(session.id = %session.id, "connect.user_mismatch");
        state
            .sessions
            .end(&session.id, Ending::UserMismatch)
            .await?;
        note_mismatch(state, &session, &by.origin).await;
        return Err(Problem::new(
            Code::UserMismatch,
            "the flow was started by somebody else; nothing was connected",
        ));
    }
    match completing {
        Completing::Now(returned) => {
            let connected = redeem(state, &session, returned, &by.origin).await;
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
            let connected = found(state, &session, id).await?;
            let connected = connected.ok_or_else(Problem::not_connected)?;
            Ok(completed(&connected.connector, &connected.connection))
        }
    }
}

/// In the workspace whose flow it was.
async fn note_mismatch(state: &State, session: &AuthorizationSession, origin: &Origin) {
    let id = audit_id(&*state.entropy, state.clock.now());
    let entry = AuditEntry {
        outcome: Outcome::Refused,
        connector: Some(session.connector.clone()),
        subject: Some(session.starter.subject()),
        ..AuditEntry::new(id, &session.workspace, origin, Action::UserMismatch)
            .about_app(&session.app)
    };
    add_entry(&*state.audit, &entry).await;
}

fn completed(connector: &Connector, connection: &Connection) -> Response {
    let body = Completed {
        connection_id: &connection.id,
        connector_id: &connector.id,
        alias: connection.key.alias.as_ref(),
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
        "code: must be the unused code from the return URL of a flow of the caller's own",
    )
}

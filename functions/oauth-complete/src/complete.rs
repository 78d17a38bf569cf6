//! `POST /v1/me/connections/complete`: the ladder before the code is redeemed.

use std::time::Duration;

use axum::extract;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::connector_client::ConnectorClient;
use shared::crypto::hash::{hash, matches};
use shared::crypto::vault::WorkspaceKeys;
use shared::domain::audit::{Action, AuditEntry, Origin, Outcome};
use shared::domain::connection::{Connection, ConnectionKey};
use shared::domain::connector::Connector;
use shared::domain::handout::missing_scopes;
use shared::domain::ids::{ConnectionId, ConnectorId};
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::session::{AuthorizationSession, Returned, SessionToken, Stage};
use shared::domain::token::{TokenAnswer, TokenFailure};
use shared::events::audit_id;
use shared::http::identity::User;
use shared::http::problem::{Code, Problem};
use shared::http::request::Json;
use shared::http::respond;
use shared::ports::{CodeGrant, SessionField};

use crate::State;
use crate::connect::connect;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    account_label: Option<&'a str>,
}

/// What a code is redeemed with.
pub(crate) struct Redemption {
    pub(crate) connector: Connector,
    pub(crate) client: ConnectorClient,
    pub(crate) keys: std::sync::Arc<WorkspaceKeys>,
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
    let stage = completing(&session, &token)?;
    // Whoever finishes is whoever started, before the code goes anywhere (H-01). The code of a
    // flow that somebody else tries to finish is thrown away.
    if (&session.workspace, &session.app, &session.user) != (&user.workspace, &user.app, &user.user)
    {
        tracing::warn!(session.id = %session.id, "connect.user_mismatch");
        state.sessions.end(&session.id).await?;
        note_mismatch(&state, &session, &user.origin).await;
        return Err(Problem::new(
            Code::UserMismatch,
            "the flow was started by somebody else; nothing was connected",
        ));
    }
    let returned = match stage {
        Completing::Now(returned) => returned,
        // The app repeats itself: the same answer (C7).
        Completing::Done(connection) => return done_before(&state, &session, connection).await,
    };
    if session.is_expired(state.clock.now()) {
        state.sessions.end(&session.id).await?;
        return Err(Problem::new(
            Code::SessionExpired,
            "start again; a code is kept two minutes",
        ));
    }
    let redemption = prepare(&state, &session).await?;
    let grant = open_grant(&state, &session, returned, &redemption.connector).await?;

    // The code is spent from here on: of any number of equal calls one gets past, and a
    // failure is final, because a code that is sent twice can cost the tokens (C8, C11).
    if !state
        .sessions
        .begin_exchange(&session.id, &hash(&token.secret))
        .await?
    {
        return Err(being_completed());
    }
    let answer = state
        .providers
        .exchange(
            &redemption.client.provider,
            &redemption.client.credentials,
            &grant,
        )
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            tracing::warn!(
                session.id = %session.id, connector.id = %session.connector, error = %failure,
                "code was not redeemed"
            );
            state.sessions.end(&session.id).await?;
            return Err(refusal(&failure));
        }
    };
    let connection = store(&state, &session, &redemption, answer, &user.origin).await?;
    Ok(completed(&redemption.connector, &connection))
}

/// In the workspace whose flow it was. A table that does not answer refuses nobody less.
async fn note_mismatch(state: &State, session: &AuthorizationSession, origin: &Origin) {
    let id = audit_id(&*state.entropy, state.clock.now());
    let entry = AuditEntry {
        outcome: Outcome::Refused,
        connector: Some(session.connector.clone()),
        user: Some(session.user.clone()),
        ..AuditEntry::new(id, &session.workspace, origin, Action::UserMismatch)
            .about_app(&session.app)
    };
    if let Err(error) = state.audit.add_entry(&entry).await {
        tracing::error!(session.id = %session.id, error = %error, "audit entry was not written");
    }
}

enum Completing<'a> {
    Now(&'a Returned),
    Done(&'a ConnectionId),
}

/// Whether the session waits for this completion code, or has had it.
fn completing<'a>(
    session: &'a AuthorizationSession,
    token: &SessionToken,
) -> Result<Completing<'a>, Problem> {
    match &session.stage {
        Stage::Returned(returned) if matches(&token.secret, &returned.completion) => {
            Ok(Completing::Now(returned))
        }
        Stage::Completed {
            completion,
            connection,
        } if matches(&token.secret, completion) => Ok(Completing::Done(connection)),
        Stage::Exchanging { completion } if matches(&token.secret, completion) => {
            Err(being_completed())
        }
        Stage::Started { .. }
        | Stage::Redirected(_)
        | Stage::Returned(_)
        | Stage::Exchanging { .. }
        | Stage::Completed { .. }
        | Stage::Ended => Err(invalid()),
    }
}

async fn done_before(
    state: &State,
    session: &AuthorizationSession,
    id: &ConnectionId,
) -> Result<Response, Problem> {
    let connector = state
        .registry
        .connector(&session.workspace, &session.connector)
        .await?;
    let connection = state
        .connections
        .connection(&connection_key(session))
        .await?;
    match (connector, connection) {
        (Some(connector), Some(connection))
            if connection.id == *id && !connection.status.is_gone() =>
        {
            Ok(completed(&connector, &connection))
        }
        _ => Err(Problem::not_connected()),
    }
}

async fn prepare(state: &State, session: &AuthorizationSession) -> Result<Redemption, Problem> {
    let connector = state
        .registry
        .connector(&session.workspace, &session.connector)
        .await?
        .filter(|connector| {
            connector.serves(&session.app) && connector.generation == session.connector_generation
        })
        .ok_or_else(connector_gone)?;
    let keys = state.vault.keys(&session.workspace).await?;
    let client =
        ConnectorClient::open(&connector, &keys, state.address_rules).map_err(|error| {
            tracing::error!(connector.id = %connector.id, error = ?error, "connector is unusable");
            Problem::new(Code::Internal, "the fault has been recorded")
        })?;
    Ok(Redemption {
        connector,
        client,
        keys,
    })
}

/// Opens code and verifier. Before the code is spent, so that KMS being away costs nothing but
/// another call (C14).
async fn open_grant(
    state: &State,
    session: &AuthorizationSession,
    returned: &Returned,
    connector: &Connector,
) -> Result<CodeGrant, Problem> {
    let code = state
        .keys
        .open_for_session(&session.id, SessionField::Code, &returned.code)
        .await?;
    let verifier = match &returned.verifier {
        Some(sealed) => Some(
            state
                .keys
                .open_for_session(&session.id, SessionField::Verifier, sealed)
                .await?,
        ),
        None => None,
    };
    Ok(CodeGrant {
        code,
        verifier,
        redirect_uri: connector.redirect_uri(&state.public_url).into(),
    })
}

async fn store(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    mut answer: TokenAnswer,
    origin: &Origin,
) -> Result<Connection, Problem> {
    if answer.account.is_none() {
        answer.account = state
            .providers
            .account(&redemption.client.provider, &answer.access_token)
            .await;
    }
    let connected = connect(state, session, redemption, answer, origin).await;
    if let Err(problem) = &connected {
        tracing::warn!(session.id = %session.id, code = problem.code().as_str(), "tokens were not kept");
        state.sessions.end(&session.id).await?;
    }
    connected
}

fn completed(connector: &Connector, connection: &Connection) -> Response {
    let body = Completed {
        connection_id: &connection.id,
        connector_id: &connector.id,
        status: "connected",
        granted_scopes: &connection.granted_scopes,
        missing_scopes: missing_scopes(connector, connection),
        account_label: connection
            .account
            .as_ref()
            .and_then(|account| account.label.as_deref()),
    };
    respond::json(StatusCode::OK, &body)
}

/// Where the connection of a session is kept.
pub(crate) fn connection_key(session: &AuthorizationSession) -> ConnectionKey {
    ConnectionKey {
        workspace: session.workspace.clone(),
        app: session.app.clone(),
        user: session.user.clone(),
        connector: session.connector.clone(),
    }
}

/// The connector was deleted, or its client changed, while the user was away.
pub(crate) fn connector_gone() -> Problem {
    Problem::new(
        Code::Conflict,
        "the connector has changed or is gone; start again",
    )
}

fn refusal(failure: &TokenFailure) -> Problem {
    match failure {
        TokenFailure::GrantRefused
        | TokenFailure::InteractionRequired
        | TokenFailure::UnknownTokenType
        | TokenFailure::Unexpected { .. } => Problem::new(
            Code::CodeRefused,
            "the provider refused the code; start again",
        ),
        TokenFailure::ClientRefused
        | TokenFailure::RequestRefused
        | TokenFailure::Redirected
        | TokenFailure::AddressRefused => Problem::new(
            Code::CodeRefused,
            "the provider refused the connector; an admin has to check its client and endpoints",
        ),
        TokenFailure::NotSent | TokenFailure::OutcomeUnknown => Problem::new(
            Code::ProviderUnavailable,
            "the provider did not answer; start again",
        )
        .retry_after(Duration::from_secs(5)),
        TokenFailure::TryLater { after } => Problem::new(
            Code::ProviderUnavailable,
            "the provider is busy; start again later",
        )
        .retry_after(after.unwrap_or(Duration::from_secs(5))),
    }
}

fn invalid() -> Problem {
    Problem::new(
        Code::CompletionInvalid,
        "code: must be the unused code from the return URL of a flow of this user",
    )
}

fn being_completed() -> Problem {
    Problem::new(
        Code::Conflict,
        "the flow is being completed by another call",
    )
}

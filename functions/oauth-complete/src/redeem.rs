//! The end of a flow, whichever front it came through: the code is redeemed, once, and what it
//! brings is stored.

use std::sync::Arc;
use std::time::Duration;

use shared::connector_client::ConnectorClient;
use shared::crypto::hash::matches;
use shared::crypto::vault::{VaultError, WorkspaceKeys};
use shared::domain::audit::{AuditEntry, Origin};
use shared::domain::connection::{Connection, has_room_for};
use shared::domain::connector::Connector;
use shared::domain::ending::Ending;
use shared::domain::ids::ConnectionId;
use shared::domain::session::{AuthorizationSession, Returned, SessionToken, Stage};
use shared::domain::subject::Subject;
use shared::domain::token::TokenFailure;
use shared::events::add_entry;
use shared::http::problem::{Code, Problem};
use shared::oauth::signed_callback;
use shared::ports::{CodeGrant, KmsError, SessionField, StoreError};

use crate::State;
use crate::connect::connect;
use crate::identify;

/// What came of a flow.
pub(crate) struct Connected {
    pub(crate) connector: Connector,
    pub(crate) connection: Connection,
}

/// What a code is redeemed with.
pub(crate) struct Redemption {
    pub(crate) connector: Connector,
    pub(crate) client: ConnectorClient,
    pub(crate) keys: Arc<WorkspaceKeys>,
}

/// Why there is no connection.
pub(crate) enum Failed {
    /// Nothing was spent: the same call may come again.
    NotYet(Problem),
    /// Another call redeems the code at this moment.
    Elsewhere,
    /// The flow is over.
    Over(Ending, Problem),
}

impl Failed {
    pub(crate) fn over(ending: Ending, code: Code, detail: &str) -> Self {
        Self::Over(ending, Problem::new(code, detail))
    }

    pub(crate) fn into_problem(self) -> Problem {
        match self {
            Self::NotYet(problem) | Self::Over(_, problem) => problem,
            Self::Elsewhere => being_completed(),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::NotYet(error.into())
    }
}

impl From<KmsError> for Failed {
    fn from(error: KmsError) -> Self {
        Self::NotYet(error.into())
    }
}

impl From<VaultError> for Failed {
    fn from(error: VaultError) -> Self {
        Self::NotYet(error.into())
    }
}

/// How far a flow is for somebody who holds its completion code.
pub(crate) enum Completing<'a> {
    Now(&'a Returned),
    Elsewhere,
    Done(&'a ConnectionId),
}

/// How far the session is, if it waits for this completion code or has had it.
pub(crate) fn completing<'a>(
    session: &'a AuthorizationSession,
    token: &SessionToken,
) -> Option<Completing<'a>> {
    match &session.stage {
        Stage::Returned(returned) if matches(&token.secret, &returned.completion) => {
            Some(Completing::Now(returned))
        }
        Stage::Completed {
            completion,
            connection,
        } if matches(&token.secret, completion) => Some(Completing::Done(connection)),
        Stage::Exchanging { completion } if matches(&token.secret, completion) => {
            Some(Completing::Elsewhere)
        }
        Stage::Started { .. }
        | Stage::Redirected(_)
        | Stage::Returned(_)
        | Stage::Exchanging { .. }
        | Stage::Completed { .. }
        | Stage::Ended(_) => None,
    }
}

/// Redeems the code and stores the connection. A flow that fails for good is ended.
pub(crate) async fn redeem(
    state: &State,
    session: &AuthorizationSession,
    returned: &Returned,
    origin: &Origin,
) -> Result<Connected, Failed> {
    let redeemed = attempt(state, session, returned, origin).await;
    if let Err(Failed::Over(ending, problem)) = &redeemed {
        tracing::warn!(
            session.id = %session.id, connector.id = %session.connector,
            ending = ending.code(), code = problem.code().as_str(), "nothing was connected"
        );
        // Unwritten, it is over all the same: the code is spent, or lapses.
        if let Err(error) = state.sessions.end(&session.id, *ending).await {
            tracing::error!(session.id = %session.id, error = %error, "the end was not written");
        }
        note_failed(state, session, *ending, origin).await;
    }
    redeemed
}

/// Leaves for the admins how a flow ended. Not what a token endpoint said: that can repeat what it
/// was sent, the code and the client secret.
pub(crate) async fn note_failed(
    state: &State,
    session: &AuthorizationSession,
    ending: Ending,
    origin: &Origin,
) {
    let now = state.clock.now();
    let entry = AuditEntry::of_failed_flow(session, ending, None, origin, now);
    add_entry(&*state.audit, &entry).await;
}

async fn attempt(
    state: &State,
    session: &AuthorizationSession,
    returned: &Returned,
    origin: &Origin,
) -> Result<Connected, Failed> {
    if session.is_expired(state.clock.now()) {
        return Err(expired());
    }
    let redemption = prepare(state, session).await?;
    refuse_too_many(state, session).await?;
    let grant = open_grant(state, session, returned, &redemption).await?;
    let keys = identify::keys(state, &redemption, returned).await?;

    // The code is spent from here on: of any number of equal calls one gets past, and a
    // failure is final, because a code that is sent twice can cost the tokens (C8, C11).
    if !state
        .sessions
        .begin_exchange(&session.id, &returned.completion)
        .await?
    {
        return Err(Failed::Elsewhere);
    }
    let answer = state
        .providers
        .exchange(
            &redemption.client.provider,
            &redemption.client.credentials,
            &grant,
        )
        .await;
    let mut answer = answer.map_err(|failure| {
        tracing::warn!(session.id = %session.id, error = %failure, "code was not redeemed");
        refusal(&failure)
    })?;
    // What was told stays with the tokens: they are of no use elsewhere.
    answer.connection_config.extend(session.config.clone());
    answer.connection_config.extend(returned.kept.clone());
    answer.account =
        identify::account(state, session, &redemption, returned, keys, &answer).await?;
    let connection = connect(state, session, &redemption, answer, origin).await?;
    Ok(Connected {
        connector: redemption.connector,
        connection,
    })
}

async fn prepare(state: &State, session: &AuthorizationSession) -> Result<Redemption, Failed> {
    let connector = connector(state, session)
        .await?
        .ok_or_else(connector_gone)?;
    if !connector.serves(&session.app) {
        let disabled = Problem::connector_disabled();
        return Err(Failed::Over(Ending::ConnectorChanged, disabled));
    }
    let keys = state.vault.keys(&session.workspace).await?;
    let client = ConnectorClient::open(&connector, &keys, &session.config, state.address_rules)
        .map_err(|error| {
            tracing::error!(connector.id = %connector.id, error = ?error, "connector is unusable");
            Failed::over(
                Ending::ConnectorChanged,
                Code::Internal,
                "the fault has been recorded",
            )
        })?;
    Ok(Redemption {
        connector,
        client,
        keys,
    })
}

/// Here and not when the flow begins: the function that begins one reads no connections.
async fn refuse_too_many(state: &State, session: &AuthorizationSession) -> Result<(), Failed> {
    let key = session.connection_key();
    let (Some(_), Subject::User(user)) = (&key.alias, &key.subject) else {
        return Ok(());
    };
    let held = state
        .connections
        .of_user(&key.workspace, &key.app, user)
        .await?;
    if has_room_for(&key, &held) {
        return Ok(());
    }
    Err(Failed::over(
        Ending::TooManyAccounts,
        Code::TooManyAccounts,
        "the user has to disconnect another account of this connector first",
    ))
}

/// The connector of a flow, if it is still the one that the flow began with.
pub(crate) async fn connector(
    state: &State,
    session: &AuthorizationSession,
) -> Result<Option<Connector>, StoreError> {
    let found = state
        .registry
        .connector(&session.workspace, &session.connector)
        .await?;
    Ok(found.filter(|connector| session.is_of(connector)))
}

/// Opens code and verifier. Before the code is spent, so that KMS being away costs nothing but
/// another call (C14), and that a code in a callback which nobody signed is never sent.
async fn open_grant(
    state: &State,
    session: &AuthorizationSession,
    returned: &Returned,
    redemption: &Redemption,
) -> Result<CodeGrant, Failed> {
    let opened = state
        .keys
        .open_for_session(&session.id, SessionField::Code, &returned.code)
        .await?;
    let client = &redemption.client.credentials;
    let code = match &session.callback.hmac_param {
        None => opened,
        Some(_) => signed_callback::proven(&opened, client).ok_or_else(unsigned)?,
    };
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
        redirect_uri: redemption.connector.redirect_uri(&state.public_url).into(),
    })
}

/// What a completed flow has connected, if it still is.
pub(crate) async fn found(
    state: &State,
    session: &AuthorizationSession,
    id: &ConnectionId,
) -> Result<Option<Connected>, StoreError> {
    let connector = state
        .registry
        .connector(&session.workspace, &session.connector)
        .await?;
    let connection = state
        .connections
        .connection(&session.connection_key())
        .await?;
    let found = connector
        .zip(connection)
        .filter(|(_, connection)| connection.id == *id && !connection.status.is_gone());
    Ok(found.map(|(connector, connection)| Connected {
        connector,
        connection,
    }))
}

pub(crate) fn expired() -> Failed {
    Failed::over(
        Ending::Expired,
        Code::SessionExpired,
        "start again; a code is kept two minutes",
    )
}

/// The connector was deleted, or its client changed, while the user was away.
pub(crate) fn connector_gone() -> Failed {
    Failed::over(
        Ending::ConnectorChanged,
        Code::Conflict,
        "the connector has changed or is gone; start again",
    )
}

fn being_completed() -> Problem {
    Problem::new(
        Code::Conflict,
        "the flow is being completed by another call",
    )
    .retry_after(Duration::from_secs(2))
}

/// The callback of a provider that signs them was not signed by it, or an admin has given another
/// secret than the one it was signed with.
fn unsigned() -> Failed {
    Failed::over(
        Ending::CodeRefused,
        Code::CodeRefused,
        "the callback is not signed with the client's secret; start again",
    )
}

fn refusal(failure: &TokenFailure) -> Failed {
    let unavailable = |detail: &str, after: Option<Duration>| {
        let problem = Problem::new(Code::ProviderUnavailable, detail);
        let after = after.unwrap_or(Duration::from_secs(5));
        Failed::Over(Ending::ProviderUnavailable, problem.retry_after(after))
    };
    match failure {
        TokenFailure::GrantRefused
        | TokenFailure::InteractionRequired
        | TokenFailure::UnknownTokenType
        | TokenFailure::Unexpected { .. } => Failed::over(
            Ending::CodeRefused,
            Code::CodeRefused,
            "the provider refused the code; start again",
        ),
        TokenFailure::ClientRefused
        | TokenFailure::RequestRefused
        | TokenFailure::Redirected
        | TokenFailure::AddressRefused => Failed::over(
            Ending::CodeRefused,
            Code::CodeRefused,
            "the provider refused the connector; an admin has to check its client and endpoints",
        ),
        TokenFailure::NotSent | TokenFailure::OutcomeUnknown => {
            unavailable("the provider did not answer; start again", None)
        }
        TokenFailure::TryLater { after } => {
            unavailable("the provider is busy; start again later", *after)
        }
    }
}

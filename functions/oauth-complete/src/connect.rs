//! Storing what a redeemed code brought: one transaction, or the tokens are revoked.

use std::time::Duration;

use shared::crypto::hash::{random_fraction, random_id};
use shared::domain::app::AccountChange;
use shared::domain::audit::Origin;
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus};
use shared::domain::ending::Ending;
use shared::domain::event::Change;
use shared::domain::ids::ConnectionId;
use shared::domain::job::{EscrowedGrant, Job, SealedBytes};
use shared::domain::provider::RevocationReach;
use shared::domain::refresh_policy::next_refresh;
use shared::domain::session::AuthorizationSession;
use shared::domain::time::Timestamp;
use shared::domain::token::TokenAnswer;
use shared::events::connection_event;
use shared::http::problem::{Code, Problem};
use shared::ports::{ConnectAnswer, ConnectWrite, Revocation, StoreError};

use crate::State;
use crate::redeem::{Failed, Redemption, connector_gone};

/// How long tokens that cannot be asked for again are offered to the table.
const STORE_BUDGET: Duration = Duration::from_secs(4);

/// Stores the connection. Tokens that end up in none are revoked at the provider.
pub(crate) async fn connect(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    answer: TokenAnswer,
    origin: &Origin,
) -> Result<Connection, Failed> {
    let now = state.clock.now();
    let started = state.clock.monotonic();
    loop {
        let standing = read(state, &session.connection_key(), started).await;
        let standing = match standing {
            Ok(standing) => standing,
            Err(error) => {
                return Err(escrow(state, session, redemption, &answer, origin, error).await);
            }
        };
        if let Some(earlier) = standing.as_ref().filter(|it| is_revoked(redemption, it)) {
            match end_revoked(state, earlier, now).await {
                Ok(()) => {}
                Err(error) if may_retry(state, &error, started) => pause(state).await,
                Err(error) => {
                    return Err(escrow(state, session, redemption, &answer, origin, error).await);
                }
            }
            continue;
        }
        let mut write = write_of(state, session, redemption, &answer, standing, now);
        write.event = write.event.by(origin);
        let replaced = write.replaces.as_ref();
        let replaced = replaced.filter(|connected| is_other_account(connected, &write.connection));
        if replaced.is_some() && session.account_change == AccountChange::Refuse {
            revoke(state, redemption, &write.connection, now).await;
            return Err(Failed::over(
                Ending::AccountMismatch,
                Code::AccountMismatch,
                "another account of the provider is connected here; disconnect it first",
            ));
        }
        match offer(state, &write, started).await {
            Ok(ConnectAnswer::Connected) => {
                if let Some(other) = replaced {
                    // Nobody uses the account that was connected before. Not sooner: until the
                    // new one is stored, the old one is what works (C16).
                    revoke(state, redemption, other, now).await;
                }
                state.publisher.publish(&write.event).await;
                return Ok(write.connection);
            }
            // A refresh or a disconnect came in between: on top of what stands now.
            Ok(ConnectAnswer::Changed) => {}
            Ok(ConnectAnswer::ConnectorGone) => {
                revoke(state, redemption, &write.connection, now).await;
                return Err(connector_gone());
            }
            Ok(ConnectAnswer::SessionGone) => {
                revoke(state, redemption, &write.connection, now).await;
                return Err(Failed::over(
                    Ending::Cancelled,
                    Code::Conflict,
                    "the flow was ended; start again",
                ));
            }
            Err(error) => {
                return Err(escrow(state, session, redemption, &answer, origin, error).await);
            }
        }
    }
}

/// Throws away an answer that cannot be believed: its tokens are stored nowhere but in the
/// request for their revocation.
pub(crate) async fn discard(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    answer: &TokenAnswer,
) {
    let now = state.clock.now();
    let write = write_of(state, session, redemption, answer, None, now);
    revoke(state, redemption, &write.connection, now).await;
}

fn write_of(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    answer: &TokenAnswer,
    standing: Option<Connection>,
    now: Timestamp,
) -> ConnectWrite {
    let kept = standing
        .as_ref()
        .filter(|connection| !connection.status.is_gone());
    let id = kept.map_or_else(
        || ConnectionId::parse(random_id(&*state.entropy)).expect("base64url is an id"),
        |connection| connection.id.clone(),
    );
    // Above whatever stands there, so that a refresh under way cannot store over it (C17).
    let generation = standing
        .as_ref()
        .map_or(0, |connection| connection.generation)
        + 1;
    let tokens = answer.clone().into_token_set();
    let profile = &redemption.client.provider.refresh;
    let validity = answer.validity(profile, now);
    let refreshable = tokens.refresh_credential(profile).is_some();
    let connector = &redemption.connector;
    let connection = Connection {
        key: session.connection_key(),
        sealed: Some(
            redemption
                .keys
                .seal_tokens(&*state.entropy, &id, generation, &tokens),
        ),
        id,
        status: ConnectionStatus::Active,
        generation,
        connector_generation: connector.generation,
        validity,
        refreshable,
        requested_scopes: connector.scopes.clone(),
        granted_scopes: answer
            .scopes
            .clone()
            .unwrap_or_else(|| connector.scopes.clone()),
        account: answer
            .account
            .clone()
            .or_else(|| kept.and_then(|connection| connection.account.clone())),
        due_at: next_refresh(
            profile,
            validity,
            refreshable,
            now,
            random_fraction(&*state.entropy),
        ),
        open_attempts: 0,
        open_since: None,
        outcome_lost: false,
        failures: 0,
        next_attempt_at: None,
        created_at: kept.map_or(now, |connection| connection.created_at),
        connected_at: now,
        refreshed_at: None,
        last_read_at: kept.and_then(|connection| connection.last_read_at),
    };
    let change = if kept.is_some() {
        Change::Reconnected
    } else {
        Change::Connected
    };
    let event = connection_event(&*state.entropy, &connection, change, now);
    ConnectWrite {
        session: session.id.clone(),
        connection,
        replaces: standing,
        event,
    }
}

/// The table did not take what the code brought. It is left to a queue that goes on offering it,
/// and the flow waits (C10); where that is away too, the tokens are revoked and it is over (C9).
async fn escrow(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    answer: &TokenAnswer,
    origin: &Origin,
    error: StoreError,
) -> Failed {
    let now = state.clock.now();
    // As if nothing stood there: what does is for the delivery to see.
    let connection = write_of(state, session, redemption, answer, None, now).connection;
    let kept = match &error {
        StoreError::Unavailable(_) => {
            let job =
                Job::StoreConnection(Box::new(escrowed(session, redemption, &connection, origin)));
            state.jobs.enqueue(&[job]).await.is_ok()
        }
        StoreError::Corrupt(_) => false,
    };
    tracing::error!(session.id = %session.id, error = %error, kept, "the table did not take a connection");
    if !kept {
        revoke(state, redemption, &connection, now).await;
        return Failed::Over(Ending::NotStored, error.into());
    }
    let problem = Problem::new(
        Code::TemporarilyUnavailable,
        "the account is connected as soon as it can be stored; send the same code again",
    );
    Failed::NotYet(problem.retry_after(Duration::from_secs(5)))
}

fn escrowed(
    session: &AuthorizationSession,
    redemption: &Redemption,
    connection: &Connection,
    origin: &Origin,
) -> EscrowedGrant {
    debug_assert_eq!(connection.generation, EscrowedGrant::GENERATION);
    EscrowedGrant {
        session: session.id.clone(),
        connection: connection.key.clone(),
        id: connection.id.clone(),
        connector_generation: connection.connector_generation,
        sealed: SealedBytes(connection.sealed.clone().unwrap_or_default()),
        validity: connection.validity,
        refreshable: connection.refreshable,
        requested_scopes: connection.requested_scopes.clone(),
        granted_scopes: connection.granted_scopes.clone(),
        account: connection.account.clone(),
        account_change: session.account_change,
        revocable: is_revocable(redemption),
        due_at: connection.due_at,
        connected_at: connection.connected_at,
        origin: origin.clone(),
    }
}

/// Whether an admin has revoked what stands there, and the background has not come to it yet.
fn is_revoked(redemption: &Redemption, standing: &Connection) -> bool {
    let generation = standing.connector_generation;
    !standing.status.is_gone() && redemption.connector.has_revoked(generation)
}

/// Ends what an admin has revoked as the background is about to (H-89): what is connected now is
/// another connection, and the earlier grant is revoked at the provider. If it changes meanwhile it
/// is read again.
async fn end_revoked(
    state: &State,
    earlier: &Connection,
    now: Timestamp,
) -> Result<(), StoreError> {
    let revocation = earlier.sealed.clone().map(|sealed| Revocation {
        settles_connection: true,
        ..revocation_of(earlier, sealed, now)
    });
    let event = connection_event(&*state.entropy, earlier, Change::Disconnected, now);
    let ended = state
        .connections
        .disconnect(earlier, revocation.as_ref(), &event);
    if ended.await? {
        state.publisher.publish(&event).await;
    }
    Ok(())
}

/// A known account may not silently become another one (H-16).
fn is_other_account(connected: &Connection, new: &Connection) -> bool {
    match (&connected.account, &new.account) {
        (Some(old), Some(new)) => !connected.status.is_gone() && old.contradicts(new),
        _ => false,
    }
}

async fn read(
    state: &State,
    key: &ConnectionKey,
    started: Duration,
) -> Result<Option<Connection>, StoreError> {
    loop {
        match state.connections.connection(key).await {
            Err(error) if may_retry(state, &error, started) => pause(state).await,
            answer => return answer,
        }
    }
}

async fn offer(
    state: &State,
    write: &ConnectWrite,
    started: Duration,
) -> Result<ConnectAnswer, StoreError> {
    loop {
        match state.connections.connect(write).await {
            Err(error) if may_retry(state, &error, started) => pause(state).await,
            answer => return answer,
        }
    }
}

fn may_retry(state: &State, error: &StoreError, started: Duration) -> bool {
    let spent = state.clock.monotonic().saturating_sub(started);
    matches!(error, StoreError::Unavailable(_)) && spent < STORE_BUDGET
}

async fn pause(state: &State) {
    let jitter = random_fraction(&*state.entropy);
    state
        .clock
        .sleep(Duration::from_millis(100) + Duration::from_millis(200).mul_f64(jitter))
        .await;
}

/// Whether a revocation ends no more than the grant whose token it names.
fn is_revocable(redemption: &Redemption) -> bool {
    let revocation = redemption.client.provider.revocation.as_ref();
    revocation.is_none_or(|how| how.reach == RevocationReach::Grant)
}

/// Nobody has these tokens any more, or ever will: the provider is told, in the background. Not where that
/// would end more than the one grant: what the same account has connected elsewhere, or had
/// connected here before, is worth more than tokens that nobody holds.
async fn revoke(state: &State, redemption: &Redemption, connection: &Connection, now: Timestamp) {
    if !is_revocable(redemption) {
        tracing::info!(connection.id = %connection.id, "tokens were dropped and not revoked");
        return;
    }
    let Some(sealed) = connection.sealed.clone() else {
        return;
    };
    let revocation = revocation_of(connection, sealed, now);
    if let Err(error) = state.due.add_revocation(&revocation, now).await {
        tracing::error!(connection.id = %connection.id, error = %error, "tokens could not be queued for revocation");
    }
}

fn revocation_of(connection: &Connection, sealed: Vec<u8>, now: Timestamp) -> Revocation {
    Revocation {
        key: connection.key.clone(),
        connection: connection.id.clone(),
        sealed,
        generation: connection.generation,
        connector_generation: connection.connector_generation,
        since: now,
        settles_connection: false,
    }
}

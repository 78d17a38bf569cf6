//! One disconnect, whoever asked for it.

use std::time::Duration;

use shared::crypto::hash::random_fraction;
use shared::domain::audit::Origin;
use shared::domain::connection::{Connection, ConnectionKey, RevocationOutcome};
use shared::domain::event::Change;
use shared::domain::time::Timestamp;
use shared::events::connection_event;
use shared::http::problem::{Code, Problem};
use shared::ports::{Revocation, StoreError};

use crate::State;
use crate::revoke::{Settled, revoke};

/// How often a disconnect starts over because a refresh or a reconnect came in between.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What a disconnect came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disconnected {
    /// There was nothing to disconnect any more (K9).
    Before,
    /// The provider's part is settled.
    Settled(RevocationOutcome),
    /// The provider has not confirmed; it is asked again in the background.
    RevocationPending,
}

/// How the hand-out ended.
pub(crate) enum Ended {
    /// It had ended before.
    Before,
    /// There was no ciphertext, so nothing to revoke.
    Settled,
    /// The provider has to be told; the background does unless somebody comes first.
    ToRevoke(Revocation),
}

/// Disconnects what stands under `key`. When this returns, no token of it is handed out any
/// more, whatever the provider says.
pub(crate) async fn disconnect(
    state: &State,
    key: &ConnectionKey,
    origin: &Origin,
) -> Result<Disconnected, Problem> {
    Ok(match end_hand_out(state, key, origin).await? {
        Ended::Before => Disconnected::Before,
        Ended::Settled => Disconnected::Settled(RevocationOutcome::Unsupported),
        Ended::ToRevoke(revocation) => tell_provider(state, &revocation).await,
    })
}

/// Ends the hand-out of what stands under `key`, however it changes meanwhile.
pub(crate) async fn end_hand_out(
    state: &State,
    key: &ConnectionKey,
    origin: &Origin,
) -> Result<Ended, Problem> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let connection = state.connections.connection(key).await?;
        let Some(connection) = connection.filter(|connection| !connection.status.is_gone()) else {
            return Ok(Ended::Before);
        };
        match stop(state, &connection, origin, state.clock.now()).await {
            Ok(Stopped::Settled) => return Ok(Ended::Settled),
            Ok(Stopped::ToRevoke(revocation)) => return Ok(Ended::ToRevoke(revocation)),
            Ok(Stopped::Changed) if tries > 0 => {}
            Ok(Stopped::Changed) => {
                let detail = "the connection keeps changing; try again";
                return Err(Problem::new(Code::Conflict, detail));
            }
            // A transaction that met a refresh's write is refused without saying more.
            Err(StoreError::Unavailable(_)) if tries > 0 => {
                state
                    .clock
                    .sleep(PAUSE.mul_f64(random_fraction(&*state.entropy)))
                    .await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What stopping the hand-out came to.
pub(crate) enum Stopped {
    /// The connection has changed since it was read; nothing was done.
    Changed,
    /// There was no ciphertext, so nothing to revoke.
    Settled,
    /// The provider has to be told.
    ToRevoke(Revocation),
}

/// Stops the hand-out.
pub(crate) async fn stop(
    state: &State,
    connection: &Connection,
    origin: &Origin,
    now: Timestamp,
) -> Result<Stopped, StoreError> {
    let revocation = connection.sealed.clone().map(|sealed| Revocation {
        key: connection.key.clone(),
        connection: connection.id.clone(),
        sealed,
        generation: connection.generation,
        connector_generation: connection.connector_generation,
        since: now,
        settles_connection: true,
    });
    let event = connection_event(&*state.entropy, connection, Change::Disconnected, now);
    let event = event.by(origin);
    if !state
        .connections
        .disconnect(connection, revocation.as_ref(), &event)
        .await?
    {
        return Ok(Stopped::Changed);
    }
    state.publisher.publish(&event).await;
    Ok(revocation.map_or(Stopped::Settled, Stopped::ToRevoke))
}

/// The first try, on the caller's time. Whatever goes wrong is the background's.
pub(crate) async fn tell_provider(state: &State, revocation: &Revocation) -> Disconnected {
    let work = state.due.revocation_work(revocation);
    match revoke(state, &work, revocation).await {
        Ok(Settled::Done(outcome)) => Disconnected::Settled(outcome),
        Ok(Settled::Later) => Disconnected::RevocationPending,
        Err(problem) => {
            tracing::warn!(
                connection.id = %revocation.connection, code = problem.code().as_str(),
                "revocation is left to the background"
            );
            Disconnected::RevocationPending
        }
    }
}

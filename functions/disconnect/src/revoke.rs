//! One try to have a grant revoked at its provider.

use std::time::Duration;

use shared::connector_client::ConnectorClient;
use shared::domain::connection::RevocationOutcome;
use shared::domain::provider::RevocationReach;
use shared::domain::token::RevocationAnswer;
use shared::http::problem::Problem;
use shared::ports::{DueWork, Revocation};

use crate::State;

/// How long a provider is asked (K4).
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Whether anything is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing; the ciphertext is erased.
    Done(RevocationOutcome),
    /// The provider is asked again later.
    Later,
}

/// Asks the provider once and records what came of it. Idempotent: a provider that does not
/// know the token any more counts as having revoked it.
pub(crate) async fn revoke(
    state: &State,
    work: &DueWork,
    revocation: &Revocation,
) -> Result<Settled, Problem> {
    let now = state.clock.now();
    let age = now.since(revocation.since);
    let answer = match ask(state, revocation).await? {
        RevocationAnswer::TryLater { .. } if age >= GIVE_UP_AFTER => {
            tracing::error!(connection.id = %revocation.connection, "revocation_failed");
            return settle(state, work, revocation, RevocationOutcome::Failed).await;
        }
        answer => answer,
    };
    match answer {
        RevocationAnswer::Revoked => {
            settle(state, work, revocation, RevocationOutcome::Revoked).await
        }
        RevocationAnswer::Unsupported => {
            settle(state, work, revocation, RevocationOutcome::Unsupported).await
        }
        RevocationAnswer::TryLater { after } => {
            // Half its age again: often at first, hourly in the end.
            let pause = after.unwrap_or(age / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            state
                .due
                .postpone_revocation(work, revocation, now.after(pause))
                .await?;
            Ok(Settled::Later)
        }
    }
}

async fn ask(state: &State, revocation: &Revocation) -> Result<RevocationAnswer, Problem> {
    let key = &revocation.key;
    let connector = state
        .registry
        .connector(&key.workspace, &key.connector)
        .await?;
    // Tokens go to the endpoints they came from or nowhere (H-38).
    let connector = match connector {
        Some(connector) if connector.has_client_of(revocation.connector_generation) => connector,
        _ => return Ok(RevocationAnswer::Unsupported),
    };
    let keys = state.vault.keys(&key.workspace).await?;
    let tokens = keys.open_tokens_of(
        &revocation.connection,
        revocation.generation,
        &revocation.sealed,
    );
    let told = tokens
        .as_ref()
        .map(|tokens| tokens.connection_config.clone());
    let told = told.unwrap_or_default();
    let client = ConnectorClient::open(&connector, &keys, &told, state.address_rules);
    match (tokens, client) {
        (Ok(_), Ok(client)) if would_end_another(state, revocation, &client).await? => {
            tracing::info!(connection.id = %revocation.connection, "was connected again, and is spared");
            Ok(RevocationAnswer::Unsupported)
        }
        (Ok(tokens), Ok(client)) => {
            let answer = state
                .providers
                .revoke(&client.provider, &client.credentials, &tokens);
            Ok(answer.await)
        }
        // A token that nobody can read needs no revocation that anybody could make.
        (tokens, client) => {
            tracing::error!(
                connection.id = %revocation.connection,
                tokens = ?tokens.err(), client = ?client.err(),
                "a grant cannot be revoked"
            );
            Ok(RevocationAnswer::Unsupported)
        }
    }
}

/// Whether the same place is connected again, at a provider whose revocation would end that too.
/// The old tokens are not worth it: nobody holds them. What else the account has given the client
/// ends with a disconnect, as was said beforehand.
async fn would_end_another(
    state: &State,
    revocation: &Revocation,
    client: &ConnectorClient,
) -> Result<bool, Problem> {
    let how = client.provider.revocation.as_ref();
    if how.is_none_or(|how| how.reach == RevocationReach::Grant) {
        return Ok(false);
    }
    let standing = state.connections.connection(&revocation.key).await?;
    Ok(standing.is_some_and(|connection| !connection.status.is_gone()))
}

/// The outcome is written before the work is removed, so that a crash in between repeats and
/// does not forget.
async fn settle(
    state: &State,
    work: &DueWork,
    revocation: &Revocation,
    outcome: RevocationOutcome,
) -> Result<Settled, Problem> {
    if revocation.settles_connection {
        let now = state.clock.now();
        state
            .connections
            .settle_revocation(&revocation.key, &revocation.connection, outcome, now)
            .await?;
    }
    state.due.remove_revocation(work).await?;
    Ok(Settled::Done(outcome))
}

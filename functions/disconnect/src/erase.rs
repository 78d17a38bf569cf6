//! `DELETE /v1/users/{user}`: an app forgets a user.
//!
//! Hand-out stops for everything at once, and what the connections say of the user is erased with
//! it. Providers are told in the background, as after any disconnect. What is left then says that
//! there was a connection, until it expires: tokens that come late, out of escrow say, are kept
//! out by it. Idempotent, and whoever is interrupted is finished by the next call.

use axum::extract::{self, FromRequestParts as _, Request};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use serde::Serialize;
use shared::domain::app::KeyScope;
use shared::domain::audit::{Action, AuditEntry};
use shared::domain::connection::Connection;
use shared::domain::ids::UserId;
use shared::domain::subject::Subject;
use shared::events::audit_id;
use shared::http::identity::AppBackend;
use shared::http::on_behalf_of::Rider;
use shared::http::problem::Problem;
use shared::http::request::PathIds;
use shared::http::respond;

use crate::State;
use crate::disconnect::{Ended, end_hand_out};

/// How many connections are ended side by side.
const CONCURRENCY: usize = 10;

#[derive(Serialize)]
struct Answer {
    /// How many connections this call has ended.
    disconnected: usize,
}

pub(crate) async fn user(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let scope = KeyScope::ConnectionsWrite;
    let backend = AppBackend::authenticate(&parts, &*state.registry, scope).await?;
    let PathIds(user) = PathIds::<UserId>::from_request_parts(&mut parts, &state).await?;
    backend.user(Rider::of(&parts), Some(&user))?;
    let mut held = state
        .connections
        .of_user(&backend.workspace, &backend.app, &user)
        .await?;
    held.retain(|connection| !connection.is_forgotten());
    // Before anything is erased: an erasure that nobody knows of would be one that nobody asked
    // for. There is no entry of who was not there.
    if !held.is_empty() {
        note(&state, &backend, user).await?;
    }
    let disconnected = stream::iter(held)
        .map(|connection| erase(&state, &backend, connection))
        .buffer_unordered(CONCURRENCY)
        .try_fold(0, async |sum, ended| Ok(sum + usize::from(ended)))
        .await?;
    Ok(respond::json(
        StatusCode::ACCEPTED,
        &Answer { disconnected },
    ))
}

async fn note(state: &State, backend: &AppBackend, user: UserId) -> Result<(), Problem> {
    let id = audit_id(&*state.entropy, state.clock.now());
    let entry = AuditEntry::new(id, &backend.workspace, &backend.origin, Action::UserErased);
    let entry = AuditEntry {
        subject: Some(Subject::User(user)),
        ..entry.about_app(&backend.app)
    };
    state.audit.add_entry(&entry).await?;
    Ok(())
}

/// Whether there was any hand-out to end.
async fn erase(
    state: &State,
    backend: &AppBackend,
    connection: Connection,
) -> Result<bool, Problem> {
    let ended = end_hand_out(state, &connection.key, &backend.origin).await?;
    state.connections.forget(&connection.key).await?;
    Ok(match ended {
        Ended::Before => false,
        Ended::Settled | Ended::ToRevoke(_) => true,
    })
}

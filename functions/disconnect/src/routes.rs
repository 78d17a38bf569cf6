//! The three who may disconnect: the user, an app's back end for its users, an admin.

use axum::extract::{self, FromRequestParts as _, Request};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::domain::app::KeyScope;
use shared::domain::connection::{ConnectionKey, RevocationOutcome};
use shared::domain::ids::{Alias, AppId, ConnectionId, ConnectorId, UserId};
use shared::domain::subject::Subject;
use shared::http::identity::{Admin, AppBackend, User};
use shared::http::on_behalf_of::Rider;
use shared::http::problem::Problem;
use shared::http::request::{PathIds, Query};
use shared::http::respond;

use crate::State;
use crate::disconnect::{Disconnected, disconnect};

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    /// What the provider said; absent while it has not, and when there was nothing to revoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<RevocationOutcome>,
}

pub(crate) async fn by_user(
    extract::State(state): extract::State<State>,
    user: User,
    PathIds(connector): PathIds<ConnectorId>,
    query: Query,
) -> Result<Response, Problem> {
    own(&state, user, connector, alias(&query)?).await
}

/// `DELETE /api/apps/{app_id}/app-user-auth/connectors/{connector_id}`, as Base44's JavaScript SDK
/// spells it (`connectors.disconnectAppUser`).
pub(crate) async fn by_user_at_app(
    extract::State(state): extract::State<State>,
    user: User,
    PathIds((app, connector)): PathIds<(AppId, ConnectorId)>,
) -> Result<Response, Problem> {
    user.at(&app)?;
    own(&state, user, connector, None).await
}

async fn own(
    state: &State,
    user: User,
    connector: ConnectorId,
    alias: Option<Alias>,
) -> Result<Response, Problem> {
    let key = ConnectionKey {
        workspace: user.workspace,
        app: user.app,
        subject: Subject::User(user.user),
        connector,
        alias,
    };
    Ok(answer(&disconnect(state, &key, &user.origin).await?))
}

pub(crate) async fn by_app(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let scope = KeyScope::ConnectionsWrite;
    let backend = AppBackend::authenticate(&parts, &*state.registry, scope).await?;
    let PathIds((user, connector)) =
        PathIds::<(UserId, ConnectorId)>::from_request_parts(&mut parts, &state).await?;
    let query = Query::from_request_parts(&mut parts, &state).await?;
    backend.user(Rider::of(&parts), Some(&user))?;
    let key = ConnectionKey {
        workspace: backend.workspace,
        app: backend.app,
        subject: Subject::User(user),
        connector,
        alias: alias(&query)?,
    };
    Ok(answer(&disconnect(&state, &key, &backend.origin).await?))
}

pub(crate) async fn by_admin(
    extract::State(state): extract::State<State>,
    admin: Admin,
    PathIds((connector, connection)): PathIds<(ConnectorId, ConnectionId)>,
) -> Result<Response, Problem> {
    admin.may_change()?;
    let found = state
        .connections
        .by_id(&admin.workspace, &connector, &connection)
        .await?;
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(answer(
        &disconnect(&state, &found.key, &admin.origin).await?,
    ))
}

/// Which of several accounts. Whether the connector still has several does not matter here: what
/// was connected can always be ended.
fn alias(query: &Query) -> Result<Option<Alias>, Problem> {
    Ok(query.get("alias").map(Alias::parse).transpose()?)
}

fn answer(disconnected: &Disconnected) -> Response {
    let body = Answer {
        status: "disconnected",
        revocation: match disconnected {
            Disconnected::Before | Disconnected::RevocationPending => None,
            Disconnected::Settled(outcome) => Some(*outcome),
        },
    };
    respond::json(StatusCode::OK, &body)
}

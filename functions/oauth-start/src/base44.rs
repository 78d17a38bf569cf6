//! How Base44's JavaScript SDK begins (`connectors.connectAppUser`): a user for themselves, by an app
//! that neither says where the browser is to end nor finishes the flow.

use std::collections::BTreeMap;

use axum::extract;
use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use shared::domain::app::{App, Completion};
use shared::domain::ids::{AppId, ConnectorId};
use shared::domain::session::{Display, Starter};
use shared::http::identity::User;
use shared::http::problem::{Code, Problem};
use shared::http::request::PathIds;
use shared::http::respond;
use url::Url;

use crate::State;
use crate::begin::{Beginning, begin, registered};

/// The page on which the SDK runs, as its browser spells it.
const ORIGIN_URL: HeaderName = HeaderName::from_static("x-origin-url");

#[derive(Serialize)]
struct Answer {
    redirect_url: Url,
}

/// `POST /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/initiate`.
pub(crate) async fn initiate(
    extract::State(state): extract::State<State>,
    user: User,
    PathIds((app, connector)): PathIds<(AppId, ConnectorId)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    user.at(&app)?;
    let app = registered(&state, &user.workspace, &app).await?;
    // An app that proves its users itself is not to get less by a call that somebody else chose.
    if app.completion != Completion::Screen {
        return Err(Problem::new(
            Code::CompletionMode,
            "the app completes its flows itself; to begin this way an admin has to register it \
             with \"completion\": \"screen\" (PUT /v1/apps/{app_id})",
        ));
    }
    let wanted = Beginning {
        connector,
        alias: None,
        starter: Starter::User(user.user),
        starter_label: user.label,
        return_url: return_url(&app, &headers)?,
        login_hint: None,
        display: Display::Redirect,
        // The SDK asks its users for nothing.
        config: BTreeMap::new(),
    };
    let begun = begin(&state, &app, wanted).await?;
    let answer = Answer {
        redirect_url: begun.connect_url,
    };
    Ok(respond::json(StatusCode::OK, &answer))
}

/// The page the user is on, where that is registered, and else the app's first: a page says of
/// itself what it likes, so it chooses among what an admin has named and nothing else (H-10).
fn return_url(app: &App, headers: &HeaderMap) -> Result<Url, Problem> {
    let here = headers.get(ORIGIN_URL).and_then(|url| url.to_str().ok());
    let here = here.and_then(|url| app.return_url(url));
    here.or(app.return_urls.first()).cloned().ok_or_else(|| {
        let detail = "the app has no return URL; an admin has to register one";
        Problem::new(Code::InvalidRequest, detail)
    })
}

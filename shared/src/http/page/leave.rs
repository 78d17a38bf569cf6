//! The way back to the app.

use axum::response::Response;
use url::Url;

use super::window::window;
use super::{FlowCookie, Page, RETURN_GONE, redirect, unavailable};
use crate::domain::app::App;
use crate::domain::ending::Ending;
use crate::domain::ids::ConnectionId;
use crate::domain::session::{AuthorizationSession, Display, SessionToken};
use crate::http::problem::OutcomeName;
use crate::ports::Registry;

/// What the app is told. None of it is the provider's (H-08, H-09).
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The provider agreed; the app completes with this code.
    Authorized(&'a SessionToken),
    /// The user finished on our page.
    Connected(Granted<'a>),
    /// There is no connection.
    Ended(Ending),
}

/// What a connection came to.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'a> {
    /// The connection.
    pub connection: &'a ConnectionId,
    /// Whether less was granted than the connector asks for (C13).
    pub missing_scopes: bool,
    /// Whether it outlives its access token (C12).
    pub refreshable: bool,
}

impl Told<'_> {
    /// `status` on the return URL.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Authorized(_) => "authorized",
            Self::Connected(_) => "connected",
            Self::Ended(ending) => ending.status(),
        }
    }

    /// The return URL with what the app is told.
    pub(super) fn url(&self, return_url: &Url) -> Url {
        let mut url = return_url.clone();
        url.query_pairs_mut().extend_pairs(self.params());
        url
    }

    /// Names and values, each from a closed set or minted by us.
    pub(super) fn params(&self) -> Vec<(&'static str, String)> {
        let mut params = vec![("status", self.status().to_owned())];
        match self {
            Self::Authorized(token) => params.push(("code", token.to_secret().expose().to_owned())),
            Self::Connected(granted) => {
                params.push(("connection_id", granted.connection.as_str().to_owned()));
                if granted.missing_scopes {
                    params.push(("missing_scopes", "true".to_owned()));
                }
                if !granted.refreshable {
                    params.push(("refreshable", "false".to_owned()));
                }
            }
            Self::Ended(ending) => params.push(("code", ending.code().to_owned())),
        }
        params
    }
}

/// The app of a flow, if it still takes browsers back at the flow's return URL (C19).
///
/// # Errors
/// [`RETURN_GONE`], or a page for a store that does not answer.
pub async fn returnable(
    registry: &dyn Registry,
    session: &AuthorizationSession,
) -> Result<App, Page> {
    let app = registry.app(&session.workspace, &session.app).await;
    app.map_err(unavailable)?
        .filter(|app| !app.is_deleting() && app.return_urls.contains(&session.return_url))
        .ok_or(RETURN_GONE)
}

/// Back to the app: a redirect, or the page that tells the app's window. The page is not for an
/// address that has the provider's code in it (H-08).
pub fn leave(session: &AuthorizationSession, told: &Told<'_>, cookie: &FlowCookie<'_>) -> Response {
    if session.display == Display::Popup {
        return window(&session.return_url, told);
    }
    let mut response = redirect(&told.url(&session.return_url), cookie);
    response.extensions_mut().insert(OutcomeName(told.status()));
    response
}

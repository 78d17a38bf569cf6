//! The way back to the app.

use axum::response::Response;
use url::Url;

use super::window::window;
use super::{FlowCookie, redirect};
use crate::domain::ending::Ending;
use crate::domain::ids::ConnectionId;
use crate::domain::session::{AuthorizationSession, Display, SessionToken};
use crate::http::problem::OutcomeName;

/// What the app is told. None of it is the provider's (H-08, H-09).
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The provider agreed; the app completes with this code.
    Authorized(&'a SessionToken),
    /// The user finished on our page.
    Connected(&'a ConnectionId),
    /// There is no connection.
    Ended(Ending),
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
        let more = match self {
            Self::Authorized(token) => ("code", token.to_secret().expose().to_owned()),
            Self::Connected(id) => ("connection_id", id.as_str().to_owned()),
            Self::Ended(ending) => ("code", ending.code().to_owned()),
        };
        vec![("status", self.status().to_owned()), more]
    }
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

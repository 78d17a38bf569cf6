//! The way back to the app.

use axum::response::Response;
use url::Url;

use super::{FlowCookie, redirect};
use crate::domain::ending::Ending;
use crate::domain::ids::ConnectionId;
use crate::domain::session::{AuthorizationSession, SessionToken};
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
    pub fn url(&self, return_url: &Url) -> Url {
        let mut url = return_url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("status", self.status());
        match self {
            Self::Authorized(token) => query.append_pair("code", token.to_secret().expose()),
            Self::Connected(id) => query.append_pair("connection_id", id.as_str()),
            Self::Ended(ending) => query.append_pair("code", ending.code()),
        };
        drop(query);
        url
    }
}

/// 303 to the app.
pub fn leave(session: &AuthorizationSession, told: &Told<'_>, cookie: &FlowCookie<'_>) -> Response {
    let mut response = redirect(&told.url(&session.return_url), cookie);
    response.extensions_mut().insert(OutcomeName(told.status()));
    response
}

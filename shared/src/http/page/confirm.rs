//! The page on which a user finishes a flow that the app cannot complete.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use url::Url;

use super::{Policy, answer};
use crate::domain::session::SessionToken;

/// Who started what, and two buttons. Names are written by admins and issuers.
#[derive(Debug, Template)]
#[template(path = "confirm.html")]
pub struct Confirm<'a> {
    /// The app's name.
    pub app: &'a str,
    /// Whether everyone in the app is to use the account, so that an admin started.
    pub shared: bool,
    /// The id of who started.
    pub starter: &'a str,
    /// What their JWT called them.
    pub starter_label: Option<&'a str>,
    /// The provider's name.
    pub provider: &'a str,
    /// The connector's name.
    pub connector: &'a str,
    /// The completion code.
    pub code: &'a str,
}

impl Confirm<'_> {
    /// The page. Its form comes to us, and from there goes to `return_url`.
    pub fn answer(&self, return_url: &Url) -> Response {
        let origin = return_url.origin().ascii_serialization();
        let policy = Policy {
            form_action: Some(&format!("'self' {origin}")),
            ..Policy::default()
        };
        answer(StatusCode::OK, "asked", self, policy)
    }
}

/// Where the page is: at an address of ours, with our code and none of the provider's (H-08).
pub fn confirm_url(public_url: &Url, completion: &SessionToken) -> Url {
    let path = format!("/oauth/confirm?code={}", completion.to_secret().expose());
    let url = public_url.join(&path);
    url.expect("a completion code is part of a query as it is")
}

/// The flow is being completed by an earlier press of the button: the page comes back until it
/// has ended.
#[derive(Debug, Template)]
#[template(path = "wait.html")]
pub struct Wait<'a> {
    /// The completion code.
    pub code: &'a str,
}

impl IntoResponse for Wait<'_> {
    fn into_response(self) -> Response {
        let policy = Policy::default();
        answer(StatusCode::OK, "being_completed", &self, policy)
    }
}

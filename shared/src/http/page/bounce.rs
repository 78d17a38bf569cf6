//! The page that makes a POST from the provider's site one from ours (H-13): the flow's cookie is
//! SameSite=Lax and comes only with the second.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use url::Url;

use super::{Policy, SEND_ON, answer};

/// The field by which a form of this page is known.
pub const BOUNCED: &str = "bounced";

/// The provider's answer, to be posted again.
#[derive(Debug, Template)]
#[template(path = "bounce.html")]
pub struct Bounce<'a> {
    /// The path it came to.
    pub action: String,
    /// What is passed on of it: names of ours, values of the provider's.
    pub fields: Vec<(&'a str, &'a str)>,
}

impl Bounce<'_> {
    /// The page. Its form comes to us, and from there goes to `return_url`.
    pub fn answer(&self, return_url: &Url) -> Response {
        let origin = return_url.origin().ascii_serialization();
        let policy = Policy {
            script: Some(SEND_ON),
            form_action: Some(&format!("'self' {origin}")),
        };
        answer(StatusCode::OK, "bounced", self, policy)
    }
}

//! The last page of a flow in a window of its own: it hands the end to the app's window.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use super::leave::Told;
use super::{HAND_OVER, Policy, answer};
use crate::domain::ending::Ending;

/// What the message says it is.
const MESSAGE_TYPE: &str = "grantry.connect";

#[derive(Template)]
#[template(path = "window.html")]
struct Window {
    title: &'static str,
    /// Where the browser goes if no window waits for it, or no script runs.
    url: Url,
    /// Who may read the message: the origin of the registered return URL and nobody else (H-11).
    origin: String,
    /// As JSON.
    message: String,
}

/// The page.
pub(super) fn window(return_url: &Url, told: &Told<'_>) -> Response {
    let message: Map<String, Value> = [("type", MESSAGE_TYPE.to_owned())]
        .into_iter()
        .chain(told.params())
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let page = Window {
        title: match told {
            Told::Authorized(_) | Told::Connected(_) => "Done",
            Told::Ended(Ending::Denied | Ending::Cancelled) => "Cancelled",
            Told::Ended(_) => "Nothing was connected",
        },
        url: told.url(return_url),
        origin: return_url.origin().ascii_serialization(),
        message: Value::Object(message).to_string(),
    };
    let policy = Policy {
        script: Some(HAND_OVER),
        ..Policy::default()
    };
    answer(StatusCode::OK, told.status(), &page, policy)
}

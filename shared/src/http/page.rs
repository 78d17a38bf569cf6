//! The few pages a browser sees when a connect flow ends with Grantry and not with the app.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::problem::{OutcomeName, Problem};
use crate::domain::ids::SessionId;
use crate::domain::secret::Secret;
use crate::domain::session::{SESSION_LIFETIME, cookie_name};

/// Sets what every answer to a browser carries (H-08): it is not kept, tells nobody where it
/// came from, runs nothing, is shown in no frame and stays on TLS.
pub fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A page of ours. All its text is fixed: nothing a provider or a request said is ever in it
/// (H-09).
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: StatusCode,
    /// The outcome's name in the log.
    pub code: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What happened and what to do next.
    pub text: &'static str,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let body = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><p>{text}</p></main></body></html>",
            title = self.title,
            text = self.text,
        );
        let mut response = (self.status, body).into_response();
        harden(response.headers_mut());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        response.extensions_mut().insert(OutcomeName(self.code));
        response
    }
}

/// A store or KMS that did not answer. The error is logged on its way into the problem; the
/// browser sees a page.
pub fn unavailable(error: impl Into<Problem>) -> Page {
    let _logged: Problem = error.into();
    Page {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "temporarily_unavailable",
        title: "Something is busy",
        text: "Wait a moment, then load this page again.",
    }
}

/// Sends the browser on, with the flow's cookie set or cleared (H-03, H-08).
pub fn redirect(location: &Url, cookie: &FlowCookie<'_>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    harden(response.headers_mut());
    let value = |text: &str| HeaderValue::from_str(text).expect("URLs and cookies are ASCII");
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(location.as_str()));
    headers.insert(header::SET_COOKIE, value(&cookie.to_string()));
    response
}

/// The cookie that ties a flow to the browser it began in.
#[derive(Clone, Copy, Debug)]
pub enum FlowCookie<'a> {
    /// Set for the session's time.
    Set(&'a SessionId, &'a Secret),
    /// Cleared.
    Clear(&'a SessionId),
}

impl fmt::Display for FlowCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, value, age) = match self {
            Self::Set(session, secret) => (session, secret.expose(), SESSION_LIFETIME.as_secs()),
            Self::Clear(session) => (session, "", 0),
        };
        let name = cookie_name(session);
        write!(
            f,
            "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}"
        )
    }
}

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;display:grid;\
place-items:center;min-height:100vh;background:#f6f7f9;color:#1a1d21}\
main{max-width:32rem;margin:1rem;padding:2rem;background:#fff;border-radius:12px;\
box-shadow:0 1px 4px #0002}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:0}\
@media(prefers-color-scheme:dark){body{background:#16181c;color:#e8eaed}main{background:#22252b}}";

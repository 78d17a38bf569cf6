//! The few pages a browser sees when a connect flow ends with Grantry and not with the app.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::problem::OutcomeName;

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

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;display:grid;\
place-items:center;min-height:100vh;background:#f6f7f9;color:#1a1d21}\
main{max-width:32rem;margin:1rem;padding:2rem;background:#fff;border-radius:12px;\
box-shadow:0 1px 4px #0002}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:0}\
@media(prefers-color-scheme:dark){body{background:#16181c;color:#e8eaed}main{background:#22252b}}";

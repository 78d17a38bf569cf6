//! What a browser sees of Grantry: pages, redirects, and the cookie that ties a flow to the
//! browser it began in.
//!
//! Pages are templates in `shared/templates`, compiled in; every value in them is escaped there.

mod bounce;
mod confirm;
mod leave;
mod notices;
mod window;

use std::fmt;

use askama::Template;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::problem::{OutcomeName, Problem};
use crate::crypto::hash::{digest_of, matches};
use crate::domain::ids::SessionId;
use crate::domain::secret::Secret;
use crate::domain::session::{AuthorizationSession, SESSION_LIFETIME, cookie_name};

pub use bounce::{BOUNCED, Bounce};
pub use confirm::{Confirm, Wait, confirm_url};
pub use leave::{Granted, Told, leave, returnable};
pub use notices::*;

/// The script of the page that ends a flow in a window of its own. It reads its data from the
/// page and holds none.
pub(crate) const HAND_OVER: &str = include_str!("../../templates/hand_over.js");

/// The script of the page that sends a posted answer on.
pub(crate) const SEND_ON: &str = include_str!("../../templates/send_on.js");

/// The style of every page, as it stands in them.
pub(crate) const STYLE: &str = include_str!("../../templates/page.css");

/// Sets what every answer carries (H-08), where the answer itself has not said otherwise: it is
/// not kept, tells nobody where it came from, runs nothing, is shown in no frame and stays on TLS.
pub fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// What a page may do, as its Content-Security-Policy says it. Style and script are named by
/// their hashes; nothing else is loaded, and no frame shows it.
#[derive(Clone, Copy, Debug, Default)]
struct Policy<'a> {
    /// The one script that runs, if any.
    script: Option<&'a str>,
    /// Where its form may go; browsers hold redirects after it to the same (CSP 3, `form-action`).
    form_action: Option<&'a str>,
}

impl Policy<'_> {
    fn header(self) -> HeaderValue {
        let style = source(STYLE);
        let script = self.script.map_or_else(|| "'none'".to_owned(), source);
        let form_action = self.form_action.unwrap_or("'none'");
        let policy = format!(
            "default-src 'none'; style-src {style}; script-src {script}; \
             frame-ancestors 'none'; base-uri 'none'; form-action {form_action}"
        );
        HeaderValue::from_str(&policy).expect("hashes and origins are ASCII")
    }
}

/// The hash source of an inline style or script (CSP 3 section 2.3.1).
fn source(text: &str) -> String {
    format!(
        "'sha256-{}'",
        BASE64_STANDARD.encode(digest_of(text.as_bytes()))
    )
}

/// An answer with a page.
fn answer(
    status: StatusCode,
    outcome: &'static str,
    page: &impl Template,
    policy: Policy<'_>,
) -> Response {
    let html = page.render().expect("a template writes to memory");
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.header());
    response.extensions_mut().insert(OutcomeName(outcome));
    response
}

/// A page that only says something. All its text is fixed: nothing a provider or a request said
/// is ever in it (H-09).
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

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice {
    page: Page,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let notice = Notice { page: self };
        answer(self.status, self.code, &notice, Policy::default())
    }
}

/// A store or KMS that did not answer. The error is logged on its way into the problem; the
/// browser sees a page.
pub fn unavailable(error: impl Into<Problem>) -> Page {
    let _logged: Problem = error.into();
    UNAVAILABLE
}

/// Sends the browser on, with the flow's cookie set, cleared or left as it is (H-03, H-08).
pub fn redirect(location: &Url, cookie: &FlowCookie<'_>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).expect("URLs and cookies are ASCII");
    headers.insert(header::LOCATION, value(location.as_str()));
    if !matches!(cookie, FlowCookie::Keep) {
        headers.insert(header::SET_COOKIE, value(&cookie.to_string()));
    }
    response
}

/// The cookie that ties a flow to the browser it began in.
#[derive(Clone, Copy, Debug)]
pub enum FlowCookie<'a> {
    /// Set for the session's time.
    Set(&'a SessionId, &'a Secret),
    /// Left as it is: a page of ours still needs it. It lapses with the session.
    Keep,
    /// Cleared.
    Clear(&'a SessionId),
}

impl fmt::Display for FlowCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, value, age) = match self {
            Self::Set(session, secret) => (session, secret.expose(), SESSION_LIFETIME.as_secs()),
            Self::Clear(session) => (session, "", 0),
            Self::Keep => return Ok(()),
        };
        let name = cookie_name(session);
        write!(
            f,
            "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}"
        )
    }
}

/// Refuses every browser but the one that the flow sent to the provider (H-03).
///
/// # Errors
/// [`OTHER_BROWSER`], also when the cookie comes twice.
pub fn same_browser(headers: &HeaderMap, session: &AuthorizationSession) -> Result<(), Page> {
    let name = cookie_name(&session.id);
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name);
    let value = values.next().map(|(_, value)| Secret::new(value));
    let only = value.filter(|_| values.next().is_none());
    match (only, &session.cookie) {
        (Some(cookie), Some(expected)) if matches(&cookie, expected) => Ok(()),
        _ => Err(OTHER_BROWSER),
    }
}

/// Refuses a form that a page of another site sent, as far as the browser tells. `Origin` would
/// not: under `Referrer-Policy: no-referrer` it is `null` (Fetch standard, "serializing a request
/// origin"), while `Sec-Fetch-Site` is set by every current browser and by no script.
///
/// # Errors
/// [`FOREIGN_FORM`].
pub fn same_origin(headers: &HeaderMap) -> Result<(), Page> {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if sites.all(|site| site == "same-origin") {
        Ok(())
    } else {
        Err(FOREIGN_FORM)
    }
}

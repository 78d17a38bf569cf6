//! The authorization endpoint (RFC 6749 section 4.1.1) and the decision of the consent page.

use std::sync::Arc;

use axum::extract::{Form, RawQuery, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::observe::LoggedRequest;
use super::pages;
use super::server::Server;
use super::state::Request;

/// `GET /authorize`.
pub(crate) async fn begin(
    Shared(server): Shared<Arc<Server>>,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::read(query.as_deref().unwrap_or_default());
    let number = {
        let mut inner = server.lock();
        inner.count(params.get("client_id"), |tally| tally.authorize += 1);
        inner.record(log_entry("GET /authorize", query, Vec::new(), server.now()))
    };
    let response = consider(&server, &params);
    server.answered(number, response.status().as_u16());
    response
}

fn consider(server: &Server, params: &Params) -> Response {
    let mut inner = server.lock();
    // Until client and redirect URI are known to belong together, nobody is redirected
    // anywhere (RFC 6749 section 4.1.2.1).
    let Some(client) = params
        .get("client_id")
        .and_then(|id| inner.state.client(id))
    else {
        return pages::refusal("This application is not registered here.");
    };
    let Some(redirect_uri) = params
        .get("redirect_uri")
        .filter(|uri| client.redirects.allow(uri))
    else {
        return pages::refusal(
            "The application asked to return to an address it did not register.",
        );
    };
    let request = Request {
        client_id: client.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state: params.get("state").map(str::to_owned),
        nonce: params.get("nonce").map(str::to_owned),
        challenge: params.get("code_challenge").map(str::to_owned),
        scopes: params.scopes(),
        login_hint: params.get("login_hint").map(str::to_owned),
        form_post: params.get("response_mode") == Some("form_post"),
    };
    let settings = inner.state.settings.clone();
    let issuer = settings.iss.then_some(server.url.as_str());
    if let Some(error) = params.fault(settings.require_pkce) {
        return back(&request, &[("error", error)], issuer);
    }
    let account = request.login_hint.clone().unwrap_or(settings.account);
    if settings.auto_approve {
        let code = inner
            .state
            .issue_code(request.clone(), &account, server.now());
        return back(&request, &[("code", &code)], issuer);
    }
    let ticket = inner.state.open_consent(request.clone());
    drop(inner);
    pages::consent(&server.name, &request, &ticket, &account)
}

/// The fields of the consent page.
#[derive(Deserialize)]
pub(crate) struct Decision {
    request: String,
    #[serde(default)]
    account: String,
    decision: String,
}

/// `POST /authorize/decision`.
pub(crate) async fn decide(
    Shared(server): Shared<Arc<Server>>,
    Form(decision): Form<Decision>,
) -> Response {
    let (number, request) = {
        let mut inner = server.lock();
        let request = inner.state.take_consent(&decision.request);
        inner.count(request.as_ref().map(|r| r.client_id.as_str()), |tally| {
            tally.decision += 1
        });
        let fields = vec![("decision".to_owned(), decision.decision.clone())];
        let entry = log_entry("POST /authorize/decision", None, fields, server.now());
        (inner.record(entry), request)
    };
    let response = conclude(&server, request, &decision);
    server.answered(number, response.status().as_u16());
    response
}

fn conclude(server: &Server, request: Option<Request>, decision: &Decision) -> Response {
    let Some(request) = request else {
        return pages::refusal("This request was decided before, or never made.");
    };
    let mut inner = server.lock();
    let settings = inner.state.settings.clone();
    let issuer = settings.iss.then_some(server.url.as_str());
    if decision.decision != "connect" {
        return back(&request, &[("error", "access_denied")], issuer);
    }
    let account = match decision.account.trim() {
        "" => settings.account,
        account => account.to_owned(),
    };
    let code = inner
        .state
        .issue_code(request.clone(), &account, server.now());
    back(&request, &[("code", &code)], issuer)
}

/// The authorization response: a page whose form posts it, or 303, so that a browser never posts
/// the decision on (RFC 9700 section 4.12).
fn back(request: &Request, params: &[(&str, &str)], issuer: Option<&str>) -> Response {
    let state = request.state.as_deref().map(|state| ("state", state));
    let issuer = issuer.map(|issuer| ("iss", issuer));
    let params = params.iter().copied().chain(state).chain(issuer);
    if request.form_post {
        return pages::form_post(&request.redirect_uri, params);
    }
    let mut to = Url::parse(&request.redirect_uri).expect("it was parsed to be allowed");
    to.query_pairs_mut().extend_pairs(params);
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, String::from(to))],
    )
        .into_response()
}

fn log_entry(
    request: &str,
    query: Option<String>,
    form: Vec<(String, String)>,
    at_ms: i64,
) -> LoggedRequest {
    let request = request.to_owned();
    LoggedRequest {
        number: 0,
        at_ms,
        request,
        query,
        form,
        authorization: None,
        status: None,
    }
}

/// Query parameters; an empty one counts as left out (RFC 6749 section 3.1).
struct Params(Vec<(String, String)>);

impl Params {
    fn read(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// In the order asked for, each once.
    fn scopes(&self) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.get("scope").unwrap_or_default().split_whitespace() {
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
        scopes
    }

    /// What is wrong with an otherwise genuine request.
    fn fault(&self, require_pkce: bool) -> Option<&'static str> {
        match self.get("response_type") {
            Some("code") => {}
            Some(_) => return Some("unsupported_response_type"),
            None => return Some("invalid_request"),
        }
        if !matches!(
            self.get("response_mode"),
            None | Some("query" | "form_post")
        ) {
            return Some("invalid_request");
        }
        match (
            self.get("code_challenge"),
            self.get("code_challenge_method"),
        ) {
            // 43 characters is the length of an unpadded SHA-256 (RFC 7636 section 4.2).
            (Some(challenge), Some("S256")) if challenge.len() == 43 => None,
            (None, None) if !require_pkce => None,
            (_, _) => Some("invalid_request"),
        }
    }
}

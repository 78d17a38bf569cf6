//! `POST /v1/oauth/token`: the look-up as an OAuth token exchange (RFC 8693), for clients that
//! speak that already. The subject is the user's own JWT, the audience a connector, and the
//! client an API key.

use std::time::Duration;

use axum::extract::{self, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use shared::domain::app::PresentedApiKey;
use shared::domain::ids::ConnectorId;
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::time::Timestamp;
use shared::http::identity::presented_key;
use shared::http::problem::{Code, Problem};
use shared::http::request::{Form, Query};
use shared::http::respond;
use shared::refresh::FreshTokens;

use crate::hand_out::{Asked, HandedOut, hand_out};
use crate::{DEFAULT_MIN_TTL, State};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What a user's JWT may be called.
const JWTS: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];

/// RFC 8693 section 2.2.1.
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    scope: String,
}

pub(crate) async fn exchange(
    extract::State(state): extract::State<State>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let mut response = match exchanged(&state, &parts, request).await {
        Ok(handed_out) => answer(&handed_out.fresh, state.engine.clock.now()),
        Err(problem) => problem.into_oauth(),
    };
    // In the scheme that the client has tried (RFC 6749 section 5.2).
    if response.headers().contains_key(WWW_AUTHENTICATE) && basic_of(&parts).is_some() {
        let basic = HeaderValue::from_static("Basic realm=\"grantry\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    }
    response
}

async fn exchanged(state: &State, parts: &Parts, request: Request) -> Result<HandedOut, Problem> {
    let key = client(parts)?;
    let Form(form) = Form::from_request(request, &()).await?;
    expect(&form, "grant_type", &[EXCHANGE])?;
    expect(&form, "subject_token_type", &JWTS)?;
    if form.get("requested_token_type").is_some() {
        expect(&form, "requested_token_type", &[ACCESS_TOKEN])?;
    }
    for unknown in ["resource", "actor_token", "actor_token_type"] {
        if form.get(unknown).is_some() {
            return Err(Problem::field(unknown, "is not supported here"));
        }
    }
    let connector = required(&form, "audience")?;
    let connector = ConnectorId::parse(connector).map_err(|_| Problem::not_connected())?;
    let scopes = form.get("scope").map(|scope| {
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
        ScopeList::parse(scopes).map_err(|error| Problem::field("scope", error.to_string()))
    });
    let token = Secret::new(required(&form, "subject_token")?);
    // A subject token that proves nobody is the request's fault and not the client's (RFC 8693
    // section 2.2.2).
    let rider = state.on_behalf_of.prove(&token).await;
    let rider = rider.map_err(|problem| match problem.code() {
        Code::Unauthenticated => Problem::field(
            "subject_token",
            "must be a live JWT of the platform's issuer",
        ),
        _ => problem,
    })?;
    let asked = Asked {
        key,
        app: None,
        connector,
        rider: Some(&rider),
        named: None,
        alias: None,
        min_ttl: Duration::from_secs(DEFAULT_MIN_TTL),
        scopes: scopes.transpose()?,
    };
    hand_out(state, parts, asked).await
}

/// The client's API key: as a bearer token, or as the password of HTTP Basic with any name (RFC
/// 6749 section 2.3.1; a key has no character that its encoding would change).
fn client(parts: &Parts) -> Result<PresentedApiKey, Problem> {
    let Some(basic) = basic_of(parts) else {
        return presented_key(parts);
    };
    let decoded = STANDARD.decode(basic).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.map(Secret::new);
    let password = decoded.as_ref().and_then(|it| it.expose().split_once(':'));
    password
        .and_then(|(_, key)| PresentedApiKey::parse(key))
        .ok_or_else(|| {
            let detail = "send a live API key of the app as the password";
            Problem::new(Code::Unauthenticated, detail)
        })
}

/// What came as HTTP Basic; `None` where that is not the one way that was tried.
fn basic_of(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let (scheme, rest) = only?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim())
}

fn required<'a>(form: &'a Query, field: &'static str) -> Result<&'a str, Problem> {
    form.get(field)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Problem::field(field, "is missing"))
}

fn expect(form: &Query, field: &'static str, known: &[&str]) -> Result<(), Problem> {
    let value = required(form, field)?;
    if known.contains(&value) {
        return Ok(());
    }
    Err(Problem::field(
        field,
        format!("must be {}", known.join(" or ")),
    ))
}

fn answer(fresh: &FreshTokens, now: Timestamp) -> Response {
    let expires_at = fresh.connection.validity.expires_at;
    let answer = Answer {
        access_token: fresh.tokens.access_token.expose(),
        issued_token_type: ACCESS_TOKEN,
        token_type: "Bearer",
        expires_in: expires_at.map(|at| at.since(now).as_secs()),
        scope: fresh.connection.granted_scopes.join(" "),
    };
    respond::json(StatusCode::OK, &answer).into_response()
}

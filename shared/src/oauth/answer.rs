//! A token endpoint's answer, brought into the shape of RFC 6749 section 5.1 before the
//! `oauth2` crate parses it.
//!
//! Providers nest tokens, leave out `token_type`, write numbers as text and scopes as arrays.
//! All of that ends here: behind this module there is one shape. What cannot be read is an
//! unknown outcome, never a half-read token.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Response;
use oauth2::basic::BasicTokenType;
use oauth2::{ExtraTokenFields, StandardTokenResponse, TokenResponse as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::account;
use super::classify::{classify, reports_error};
use super::json::{self, text_at};
use crate::domain::provider::{Provider, TokenEndpointProfile};
use crate::domain::scopes::ScopeList;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::{Account, TokenAnswer, TokenFailure};

/// The longest an access token is believed to live (H-72).
const YEAR_SECONDS: u64 = 365 * 24 * 3600;
/// The longest a refresh token is believed to live. Some providers tell of five years.
const TEN_YEARS_SECONDS: u64 = 10 * YEAR_SECONDS;
/// The longest captured value, in characters.
const MAX_CAPTURED: usize = 2048;
/// The member of a normalised answer that carries what RFC 6749 has no member for.
const BESIDE: &str = "grantry";

/// What `oauth2` parses a normalised answer into.
pub(super) type Parsed = StandardTokenResponse<Extra, BasicTokenType>;

/// Members beside those of RFC 6749.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Extra {
    grantry: Beside,
}

impl ExtraTokenFields for Extra {}

/// What the provider's profile finds in an answer beside the tokens.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    connection_config: BTreeMap<String, String>,
    account: Option<(String, Option<String>)>,
    refresh_expires_in: Option<u64>,
    id_token: Option<IdToken>,
}

/// An ID token between two steps of parsing. It tells who somebody is, and is not printed.
#[derive(Clone, Serialize, Deserialize)]
struct IdToken(String);

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

/// Reads a token endpoint's answer.
///
/// # Errors
/// What the answer means when it brought no tokens.
pub fn read_answer(
    response: &Response<Vec<u8>>,
    provider: &Provider,
    now: Timestamp,
) -> Result<TokenAnswer, TokenFailure> {
    read_answer_at(&provider.token.token_path, response, provider, now)
}

/// The same, with the tokens at `token_path`.
pub(super) fn read_answer_at(
    token_path: &str,
    response: &Response<Vec<u8>>,
    provider: &Provider,
    now: Timestamp,
) -> Result<TokenAnswer, TokenFailure> {
    let normal = normalise(token_path, response, provider, now)?;
    let parsed = serde_json::from_slice(&normal).map_err(|_| TokenFailure::OutcomeUnknown)?;
    Ok(answer(&parsed, provider))
}

/// The same as far as `oauth2` reads on: tokens as a body that it can parse.
pub(super) fn normalise(
    token_path: &str,
    response: &Response<Vec<u8>>,
    provider: &Provider,
    now: Timestamp,
) -> Result<Vec<u8>, TokenFailure> {
    let body = json::parse(response.body());
    let status = response.status();
    match body {
        Some(body) if status.is_success() && !reports_error(&body, &provider.token) => {
            let normal = standard_shape(token_path, &body, provider)?;
            serde_json::to_vec(&normal).map_err(|_| TokenFailure::OutcomeUnknown)
        }
        body => Err(classify(
            status,
            response.headers(),
            body.as_ref(),
            &provider.token,
            now,
        )),
    }
}

/// The domain's view of a parsed answer.
pub(super) fn answer(parsed: &Parsed, provider: &Provider) -> TokenAnswer {
    let beside = &parsed.extra_fields().grantry;
    TokenAnswer {
        access_token: Secret::new(parsed.access_token().secret().as_str()),
        refresh_token: parsed
            .refresh_token()
            .map(|token| Secret::new(token.secret().as_str())),
        lifetime: parsed.expires_in().or(provider.refresh.assumed_lifetime),
        refresh_lifetime: beside.refresh_expires_in.map(Duration::from_secs),
        scopes: parsed
            .scopes()
            .map(|scopes| ScopeList::reported(scopes.iter().map(|scope| scope.to_string()))),
        connection_config: beside.connection_config.clone(),
        account: beside
            .account
            .clone()
            .map(|(id, label)| Account { id, label }),
        id_token: beside.id_token.clone().map(|token| Secret::new(token.0)),
        by_previous_secret: false,
    }
}

fn standard_shape(
    token_path: &str,
    body: &Value,
    provider: &Provider,
) -> Result<Value, TokenFailure> {
    let profile = &provider.token;
    let tokens = body
        .pointer(token_path)
        .filter(|tokens| non_empty(tokens, own_name(profile, "access_token")).is_some())
        .unwrap_or(body);
    let access_token =
        non_empty(tokens, own_name(profile, "access_token")).ok_or(TokenFailure::OutcomeUnknown)?;
    if !is_bearer(tokens, profile) {
        return Err(TokenFailure::UnknownTokenType);
    }
    let mut normal = Map::new();
    normal.insert("access_token".into(), access_token.into());
    normal.insert("token_type".into(), "bearer".into());
    if let Some(token) = non_empty(tokens, own_name(profile, "refresh_token")) {
        normal.insert("refresh_token".into(), token.into());
    }
    if let Some(seconds) = seconds(tokens, own_name(profile, "expires_in")) {
        normal.insert("expires_in".into(), seconds.min(YEAR_SECONDS).into());
    }
    if let Some(scopes) = scopes(body, tokens, profile) {
        normal.insert("scope".into(), scopes.into());
    }
    normal.insert(BESIDE.into(), beside(body, tokens, provider));
    Ok(Value::Object(normal))
}

/// What the provider calls a member of RFC 6749 section 5.1.
fn own_name<'a>(profile: &'a TokenEndpointProfile, name: &'a str) -> &'a str {
    profile.members.get(name).map_or(name, String::as_str)
}

/// An empty text is a missing one (H-65).
fn non_empty<'a>(tokens: &'a Value, name: &str) -> Option<&'a str> {
    tokens.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Whether the token is used as a bearer token. RFC 6749 requires `token_type`, yet some
/// providers that only know one type leave it out. Any other type must not be used (section
/// 7.1, H-73).
fn is_bearer(tokens: &Value, profile: &TokenEndpointProfile) -> bool {
    match tokens.get(own_name(profile, "token_type")) {
        None | Some(Value::Null) => true,
        Some(Value::String(kind)) => {
            kind.is_empty()
                || kind.eq_ignore_ascii_case("bearer")
                || profile
                    .bearer_types
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(kind))
        }
        Some(_) => false,
    }
}

/// Seconds from a number or a text, from zero; `None` when there is none to be read (H-72).
fn seconds(tokens: &Value, name: &str) -> Option<u64> {
    let seconds = match tokens.get(name)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // A cast from float saturates: what is below zero becomes zero.
    seconds.is_finite().then_some(seconds as u64)
}

/// For how long the refresh token lives, if the answer tells. There are servers that write zero
/// for a token without an end, and nobody issues a dead one: zero and less tell nothing.
fn refresh_expires_in(tokens: &Value, provider: &Provider) -> Option<u64> {
    let member = provider.refresh.refresh_expires_in.as_deref()?;
    let seconds = seconds(tokens, member)?;
    (seconds > 0).then_some(seconds.min(TEN_YEARS_SECONDS))
}

/// Scopes joined by spaces, from a text with the provider's separator or from an array. An
/// empty text is no list (RFC 6749 section 3.3) and means the same as none: as asked for.
fn scopes(body: &Value, tokens: &Value, profile: &TokenEndpointProfile) -> Option<String> {
    let told = match &profile.scope_path {
        Some(path) => body.pointer(path),
        None => tokens.get(own_name(profile, "scope")),
    };
    let scopes: Vec<&str> = match told? {
        Value::String(text) => text
            .split(&profile.scope_separator)
            .map(str::trim)
            .collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let scopes: Vec<&str> = scopes
        .into_iter()
        .filter(|scope| !scope.is_empty())
        .collect();
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

fn beside(body: &Value, tokens: &Value, provider: &Provider) -> Value {
    let connection_config: BTreeMap<&String, String> = provider
        .captured
        .iter()
        .filter_map(|(name, pointer)| Some((name, text_at(body, pointer)?)))
        .filter(|(_, value)| value.chars().count() <= MAX_CAPTURED)
        .collect();
    let account = provider
        .identity
        .as_ref()
        .filter(|identity| identity.url.is_none() && !identity.id_token)
        .and_then(|identity| account::read(identity, body))
        .map(|account| (account.id, account.label));
    json!({
        "connection_config": connection_config,
        "account": account,
        "refresh_expires_in": refresh_expires_in(tokens, provider),
        "id_token": non_empty(tokens, "id_token").or(non_empty(body, "id_token")),
    })
}

#[cfg(test)]
mod tests;

//! Revocation in every shape providers have it: how a token is named in a request, and what
//! an answer says about the grant (RFC 7009 section 2.2 as far as they follow it).

use std::time::Duration;

use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::classify::{error_class, reports_error, retry_after};
use super::json::{self, text_at};
use super::request::{self, JSON, Unbuildable};
use crate::domain::provider::{
    ErrorClass, Provider, Revocation, RevocationShape, RevokedToken, TokenEndpointProfile,
};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::ports::ClientCredentials;

/// Everything but the unreserved characters of RFC 3986, so that a value stays inside its path
/// segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What an answer says about the token that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is revoked.
    Revoked,
    /// The provider does not know it, or not any more.
    Unknown,
    /// This token cannot be revoked here; another of the same grant perhaps can.
    WrongKind,
    /// Nothing is decided.
    TryLater {
        /// From `Retry-After`.
        after: Option<Duration>,
    },
    /// The provider will not do it.
    Refused,
}

/// Whether the shape's request can name a token of either kind.
pub(super) fn takes_either(shape: RevocationShape) -> bool {
    match shape {
        RevocationShape::FormPost
        | RevocationShape::FormBasic
        | RevocationShape::TokenOnly
        | RevocationShape::JsonBasic => true,
        RevocationShape::Bearer
        | RevocationShape::DeletePath
        | RevocationShape::DeleteJsonBasic => false,
    }
}

/// The request that revokes `token`.
pub(super) fn request(
    provider: &Provider,
    revocation: &Revocation,
    client: &ClientCredentials,
    token: &Secret,
    kind: RevokedToken,
) -> Result<Request<Vec<u8>>, Unbuildable> {
    let method = match revocation.shape {
        RevocationShape::DeletePath | RevocationShape::DeleteJsonBasic => Method::DELETE,
        RevocationShape::FormPost
        | RevocationShape::FormBasic
        | RevocationShape::TokenOnly
        | RevocationShape::JsonBasic
        | RevocationShape::Bearer => Method::POST,
    };
    let mut request = request::empty(method, &url(revocation, client, token))?;
    let hint = match kind {
        RevokedToken::Access => "access_token",
        RevokedToken::Refresh => "refresh_token",
    };
    let rfc7009 = [("token", token.expose()), ("token_type_hint", hint)];
    match revocation.shape {
        RevocationShape::FormPost => request::set_form(
            &mut request,
            &[
                rfc7009[0],
                rfc7009[1],
                ("client_id", &client.client_id),
                ("client_secret", client.client_secret.expose()),
            ],
        ),
        RevocationShape::FormBasic => {
            request::set_form(&mut request, &rfc7009);
            request::authorize(&mut request, request::basic(client)?);
        }
        RevocationShape::TokenOnly => request::set_form(&mut request, &rfc7009[..1]),
        RevocationShape::JsonBasic => {
            json_body(&mut request, &json!({"token": token.expose()}));
            request::authorize(&mut request, request::basic(client)?);
        }
        RevocationShape::Bearer => request::authorize(&mut request, request::bearer(token)?),
        RevocationShape::DeletePath => {}
        RevocationShape::DeleteJsonBasic => {
            json_body(&mut request, &json!({"access_token": token.expose()}));
            request::authorize(&mut request, request::basic(client)?);
        }
    }
    request::add_headers(&mut request, provider);
    Ok(request)
}

fn url(revocation: &Revocation, client: &ClientCredentials, token: &Secret) -> String {
    let segment = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
    let url = revocation
        .url
        .replace("{client_id}", &segment(&client.client_id));
    match revocation.shape {
        RevocationShape::DeletePath => url.replace("{token}", &segment(token.expose())),
        _ => url,
    }
}

fn json_body(request: &mut Request<Vec<u8>>, body: &Value) {
    const KIND: HeaderValue = JSON;
    request::set_body(request, KIND, body.to_string().into_bytes());
}

/// What an answer says.
///
/// In doubt the token lives: only an answer that means "done" or "no such token" counts as the
/// end of the grant. A refused client is asked about later, because an admin may put the secret
/// right within the day for which a revocation is retried.
pub(super) fn verdict(
    response: &Response<Vec<u8>>,
    shape: RevocationShape,
    profile: &TokenEndpointProfile,
    now: Timestamp,
) -> Verdict {
    let status = response.status();
    let try_later = || Verdict::TryLater {
        after: retry_after(response.headers(), now),
    };
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
    {
        return try_later();
    }
    let body = json::parse(response.body());
    if status.is_success()
        && !body
            .as_ref()
            .is_some_and(|body| reports_error(body, profile))
    {
        return Verdict::Revoked;
    }
    if status.is_redirection() {
        return Verdict::Refused;
    }
    if let Some(body) = &body {
        // RFC 7009 section 2.2.1.
        if text_at(body, "/error").as_deref() == Some("unsupported_token_type") {
            return Verdict::WrongKind;
        }
        match error_class(body, profile) {
            Some(ErrorClass::GrantRefused) => return Verdict::Unknown,
            Some(ErrorClass::ClientRefused | ErrorClass::TryLater | ErrorClass::OutcomeUnknown) => {
                return try_later();
            }
            Some(ErrorClass::RequestRefused | ErrorClass::InteractionRequired) => {
                return Verdict::Refused;
            }
            None => {}
        }
    }
    match (shape, status) {
        // The resource that is to be deleted is the token.
        (
            RevocationShape::DeletePath | RevocationShape::DeleteJsonBasic,
            StatusCode::NOT_FOUND | StatusCode::GONE,
        ) => Verdict::Unknown,
        // GitHub says this of a token it cannot read, and of too many requests: nothing to
        // conclude from, but another token may fare better.
        (RevocationShape::DeleteJsonBasic, StatusCode::UNPROCESSABLE_ENTITY) => Verdict::WrongKind,
        // What authorizes the request is the token.
        (RevocationShape::Bearer, StatusCode::UNAUTHORIZED) => Verdict::Unknown,
        // What authorizes it is the client.
        (_, StatusCode::UNAUTHORIZED) => try_later(),
        _ => Verdict::Refused,
    }
}

/// Whether an answer refuses the client's secret, so that nobody has looked at the token.
pub(super) fn refuses_client(
    response: &Response<Vec<u8>>,
    shape: RevocationShape,
    profile: &TokenEndpointProfile,
) -> bool {
    let sends_secret = match shape {
        RevocationShape::FormPost
        | RevocationShape::FormBasic
        | RevocationShape::JsonBasic
        | RevocationShape::DeleteJsonBasic => true,
        RevocationShape::TokenOnly | RevocationShape::Bearer | RevocationShape::DeletePath => false,
    };
    let status = response.status();
    let body = json::parse(response.body());
    let class = body.and_then(|body| error_class(&body, profile));
    sends_secret
        && !status.is_server_error()
        && class.map_or(status == StatusCode::UNAUTHORIZED, |class| {
            class == ErrorClass::ClientRefused
        })
}

#[cfg(test)]
mod tests;

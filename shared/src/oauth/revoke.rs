//! Revocation in every shape providers have it: how a token is named in a request, and what
//! an answer says about the grant (RFC 7009 section 2.2 as far as they follow it).

use std::collections::BTreeMap;
use std::time::Duration;

use catalogue_format::{blanks, fill};
use http::{Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::classify::{error_class, reports_error, retry_after};
use super::client_auth::Proof;
use super::json::{self, text_at};
use super::request::{self, Members, Unbuildable};
use crate::domain::provider::{
    BodyEncoding, ErrorClass, Method, Provider, RequestAuth, Revocation, RevocationAuth,
    RevokedToken, TokenCarrier, TokenEndpointProfile,
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

/// How the client proves itself, as far as it does so by its credentials as any request does.
pub(super) fn auth(revocation: &Revocation) -> RequestAuth {
    match revocation.auth {
        RevocationAuth::Post => RequestAuth::Post,
        RevocationAuth::Basic => RequestAuth::Basic,
        RevocationAuth::PrivateKeyJwt => RequestAuth::PrivateKeyJwt,
        RevocationAuth::None | RevocationAuth::ClientHeader => RequestAuth::None,
    }
}

/// A token that is to be revoked, and the grant it is of.
pub(super) struct Named<'a> {
    pub(super) token: &'a Secret,
    pub(super) kind: RevokedToken,
    /// What was captured when the grant was made.
    pub(super) captured: &'a BTreeMap<String, String>,
}

/// The request that revokes a token.
pub(super) fn request(
    provider: &Provider,
    revocation: &Revocation,
    client: &ClientCredentials,
    proof: &Proof,
    named: &Named<'_>,
) -> Result<Request<Vec<u8>>, Unbuildable> {
    let mut in_query = Members::new();
    let mut in_body = proven(provider, proof);
    let said = members(revocation, client, named);
    if revocation.method == Method::Get || revocation.send == TokenCarrier::Query {
        in_query = said;
    } else {
        in_body.splice(..0, said);
    }
    let mut url = url(revocation, client, named.token);
    if !in_query.is_empty() {
        let mut with_query = Url::parse(&url).map_err(|_| Unbuildable)?;
        with_query.query_pairs_mut().extend_pairs(in_query);
        url = with_query.into();
    }
    let mut request = request::empty(revocation.method, &url)?;
    if !in_body.is_empty() {
        let encoding = match revocation.send {
            TokenCarrier::Json => BodyEncoding::Json,
            _ => BodyEncoding::Form,
        };
        request::set_members(&mut request, encoding, &in_body);
    }
    let header = match (revocation.send, revocation.auth) {
        (TokenCarrier::Bearer, _) => Some(request::bearer(named.token)?),
        (_, RevocationAuth::ClientHeader) => Some(request::client_header(&client.client_secret)?),
        _ => proof.header.clone(),
    };
    if let Some(header) = header {
        request::authorize(&mut request, header);
    }
    request::add_headers(&mut request, provider);
    Ok(request)
}

/// What the client proves itself with, by the provider's names.
fn proven(provider: &Provider, proof: &Proof) -> Members {
    let members = proof.members.iter();
    let mut members = members
        .map(|(name, value)| ((*name).to_owned(), value.expose().to_owned()))
        .collect();
    request::rename(&mut members, &provider.token.rename, &[]);
    members
}

/// What the request says of the token.
fn members(revocation: &Revocation, client: &ClientCredentials, named: &Named<'_>) -> Members {
    let mut members = Members::new();
    let by_name = matches!(
        revocation.send,
        TokenCarrier::Form | TokenCarrier::Json | TokenCarrier::Query
    );
    if by_name {
        members.push((revocation.param.clone(), named.token.expose().to_owned()));
    }
    if revocation.hint {
        let hint = match named.kind {
            RevokedToken::Access => "access_token",
            RevokedToken::Refresh => "refresh_token",
        };
        members.push(("token_type_hint".to_owned(), hint.to_owned()));
    }
    let value = |blank: &str| match blank.strip_prefix("captured.") {
        Some(name) => named.captured.get(name).map(String::as_str),
        None => (blank == "client_id").then_some(client.client_id.as_str()),
    };
    // A value that was never captured is left out, so that nobody reads a blank for one.
    let known = revocation
        .params
        .iter()
        .filter(|(_, text)| blanks(text).all(|blank| value(blank).is_some()));
    members.extend(known.map(|(name, text)| (name.clone(), fill(text, value))));
    members
}

fn url(revocation: &Revocation, client: &ClientCredentials, token: &Secret) -> String {
    let segment = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
    let client_id = segment(&client.client_id);
    let in_path = revocation.send == TokenCarrier::Path;
    let token = in_path.then(|| segment(token.expose()));
    fill(&revocation.url, |blank| match blank {
        "client_id" => Some(client_id.as_str()),
        "token" => token.as_deref(),
        _ => None,
    })
}

/// What an answer says.
///
/// In doubt the token lives: only an answer that means "done" or "no such token" counts as the
/// end of the grant. A refused client is asked about later, because an admin may put the secret
/// right within the day for which a revocation is retried.
pub(super) fn verdict(
    response: &Response<Vec<u8>>,
    revocation: &Revocation,
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
    let deletes = revocation.method == Method::Delete || revocation.send == TokenCarrier::Path;
    match (revocation.send, status) {
        // The resource that is to be deleted is the token.
        (_, StatusCode::NOT_FOUND | StatusCode::GONE) if deletes => Verdict::Unknown,
        // There are servers that say this of a token they cannot read, and of too many requests:
        // nothing to conclude from, but another token may fare better.
        (TokenCarrier::Json, StatusCode::UNPROCESSABLE_ENTITY) if deletes => Verdict::WrongKind,
        // What authorizes the request is the token.
        (TokenCarrier::Bearer, StatusCode::UNAUTHORIZED) => Verdict::Unknown,
        // What authorizes it is the client.
        (_, StatusCode::UNAUTHORIZED) => try_later(),
        _ => Verdict::Refused,
    }
}

/// Whether an answer refuses the client's secret, so that nobody has looked at the token.
pub(super) fn refuses_client(
    response: &Response<Vec<u8>>,
    revocation: &Revocation,
    profile: &TokenEndpointProfile,
) -> bool {
    // Where the token itself authorizes the request, it is the token that is refused.
    let sends_secret =
        revocation.auth != RevocationAuth::None && revocation.send != TokenCarrier::Bearer;
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

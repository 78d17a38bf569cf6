//! What an ID token says, against what it has to say: OpenID Connect Core section 3.1.3.7.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Expected, Refused};
use crate::crypto::hash::matches;
use crate::domain::provider::TENANT;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

/// How far the issuer's clock may be from ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// The longest `sub` (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    /// Seconds; fractions are allowed (RFC 7519 section 2).
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<Secret>,
    tid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Checks the claims of a token whose signature is right. `issuer_of_key` is for whose tokens
/// alone the key is.
pub(super) fn check(
    payload: &Value,
    expected: &Expected<'_>,
    issuer_of_key: Option<&str>,
    now: Timestamp,
) -> Result<(), Refused> {
    let claims = Claims::deserialize(payload).map_err(|_| Refused::Malformed)?;
    if !is_from(&claims, &expected.profile.issuer, issuer_of_key) {
        return Err(Refused::Issuer);
    }
    if !is_for(&claims, expected.client_id) {
        return Err(Refused::Audience);
    }
    let now = now.millis() as f64 / 1000.0;
    let skew = CLOCK_SKEW.as_secs_f64();
    if claims.exp + skew <= now {
        return Err(Refused::Expired);
    }
    let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
    if begins - skew > now {
        return Err(Refused::Early);
    }
    let answers = match (expected.nonce, &claims.nonce) {
        (Some(sent), Some(nonce)) => matches(nonce, sent),
        (None, None) => true,
        // A token of another flow, or of none.
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !answers {
        return Err(Refused::Nonce);
    }
    if !(1..=MAX_SUBJECT).contains(&claims.sub.len()) {
        return Err(Refused::Subject);
    }
    Ok(())
}

/// Whether `iss` is the one expected, character for character. Where the issuer is a tenant, it
/// is the tenant that the token names, and the key's.
fn is_from(claims: &Claims, expected: &str, issuer_of_key: Option<&str>) -> bool {
    if !expected.contains(TENANT) {
        return claims.iss == expected;
    }
    let Some(tenant) = claims.tid.as_deref().filter(|tenant| is_tenant(tenant)) else {
        return false;
    };
    let of_tenant = |issuer: &str| issuer.replace(TENANT, tenant) == claims.iss;
    of_tenant(expected) && issuer_of_key.is_none_or(of_tenant)
}

fn is_tenant(tenant: &str) -> bool {
    (1..=64).contains(&tenant.len())
        && tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether the token is for this client: among its audiences and, if one is named, the party it
/// was issued to. With more than one audience it has to be named.
fn is_for(claims: &Claims, client_id: &str) -> bool {
    let (named, several) = match &claims.aud {
        Audience::One(audience) => (audience == client_id, false),
        Audience::Many(audiences) => (
            audiences.iter().any(|audience| audience == client_id),
            audiences.len() > 1,
        ),
    };
    let party = match &claims.azp {
        Some(party) => party == client_id,
        None => !several,
    };
    named && party
}

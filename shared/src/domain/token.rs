//! The token set of one grant, and what a token endpoint may answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scopes::ScopeList;
use super::secret::Secret;
use super::time::Timestamp;

/// What a connection holds. Sealed as one message, so that an access token never stands
/// beside another rotation's refresh token (H-44).
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, where the provider gave one.
    pub refresh_token: Option<Secret>,
    /// Values the app needs to call the provider, such as `instance_url`.
    pub connection_config: BTreeMap<String, String>,
}

/// A successful answer of a token endpoint, normalised.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The access token; its type is Bearer, others are refused (H-73).
    pub access_token: Secret,
    /// The refresh token; an empty or absent one is `None` (H-65).
    pub refresh_token: Option<Secret>,
    /// How long the access token lives from the moment the answer arrived; `None` when the
    /// provider's profile says that it does not expire. Between zero and one year (H-72).
    pub lifetime: Option<Duration>,
    /// The granted scopes, when the answer named them (RFC 6749 section 5.1: absent means as
    /// asked for).
    pub scopes: Option<ScopeList>,
    /// Captured values, see [`Provider::captured`](super::provider::Provider::captured).
    pub connection_config: BTreeMap<String, String>,
    /// The account, when the provider's profile finds it in the token response.
    pub account: Option<Account>,
}

impl TokenAnswer {
    /// The set to keep after this answer to a refresh of `previous`: what the answer does not
    /// carry stays as it was (F18, F19).
    pub fn over(self, previous: &TokenSet) -> TokenSet {
        let mut connection_config = previous.connection_config.clone();
        connection_config.extend(self.connection_config);
        TokenSet {
            access_token: self.access_token,
            refresh_token: self
                .refresh_token
                .or_else(|| previous.refresh_token.clone()),
            connection_config,
        }
    }

    /// The set to keep after this answer to a code.
    pub fn into_token_set(self) -> TokenSet {
        TokenSet {
            access_token: self.access_token,
            refresh_token: self.refresh_token,
            connection_config: self.connection_config,
        }
    }
}

/// Whose account it is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The provider's stable id of the account.
    pub id: String,
    /// What a person recognises it by.
    pub label: Option<String>,
}

/// Why a token request brought no tokens. The variants are the classes of refresh.md
/// section 5: each says what may be done next, and who knows the error decides it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFailure {
    /// Name resolution or connecting failed: the request was not sent, nothing was spent.
    #[error("the provider could not be reached")]
    NotSent,
    /// Timeout, reset, 5xx without an OAuth body, unreadable 200: the provider may have
    /// rotated the token. Retrying before the lease ends could spend it twice.
    #[error("the provider's answer was lost or unreadable")]
    OutcomeUnknown,
    /// `invalid_grant`: the code or refresh token is not, or no longer, accepted.
    #[error("the provider refused the grant")]
    GrantRefused,
    /// `invalid_client`, `unauthorized_client`: the connector is misconfigured; no grant is
    /// to blame (H-77).
    #[error("the provider refused the connector's client credentials")]
    ClientRefused,
    /// `invalid_scope`, `invalid_request`, `unsupported_grant_type`: the request was wrong.
    #[error("the provider refused the request as invalid")]
    RequestRefused,
    /// `interaction_required`, `consent_required`, `login_required`.
    #[error("the provider wants the user to consent again")]
    InteractionRequired,
    /// 429, `slow_down`, `temporarily_unavailable`, or 5xx with an OAuth error body: ask later.
    #[error("the provider asks to try later")]
    TryLater {
        /// From `Retry-After`, capped at one hour (H-75).
        after: Option<Duration>,
    },
    /// A redirect, which token endpoints do not send (H-33).
    #[error("the provider answered with a redirect")]
    Redirected,
    /// Any other refusal.
    #[error("the provider answered with status {status}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
    },
    /// The URL is not one that may be called: not https, or not a public address (H-31).
    #[error("the provider's address is not allowed")]
    AddressRefused,
    /// The answer names a token type other than Bearer (H-73).
    #[error("the provider issued a token of an unknown type")]
    UnknownTokenType,
}

/// How a connection's access token stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// When the token set was received.
    pub issued_at: Timestamp,
    /// When the access token expires; `None` when it does not.
    pub expires_at: Option<Timestamp>,
}

impl Validity {
    /// Whether at least `min_ttl` of the token is left at `now`. A demand for more than half of
    /// the token's lifetime counts as half: a caller must not make every look-up a refresh.
    pub fn covers(&self, min_ttl: Duration, now: Timestamp) -> bool {
        match self.expires_at {
            None => true,
            Some(expires_at) => {
                let lifetime = expires_at.since(self.issued_at);
                expires_at.since(now) > Duration::ZERO
                    && expires_at.since(now) >= min_ttl.min(lifetime / 2)
            }
        }
    }
}

/// What came of asking a provider to revoke a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationAnswer {
    /// Revoked, or already unknown to the provider (RFC 7009 section 2.2).
    Revoked,
    /// The provider offers no way, or refused for good.
    Unsupported,
    /// Not now: the token must be assumed alive (RFC 7009 section 2.2.1).
    TryLater {
        /// From `Retry-After`.
        after: Option<Duration>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn h70_a_token_covers_its_min_ttl_or_is_not_handed_out() {
        let hour = Validity {
            issued_at: at(0),
            expires_at: Some(at(3600)),
        };
        let minute = Duration::from_secs(60);
        assert!(hour.covers(minute, at(3540)));
        assert!(!hour.covers(minute, at(3541)));
        assert!(
            !hour.covers(Duration::ZERO, at(3600)),
            "an expired token is never covered"
        );
    }

    #[test]
    fn a_min_ttl_beyond_half_the_lifetime_counts_as_half() {
        let short = Validity {
            issued_at: at(0),
            expires_at: Some(at(90)),
        };
        assert!(short.covers(Duration::from_secs(3600), at(45)));
        assert!(!short.covers(Duration::from_secs(3600), at(46)));
    }

    #[test]
    fn a_token_without_expiry_is_always_covered() {
        let forever = Validity {
            issued_at: at(0),
            expires_at: None,
        };
        assert!(forever.covers(Duration::from_secs(3600), at(i64::from(u32::MAX))));
    }

    #[test]
    fn h65_a_missing_refresh_token_keeps_the_old_one_and_a_new_one_replaces_it() {
        let previous = TokenSet {
            access_token: Secret::new("at0"),
            refresh_token: Some(Secret::new("rt0")),
            connection_config: BTreeMap::from([("instance_url".into(), "https://a".into())]),
        };
        let answer = |refresh: Option<&str>| TokenAnswer {
            access_token: Secret::new("at1"),
            refresh_token: refresh.map(Secret::new),
            lifetime: None,
            scopes: None,
            connection_config: BTreeMap::new(),
            account: None,
        };
        let refresh_token =
            |set: TokenSet| set.refresh_token.map(|token| token.expose().to_owned());
        let kept = answer(None).over(&previous);
        assert_eq!(kept.connection_config["instance_url"], "https://a");
        assert_eq!(refresh_token(kept).as_deref(), Some("rt0"));
        assert_eq!(
            refresh_token(answer(Some("rt1")).over(&previous)).as_deref(),
            Some("rt1")
        );
    }
}

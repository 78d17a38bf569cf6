//! The token set of one grant, and what a token endpoint may answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::provider::{RefreshGrant, RefreshProfile};
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

impl TokenSet {
    /// What is spent for the next access token under `profile`; `None` for a set that cannot be
    /// refreshed, which is no error but a provider's way.
    pub fn refresh_credential(&self, profile: &RefreshProfile) -> Option<&Secret> {
        match profile.grant {
            RefreshGrant::RefreshToken => self.refresh_token.as_ref(),
            RefreshGrant::AccessToken { .. } => Some(&self.access_token),
            RefreshGrant::Nothing => None,
        }
    }
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
    /// How long the refresh token lives from that moment, where the provider tells. Above zero
    /// and at most ten years.
    pub refresh_lifetime: Option<Duration>,
    /// The granted scopes, when the answer named them (RFC 6749 section 5.1: absent means as
    /// asked for).
    pub scopes: Option<ScopeList>,
    /// Captured values, see [`Provider::captured`](super::provider::Provider::captured).
    pub connection_config: BTreeMap<String, String>,
    /// The account, when the provider's profile finds it in the token response.
    pub account: Option<Account>,
    /// The ID token, as it came (OpenID Connect Core section 3.1.3.3).
    pub id_token: Option<Secret>,
    /// Whether it was the client's previous secret that was accepted, and the current one not.
    pub by_previous_secret: bool,
}

impl TokenAnswer {
    /// This answer to a code, once its access token was exchanged for that of `longer`.
    pub fn exchanged_for(self, longer: Self) -> Self {
        let mut connection_config = self.connection_config;
        connection_config.extend(longer.connection_config);
        Self {
            refresh_token: longer.refresh_token.or(self.refresh_token),
            scopes: longer.scopes.or(self.scopes),
            connection_config,
            account: self.account.or(longer.account),
            id_token: self.id_token.or(longer.id_token),
            by_previous_secret: self.by_previous_secret,
            ..longer
        }
    }

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

    /// How this answer to a code stands in time, when it arrived at `now`.
    pub fn validity(&self, profile: &RefreshProfile, now: Timestamp) -> Validity {
        self.validity_within(profile, None, now, now)
    }

    /// How this answer to a refresh stands in time: `previous` is what was refreshed, and
    /// `consented_at` when the user last consented. A refresh token that stays the same dies
    /// when it was said to die.
    pub fn validity_over(
        &self,
        previous: &Validity,
        profile: &RefreshProfile,
        consented_at: Timestamp,
        now: Timestamp,
    ) -> Validity {
        let stays =
            self.refresh_token.is_none() && matches!(profile.grant, RefreshGrant::RefreshToken);
        let told = previous.grant_expires_at.filter(|_| stays);
        self.validity_within(profile, told, consented_at, now)
    }

    fn validity_within(
        &self,
        profile: &RefreshProfile,
        told_before: Option<Timestamp>,
        consented_at: Timestamp,
        now: Timestamp,
    ) -> Validity {
        let expires_at = self.lifetime.map(|lifetime| now.after(lifetime));
        let told = match profile.grant {
            RefreshGrant::RefreshToken | RefreshGrant::Nothing => self
                .refresh_lifetime
                .map(|lifetime| now.after(lifetime))
                .or(told_before),
            // What is exchanged is the access token, which must be alive for that.
            RefreshGrant::AccessToken { .. } => expires_at,
        };
        let limit = profile.hard_limit.map(|limit| consented_at.after(limit));
        Validity {
            issued_at: now,
            expires_at,
            grant_expires_at: told.into_iter().chain(limit).min(),
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The provider's stable id of the account.
    pub id: String,
    /// What a person recognises it by.
    pub label: Option<String>,
}

impl Account {
    /// Whether `other` is somebody else's account. Tokens of one are never stored in place of
    /// the other's (H-16, F22). A label is no evidence: people change their names.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.id != other.id
    }
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

/// How a connection's tokens stand in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// When the token set was received.
    pub issued_at: Timestamp,
    /// When the access token expires; `None` when it does not.
    pub expires_at: Option<Timestamp>,
    /// When the grant dies, if that is known: from then on the provider issues no access token
    /// for it, and only the user's consent helps. `None` in what was stored before it was kept.
    #[serde(default)]
    pub grant_expires_at: Option<Timestamp>,
}

impl Validity {
    /// Whether the grant is known to be dead at `now`. Its last access token may outlive it.
    pub fn grant_is_over(&self, now: Timestamp) -> bool {
        self.grant_expires_at.is_some_and(|at| at <= now)
    }

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
mod tests;

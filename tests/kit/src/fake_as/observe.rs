//! What a test may ask about the past: counts, requests, grants and secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many requests arrived since the start or the last reset, answered or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// All of them.
    pub total: Tally,
    /// By the `client_id` they named, proven or not.
    pub by_client: BTreeMap<String, Tally>,
    /// The most refreshes that were in flight at once, by grant. A refresh is in flight from
    /// its arrival until its answer is handed over or its client is seen to hang up.
    pub max_in_flight_by_grant: BTreeMap<String, u64>,
}

impl Counters {
    /// The most refreshes in flight at once for any one grant.
    #[must_use]
    pub fn max_in_flight(&self) -> u64 {
        self.max_in_flight_by_grant
            .values()
            .copied()
            .max()
            .unwrap_or(0)
    }

    /// The requests that named `client_id`.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Tally {
        self.by_client.get(client_id).cloned().unwrap_or_default()
    }
}

/// Requests by endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// `GET /authorize`.
    pub authorize: u64,
    /// `POST /authorize/decision`.
    pub decision: u64,
    /// `POST /token`, all grant types.
    pub token: u64,
    /// `POST /token` by `grant_type`.
    pub token_by_grant_type: BTreeMap<String, u64>,
    /// `POST /revoke`.
    pub revoke: u64,
    /// `GET /userinfo`.
    pub userinfo: u64,
}

impl Tally {
    /// Token requests with `grant_type=refresh_token`.
    #[must_use]
    pub fn refreshes(&self) -> u64 {
        self.token_by_grant_type
            .get("refresh_token")
            .copied()
            .unwrap_or(0)
    }

    /// Token requests with `grant_type=authorization_code`.
    #[must_use]
    pub fn redemptions(&self) -> u64 {
        self.token_by_grant_type
            .get("authorization_code")
            .copied()
            .unwrap_or(0)
    }
}

/// One request as it arrived, secrets included: tests look for what should not be where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// Position in the order of arrival, from 1; never reused.
    pub number: u64,
    /// Arrival, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Method and path.
    pub request: String,
    /// The query string without its question mark.
    pub query: Option<String>,
    /// Form fields in order.
    pub form: Vec<(String, String)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Status of the answer, or none while there is none.
    pub status: Option<u16>,
}

impl LoggedRequest {
    /// The first form field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Everything secret the server ever issued, for the search that proves it stayed secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedSecret {
    /// What it is.
    pub kind: SecretKind,
    /// Its value.
    pub value: String,
    /// Whose it is.
    pub account: String,
    /// Who got it.
    pub client_id: String,
}

/// The kinds of [`IssuedSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// An authorization code, prefix `fas_code_`.
    Code,
    /// An access token, prefix `fas_at_`.
    AccessToken,
    /// A refresh token, prefix `fas_rt_`.
    RefreshToken,
    /// An id token, a JWT.
    IdToken,
}

/// What an account granted to a client, once for each time it consented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Stable name of the grant, which is also the family of its refresh tokens.
    pub id: String,
    /// Who consented.
    pub account: String,
    /// To whom.
    pub client_id: String,
    /// To what.
    pub scopes: Vec<String>,
    /// Live or revoked.
    pub state: GrantState,
    /// Why it ended.
    pub ended_because: Option<String>,
    /// When the code was redeemed, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub ended_at_ms: Option<i64>,
    /// How often it was refreshed.
    pub refreshes: u64,
}

/// Whether an account still has a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It never had one.
    None,
    /// At least one is live.
    Live,
    /// It had some, and all have ended.
    Revoked,
}

pub(crate) fn grant_state(grants: &[GrantView], account: &str) -> GrantState {
    let mut states = grants
        .iter()
        .filter(|grant| grant.account == account)
        .map(|g| g.state);
    let first = states.next().unwrap_or(GrantState::None);
    // Any live grant outweighs those that ended.
    if states.any(|state| state == GrantState::Live) {
        GrantState::Live
    } else {
        first
    }
}

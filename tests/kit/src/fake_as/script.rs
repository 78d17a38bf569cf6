//! What a test tells the server to do instead of answering as it should.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An endpoint whose requests follow the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /token` (RFC 6749 section 3.2).
    Token,
    /// `POST /revoke` (RFC 7009).
    Revoke,
    /// `GET /exchange`: a token for a token.
    Exchange,
    /// `GET /userinfo` (OpenID Connect Core section 5.3).
    Userinfo,
}

impl Endpoint {
    pub(crate) fn request_line(self) -> &'static str {
        match self {
            Self::Token => "POST /token",
            Self::Revoke => "POST /revoke",
            Self::Exchange => "GET /exchange",
            Self::Userinfo => "GET /userinfo",
        }
    }
}

/// Which requests a step is for. Tests that share one server narrow their steps to their own
/// client or account, so that a neighbour's refresh does not use them up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Only token requests of this `grant_type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// Only requests that name this `client_id`, proven or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Only requests whose code or token belongs to this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl When {
    /// Token requests that refresh.
    #[must_use]
    pub fn refreshing() -> Self {
        Self {
            grant_type: Some("refresh_token".to_owned()),
            ..Self::from(Endpoint::Token)
        }
    }

    /// Token requests that redeem a code.
    #[must_use]
    pub fn redeeming() -> Self {
        Self {
            grant_type: Some("authorization_code".to_owned()),
            ..Self::from(Endpoint::Token)
        }
    }

    /// The same, narrowed to a client.
    #[must_use]
    pub fn client(self, client_id: &str) -> Self {
        Self {
            client_id: Some(client_id.to_owned()),
            ..self
        }
    }

    /// The same, narrowed to an account.
    #[must_use]
    pub fn account(self, account: &str) -> Self {
        Self {
            account: Some(account.to_owned()),
            ..self
        }
    }

    fn covers(&self, endpoint: Endpoint, caller: &Caller) -> bool {
        fn fits(wanted: Option<&String>, given: Option<&String>) -> bool {
            wanted.is_none_or(|wanted| given == Some(wanted))
        }
        self.endpoint == endpoint
            && fits(self.grant_type.as_ref(), caller.grant_type.as_ref())
            && fits(self.client_id.as_ref(), caller.client_id.as_ref())
            && fits(self.account.as_ref(), caller.account.as_ref())
    }
}

impl From<Endpoint> for When {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            grant_type: None,
            client_id: None,
            account: None,
        }
    }
}

/// What the server can tell about a request before it handles it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) grant_type: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) account: Option<String>,
    /// The grant a refresh token belongs to: the family in which only one refresh may be in
    /// flight.
    pub(crate) family: Option<String>,
}

/// One departure from the true answer. "Handled" means that codes are spent and tokens rotate
/// as if nothing were wrong; what is not handled leaves no trace but a count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Behaviour {
    /// This answer. Not handled.
    Respond {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body, sent as it is.
        body: String,
    },
    /// An error body of RFC 6749 section 5.2. Not handled.
    #[serde(rename = "oauth_error")]
    OAuthError {
        /// HTTP status; 400 by the RFC, 403 or 200 in the wild.
        status: u16,
        /// The `error` member.
        code: String,
    },
    /// 429 or 503 with `Retry-After`. Not handled.
    RetryAfter {
        /// HTTP status.
        status: u16,
        /// The header's value (RFC 9110 section 10.2.3); none leaves the header out.
        seconds: Option<u64>,
    },
    /// 307 to another place, which would carry the form along. Not handled.
    Redirect {
        /// The `Location`.
        to: String,
    },
    /// 200 with an HTML page, as a captive proxy answers. Not handled.
    Garbage,
    /// 200 with this many bytes of JSON that never closes. Not handled.
    HugeBody {
        /// Length of the body.
        bytes: u64,
    },
    /// The connection ends before anything is handled or answered.
    RefuseBeforeProcessing,
    /// Handled; then this answer, for instance a 500 after the rotation.
    ProcessThenRespond {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body, sent as it is.
        body: String,
    },
    /// Handled; the members of the true JSON answer are altered before it is sent.
    Amend {
        /// Members to set, also to null.
        #[serde(default)]
        set: Map<String, Value>,
        /// Members to take out.
        #[serde(default)]
        remove: Vec<String>,
    },
    /// Handled; the first half of the JSON arrives as a complete HTTP body.
    TruncatedJson,
    /// Handled; then the connection ends without a byte of the answer.
    ProcessThenDrop,
    /// Handled; head and half the body arrive, the rest after a release.
    ProcessThenHold,
    /// Handled; the answer arrives a few bytes at a time.
    SlowDrip {
        /// Bytes in one piece.
        bytes: usize,
        /// Pause between pieces, in milliseconds.
        interval_ms: u64,
    },
    /// Silence until a release; handled then, even when the client has gone: the request that
    /// arrives late.
    Hang,
    /// Handled and answered after a pause, even when the client has gone.
    Delay {
        /// The pause, in milliseconds.
        ms: u64,
    },
}

/// Steps in the order they were given. The first that covers a request is used up by it;
/// standing steps answer what no single step covers, the latest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    once: Vec<(When, Behaviour)>,
    standing: Vec<(When, Behaviour)>,
}

impl Script {
    pub(crate) fn push(&mut self, when: When, behaviour: Behaviour) {
        self.once.push((when, behaviour));
    }

    pub(crate) fn always(&mut self, when: When, behaviour: Behaviour) {
        self.standing.push((when, behaviour));
    }

    pub(crate) fn next(&mut self, endpoint: Endpoint, caller: &Caller) -> Option<Behaviour> {
        if let Some(at) = self
            .once
            .iter()
            .position(|(when, _)| when.covers(endpoint, caller))
        {
            return Some(self.once.remove(at).1);
        }
        let standing = self
            .standing
            .iter()
            .rev()
            .find(|(when, _)| when.covers(endpoint, caller));
        standing.map(|(_, behaviour)| behaviour.clone())
    }

    /// Steps not used up yet: a test that leaves some has not tested what it meant to.
    pub(crate) fn remaining(&self) -> usize {
        self.once.len()
    }
}

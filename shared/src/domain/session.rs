//! An authorization session: one start → callback → completion round trip.
//!
//! The moves are methods that can refuse; the store repeats each check as a condition of its
//! write, so that of two callers who race through the same move exactly one gets past.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::app::{AccountChange, Completion};
use super::audit::Actor;
use super::connection::ConnectionKey;
use super::connector::Connector;
use super::ending::Ending;
use super::ids::{Alias, AppId, ConnectionId, ConnectorId, SessionId, UserId, WorkspaceId};
use super::provider::{CallbackValue, ResponseMode};
use super::secret::Secret;
use super::subject::Subject;
use super::time::Timestamp;

/// How long a user has from the start to the callback (H-02, H-04).
pub const SESSION_LIFETIME: Duration = Duration::from_secs(600);
/// How long a received code is kept for its completion (C6).
pub const CODE_LIFETIME: Duration = Duration::from_secs(120);

/// The SHA-256 of a ticket, state, cookie or completion code.
pub type SecretHash = [u8; 32];

/// A ticket, state or completion code as it travels: `<session>.<256 random bits>`. The first
/// half finds the session and proves nothing; the second is compared by its hash.
#[derive(Clone, Debug)]
pub struct SessionToken {
    /// Which session.
    pub session: SessionId,
    /// What proves it.
    pub secret: Secret,
}

impl SessionToken {
    /// The token as text.
    pub fn to_secret(&self) -> Secret {
        Secret::new(format!("{}.{}", self.session, self.secret.expose()))
    }

    /// Reads a token; `None` when the text does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (session, secret) = text.split_once('.')?;
        let session = SessionId::parse(session).ok()?;
        (secret.len() == 43).then(|| Self {
            session,
            secret: Secret::new(secret),
        })
    }
}

/// The name of a flow's cookie. One a flow, so that two flows in one browser do not overwrite
/// each other's; `__Host-` keeps sibling domains from setting it.
pub fn cookie_name(session: &SessionId) -> String {
    format!("__Host-grantry_{session}")
}

/// The pending state of one round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationSession {
    /// Random; the readable half of ticket, state and completion code.
    pub id: SessionId,
    /// The workspace of whoever started.
    pub workspace: WorkspaceId,
    /// The app that is to use the account.
    pub app: AppId,
    /// Who started, and the only one who can finish (H-01).
    pub starter: Starter,
    /// What is being connected; the callback must come to this connector's path (H-06).
    pub connector: ConnectorId,
    /// Which of several accounts; `None` for the default one.
    pub alias: Option<Alias>,
    /// The connector's generation when the flow began.
    pub connector_generation: u64,
    /// The issuer expected in the callback, recorded at the start (H-07).
    pub issuer: Option<String>,
    /// Whether a callback without `iss` is refused (H-07).
    pub iss_promised: bool,
    /// How the provider was asked to send the browser back: no other way is accepted (H-13).
    pub response_mode: ResponseMode,
    /// What the callback has to carry.
    pub callback: Callback,
    /// What the user told of the account to be connected, for the provider's fields.
    pub config: BTreeMap<String, String>,
    /// Where the browser goes in the end.
    pub return_url: Url,
    /// How the browser gets there.
    pub display: Display,
    /// What the JWT called who started when the flow began, for people to read.
    pub starter_label: Option<String>,
    /// How the flow is completed. As the app was set when it began: a change by an admin does
    /// not change a flow under way.
    pub completion: Completion,
    /// Whether a connected account may become another one, kept alike (H-16).
    pub account_change: AccountChange,
    /// Passed on to the provider.
    pub login_hint: Option<String>,
    /// Of the cookie of the browser that was sent to the provider (H-03). Kept to the end, as
    /// pages of ours may follow.
    pub cookie: Option<SecretHash>,
    /// When the flow began.
    pub created_at: Timestamp,
    /// When the current stage ends. Checked here; the table's TTL only collects garbage.
    pub expires_at: Timestamp,
    /// How far the flow has come.
    pub stage: Stage,
}

/// What a callback carries beside the protocol's `state`, recorded at the start as the provider
/// was described then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// What it calls the code.
    pub code_param: String,
    /// By which parameter it is signed, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_param: Option<String>,
    /// What of it is kept, by its name in `connection_config`.
    pub values: BTreeMap<String, CallbackValue>,
}

impl Default for Callback {
    /// RFC 6749 section 4.1.2.
    fn default() -> Self {
        Self {
            code_param: "code".into(),
            hmac_param: None,
            values: BTreeMap::new(),
        }
    }
}

/// Who begins a flow: that decides whose account it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// A user of the app, for themselves.
    User(UserId),
    /// An admin of the workspace, for everyone in the app.
    Admin(UserId),
}

impl Starter {
    /// Whose account it becomes.
    pub fn subject(&self) -> Subject {
        match self {
            Self::User(user) => Subject::User(user.clone()),
            Self::Admin(_) => Subject::App,
        }
    }

    /// The subject of their JWT.
    pub fn id(&self) -> &UserId {
        match self {
            Self::User(id) | Self::Admin(id) => id,
        }
    }

    /// The same, as who acts.
    pub fn actor(&self) -> Actor {
        match self {
            Self::User(user) => Actor::User(user.clone()),
            Self::Admin(admin) => Actor::Admin(admin.clone()),
        }
    }
}

/// Where a flow is shown, and so how it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Display {
    /// In the app's own window, which is sent to the return URL.
    #[default]
    Redirect,
    /// In a window that the app opened. Its end is told to the app's window.
    Popup,
}

/// How far a flow has come. What exists only in one stage lives in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A ticket is out; nobody has followed it.
    Started {
        /// Of the ticket in the connect URL.
        ticket: SecretHash,
    },
    /// The browser is at the provider.
    Redirected(Redirected),
    /// The provider sent the browser back with a code, which is kept and not yet redeemed.
    Returned(Returned),
    /// The code is being redeemed. A code is spent once: nobody may try again (C11).
    Exchanging {
        /// Of the completion code.
        completion: SecretHash,
    },
    /// Connected. Kept so that a repeated completion gets the same answer (C7).
    Completed {
        /// Of the completion code.
        completion: SecretHash,
        /// What came of it.
        connection: ConnectionId,
    },
    /// Over without a connection. How it ended first stays.
    Ended(Ending),
}

/// What is known while the browser is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirected {
    /// Of the `state` parameter.
    pub state: SecretHash,
    /// The PKCE verifier, sealed for this session; `None` where the provider rejects PKCE.
    pub verifier: Option<Vec<u8>>,
    /// Of the `nonce` that the ID token has to repeat; `None` where none is asked for (H-17).
    pub nonce: Option<SecretHash>,
}

/// What is known once the provider has sent the browser back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Of the completion code: on the return URL, or on our own page's.
    pub completion: SecretHash,
    /// The authorization code, sealed for this session; within its signed callback where that
    /// is signed.
    pub code: Vec<u8>,
    /// The PKCE verifier, as before.
    pub verifier: Option<Vec<u8>>,
    /// Of the `nonce`, as before.
    pub nonce: Option<SecretHash>,
    /// What else the callback carried that is kept, by its name in `connection_config`.
    pub kept: BTreeMap<String, String>,
}

impl AuthorizationSession {
    /// Whether the stage's time is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Whether `connector` is still the one that the flow began with, and is for its app. An admin
    /// may have disabled it.
    pub fn is_of(&self, connector: &Connector) -> bool {
        connector.is_for(&self.app)
            && connector.generation == self.connector_generation
            && connector.kind == self.starter.subject().kind()
            && connector.has_account(self.alias.as_ref())
    }

    /// Where the connection is kept that comes of it.
    pub fn connection_key(&self) -> ConnectionKey {
        ConnectionKey {
            workspace: self.workspace.clone(),
            app: self.app.clone(),
            subject: self.starter.subject(),
            connector: self.connector.clone(),
            alias: self.alias.clone(),
        }
    }
}

/// The most characters of a user's label.
const MAX_USER_LABEL: usize = 100;

/// What a claim calls a user, as it may stand on a page: without characters that are invisible
/// or turn the direction of the text, by which one name can look like another.
pub fn user_label(claim: &str) -> Option<String> {
    let visible = claim
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c));
    let label: String = visible.take(MAX_USER_LABEL).collect();
    let label = label.trim();
    (!label.is_empty()).then(|| label.to_owned())
}

/// Zero-width, separating and bidirectional format characters (Unicode Standard Annex 9,
/// section 2, and the general category Cf as far as it has no glyph).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a29_a_label_shows_what_it_says() {
        let shown = |claim: &str| user_label(claim).unwrap_or_default();
        assert_eq!(shown("  Zoë <b>  "), "Zoë <b>");
        assert_eq!(shown("bob\u{202e}ecila\u{200b}\u{0}\r\n"), "bobecila");
        assert_eq!(shown(&"x".repeat(300)).len(), MAX_USER_LABEL);
        assert_eq!(user_label("\u{2066} \u{2069}"), None);
    }
}

//! Apps of a workspace and the keys of their back ends.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ids::{ApiKeyId, AppId, WorkspaceId};
use super::secret::Secret;
use super::time::Timestamp;

/// An application whose users sign in with the platform's identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The workspace that owns it.
    pub workspace: WorkspaceId,
    /// Chosen by the platform.
    pub id: AppId,
    /// The name people see.
    pub name: String,
    /// Where a connect flow may end. A return URL is matched exactly, never by prefix (H-10).
    pub return_urls: Vec<Url>,
    /// How its flows are completed.
    pub completion: Completion,
    /// Whether reconnecting may bring another account.
    pub account_change: AccountChange,
    /// Whether it is going away.
    pub status: AppStatus,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The life cycle of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// Registered.
    Active,
    /// Its keys are gone, and its users' connections are being disconnected in the background.
    Deleting {
        /// When the deletion was asked for.
        since: Timestamp,
    },
}

/// Who proves that whoever finished a flow is whoever started it (H-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// The app, with the JWT of the user who is signed in to it.
    #[default]
    App,
    /// The user, on a page of ours that names who started; for apps that cannot make that call.
    Screen,
}

/// What happens when a user reconnects with another account of the provider (H-16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountChange {
    /// The connected account stays.
    #[default]
    Refuse,
    /// The new account takes its place.
    Allow,
}

impl App {
    /// Whether it is going away. To its users that is as if it were gone.
    pub fn is_deleting(&self) -> bool {
        match self.status {
            AppStatus::Deleting { .. } => true,
            AppStatus::Active => false,
        }
    }

    /// The registered return URL that `wanted` is, character for character.
    pub fn return_url(&self, wanted: &str) -> Option<&Url> {
        self.return_urls.iter().find(|url| url.as_str() == wanted)
    }
}

/// The prefix of every API key, for secret scanners.
pub const API_KEY_PREFIX: &str = "grantry_sk_";

/// An API key as its owner sends it: `grantry_sk_<workspace>.<app>.<secret>`.
///
/// Workspace and app are written into the key so that a look-up can fetch the key's record and
/// the connection in one round trip. They prove nothing: whoever holds a key is who the record
/// says, and a record that says otherwise refuses the call.
#[derive(Clone, Debug)]
pub struct PresentedApiKey {
    /// The workspace the key claims.
    pub workspace: WorkspaceId,
    /// The app the key claims.
    pub app: AppId,
    /// The whole key.
    pub key: Secret,
}

impl PresentedApiKey {
    /// A new key from 256 random bits in `secret`, base64url.
    pub fn mint(workspace: WorkspaceId, app: AppId, secret: &Secret) -> Self {
        let key = Secret::new(format!(
            "{API_KEY_PREFIX}{workspace}.{app}.{}",
            secret.expose()
        ));
        Self {
            workspace,
            app,
            key,
        }
    }

    /// Reads a key; `None` when the text does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(API_KEY_PREFIX)?.split('.');
        let workspace = WorkspaceId::parse(parts.next()?).ok()?;
        let app = AppId::parse(parts.next()?).ok()?;
        let secret = parts.next()?;
        let is_secret = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let whole = parts.next().is_none() && secret.len() == 43 && secret.bytes().all(is_secret);
        whole.then(|| Self {
            workspace,
            app,
            key: Secret::new(text),
        })
    }
}

/// How many keys of one app may be live: the one in use, and the one that takes over.
pub const MOST_KEYS: usize = 2;

/// What an API key may be used for. A key without any restriction has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyScope {
    /// Look up access tokens.
    #[serde(rename = "tokens:read")]
    TokensRead,
    /// See who is connected to what.
    #[serde(rename = "connections:read")]
    ConnectionsRead,
    /// Connect, disconnect and erase users.
    #[serde(rename = "connections:write")]
    ConnectionsWrite,
}

impl KeyScope {
    const ALL: [Self; 3] = [
        Self::TokensRead,
        Self::ConnectionsRead,
        Self::ConnectionsWrite,
    ];

    /// Every scope there is.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from(Self::ALL)
    }

    /// The scope as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokensRead => "tokens:read",
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
        }
    }

    /// The scope that the API spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// What is kept of an API key. The key itself is shown once and never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The workspace the key belongs to.
    pub workspace: WorkspaceId,
    /// The app whose users' tokens it may read.
    pub app: AppId,
    /// Names the key in the admin API.
    pub id: ApiKeyId,
    /// What the admin calls it.
    pub name: String,
    /// SHA-256 of the whole key; look-ups go by it (H-49).
    pub hash: [u8; 32],
    /// Whether it acts only for users whose own JWT comes along with each request.
    pub on_behalf_of_only: bool,
    /// What it may be used for.
    pub scopes: BTreeSet<KeyScope>,
    /// When it was made.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PresentedApiKey {
        PresentedApiKey::mint(
            WorkspaceId::parse("w1").unwrap(),
            AppId::parse("shop").unwrap(),
            &Secret::new("s".repeat(43)),
        )
    }

    #[test]
    fn a_minted_key_reads_back() {
        let parsed = PresentedApiKey::parse(key().key.expose()).unwrap();
        assert_eq!(
            (parsed.workspace.as_str(), parsed.app.as_str()),
            ("w1", "shop")
        );
    }

    #[test]
    fn a_text_that_is_not_a_key_is_none() {
        let long = format!("{}.x", key().key.expose());
        let odd = format!("grantry_sk_w.a.{}", "=".repeat(43));
        for text in [
            odd.as_str(),
            "",
            "grantry_sk_",
            "grantry_sk_w.a.short",
            "sk_w.a.b",
            long.as_str(),
        ] {
            assert!(PresentedApiKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn h10_only_an_exactly_registered_return_url_is_accepted() {
        let at = Timestamp::from_millis(0);
        let app = App {
            workspace: WorkspaceId::parse("w1").unwrap(),
            id: AppId::parse("shop").unwrap(),
            name: "Shop".into(),
            return_urls: vec![Url::parse("https://ok.example/done").unwrap()],
            completion: Completion::App,
            account_change: AccountChange::Refuse,
            status: AppStatus::Active,
            created_at: at,
            updated_at: at,
        };
        assert!(app.return_url("https://ok.example/done").is_some());
        for wanted in [
            "//evil.example",
            "/\\evil.example",
            "https://ok.example@evil.example/done",
            "https://ok.example.evil.example/done",
            "https://ok%2eexample/done",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://ok.example/done\r\nx: y",
            "https://ok。example/done",
            "https://ok.example/done?x=1",
            "https://ok.example/done#x",
            "https://ok.example/done/",
            "https://OK.example/done",
        ] {
            assert!(app.return_url(wanted).is_none(), "{wanted}");
        }
    }
}

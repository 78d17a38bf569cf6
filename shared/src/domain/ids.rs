//! One newtype per kind of id. Parsing is the only way in, so an id that exists is well formed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {rule}")]
pub struct InvalidId {
    /// Which id was meant, in the words of the API.
    pub kind: &'static str,
    /// What would have been accepted.
    pub rule: &'static str,
}

/// Letters, digits, `-` and `_`: safe as part of a storage key, a URL path and an API key.
fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// As a slug, and dots: what follows a connector's id in a storage key is never part of one.
fn is_alias(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What an identity provider may put into `sub` (OpenID Connect Core section 2: at most 255
/// characters), less control characters.
fn is_subject(text: &str) -> bool {
    let length = text.chars().count();
    (1..=255).contains(&length) && !text.chars().any(char::is_control)
}

const SLUG: &str = "1 to 64 letters, digits, hyphens or underscores";
const ALIAS: &str = "1 to 64 letters, digits, dots, hyphens or underscores";
const SUBJECT: &str = "1 to 255 characters without control characters";

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Reads a ", $kind, ".")]
            ///
            /// # Errors
            /// When the text breaks the rule the error names.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if $check(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: $kind, rule: $rule })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

ids! {
    /// One of several accounts that a user connected through one connector; the default account
    /// has none.
    Alias, "alias", is_alias, ALIAS;
    /// One API key of an app.
    ApiKeyId, "key_id", is_slug, SLUG;
    /// An application of a workspace.
    AppId, "app_id", is_slug, SLUG;
    /// One attempt to refresh a connection; owns the lease while it runs.
    AttemptId, "attempt_id", is_slug, SLUG;
    /// One move of a connector's breaker; whoever makes the next one names it.
    BreakerId, "breaker_id", is_slug, SLUG;
    /// A connection: what one subject granted through one connector.
    ConnectionId, "connection_id", is_slug, SLUG;
    /// A workspace's OAuth client for one provider.
    ConnectorId, "connector_id", is_slug, SLUG;
    /// A published event; receivers de-duplicate by it.
    EventId, "event_id", is_slug, SLUG;
    /// A catalogue entry.
    ProviderId, "provider", is_slug, SLUG;
    /// One run of a request that carries an `Idempotency-Key`.
    RunId, "run_id", is_slug, SLUG;
    /// An authorization session.
    SessionId, "session_id", is_slug, SLUG;
    /// A person who uses an app: the `sub` of the platform's issuer.
    UserId, "user_id", is_subject, SUBJECT;
    /// The tenant.
    WorkspaceId, "workspace_id", is_slug, SLUG;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_break_out_of_a_storage_key_are_refused() {
        for text in ["", "a#b", "a/b", "a.b", "ä", &"x".repeat(65)] {
            assert!(WorkspaceId::parse(text).is_err(), "{text:?}");
        }
        assert!(ConnectorId::parse("con_A-1").is_ok());
    }

    #[test]
    fn an_alias_cannot_reach_into_another_key_or_path() {
        assert!(Alias::parse("team.eu_2-b").is_ok());
        for text in ["", "a#b", "a/b", "a b", "a%2f", "é", &"x".repeat(65)] {
            assert!(Alias::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_user_id_is_whatever_an_issuer_may_call_a_subject() {
        assert!(UserId::parse("auth0|5f7c#8 é").is_ok());
        for text in ["", "a\nb", &"x".repeat(256)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
    }
}

//! Values that must not be printed, compared or serialized by accident (H-49, H-50).
//!
//! Memory is wiped on drop. That is best effort: buffers inside HTTP, TLS and JSON libraries
//! are out of our hands, and docs/SECURITY.md says so.

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A token, code, verifier, state, client secret or API key.
///
/// No `Display`, `Serialize` or `PartialEq`; `Debug` prints a placeholder. The text comes out
/// only through [`Secret::expose`], so that every use can be found by searching for it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters, for an admin to recognise a secret by; `None` for a secret
    /// of fewer than twelve characters, of which four would give too much away.
    pub fn last_four(&self) -> Option<String> {
        let count = self.0.chars().count();
        (count >= 12).then(|| self.0.chars().skip(count - 4).collect())
    }
}

/// Secrets come in with requests; they never go out by serialization.
impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Secret bytes: keys and decrypted plaintext.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of secret bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as secret text; `None` when they are not UTF-8.
    pub fn to_secret(&self) -> Option<Secret> {
        std::str::from_utf8(&self.0).ok().map(Secret::new)
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h50_debug_of_a_secret_shows_no_character_of_it() {
        let shown = format!(
            "{:?} {:?}",
            Secret::new("hunter2"),
            SecretBytes::new(vec![65, 66])
        );
        assert_eq!(shown, "Secret(…) SecretBytes(…)");
    }

    #[test]
    fn a_short_secret_has_no_recognisable_tail() {
        assert_eq!(Secret::new("abcdefghijk").last_four(), None);
        assert_eq!(
            Secret::new("abcdefghijkl").last_four().as_deref(),
            Some("ijkl")
        );
    }
}

//! Scope lists: ordered, without duplicates, compared as sets.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The most scopes a connector may list.
pub const MAX_SCOPES: usize = 200;
/// The longest single scope, in characters.
pub const MAX_SCOPE_LENGTH: usize = 512;

/// Scopes in the order the admin or the provider gave them, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeList(Vec<String>);

/// Why a text is not a scope list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScopes {
    /// RFC 6749 section 3.3 allows printable ASCII without space, quote and backslash.
    #[error("scope {0:?} holds a character that a scope cannot have; write one scope a line")]
    Character(String),
    /// See [`MAX_SCOPE_LENGTH`].
    #[error("a scope has at most {MAX_SCOPE_LENGTH} characters")]
    TooLong,
    /// See [`MAX_SCOPES`].
    #[error("a connector has at most {MAX_SCOPES} scopes")]
    TooMany,
}

impl ScopeList {
    /// Reads scopes an admin wrote: trims each, drops blanks and duplicates, keeps the order.
    ///
    /// # Errors
    /// [`InvalidScopes`] names the scope that cannot be one.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidScopes> {
        let mut scopes = Vec::new();
        for entry in entries
            .into_iter()
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            if entry.chars().count() > MAX_SCOPE_LENGTH {
                return Err(InvalidScopes::TooLong);
            }
            if !entry.bytes().all(is_scope_byte) {
                return Err(InvalidScopes::Character(entry.to_owned()));
            }
            scopes.push(entry.to_owned());
        }
        let scopes = Self::unique(scopes);
        if scopes.0.len() > MAX_SCOPES {
            return Err(InvalidScopes::TooMany);
        }
        Ok(scopes)
    }

    /// Scopes a provider reported. Taken as they are, but each once: a provider's odd scope
    /// is not a reason to lose a grant.
    pub fn reported(scopes: impl IntoIterator<Item = String>) -> Self {
        Self::unique(scopes.into_iter().filter(|scope| !scope.is_empty()))
    }

    fn unique(scopes: impl IntoIterator<Item = String>) -> Self {
        let mut seen = BTreeSet::new();
        Self(
            scopes
                .into_iter()
                .filter(|scope| seen.insert(scope.clone()))
                .collect(),
        )
    }

    /// The scopes of `self` that `granted` lacks, in the order of `self`.
    #[must_use]
    pub fn missing_from(&self, granted: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|scope| !granted.contains(scope))
                .cloned()
                .collect(),
        )
    }

    /// Whether both lists have the same scopes, in whatever order.
    pub fn is_same_set(&self, other: &Self) -> bool {
        self.missing_from(other).is_empty() && other.missing_from(self).is_empty()
    }

    /// Both lists, `self` first.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::unique(self.0.iter().chain(&other.0).cloned())
    }

    /// Whether `scope` is listed.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|own| own == scope)
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The scopes as a provider wants them in one parameter.
    pub fn join(&self, separator: &str) -> String {
        self.0.join(separator)
    }
}

fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> ScopeList {
        ScopeList::parse(text.lines()).unwrap()
    }

    #[test]
    fn one_scope_a_line_drops_blanks_and_duplicates_and_keeps_the_order() {
        assert_eq!(
            list("write\n\n read \nwrite\n").iter().collect::<Vec<_>>(),
            ["write", "read"]
        );
    }

    #[test]
    fn two_scopes_on_one_line_are_refused_by_name() {
        let error = ScopeList::parse(["read write"]).unwrap_err();
        assert_eq!(error, InvalidScopes::Character("read write".into()));
    }

    #[test]
    fn limits_on_count_and_length_are_enforced() {
        let long = "x".repeat(MAX_SCOPE_LENGTH + 1);
        assert_eq!(
            ScopeList::parse([long.as_str()]),
            Err(InvalidScopes::TooLong)
        );
        let many: Vec<String> = (0..=MAX_SCOPES).map(|n| n.to_string()).collect();
        assert_eq!(
            ScopeList::parse(many.iter().map(String::as_str)),
            Err(InvalidScopes::TooMany)
        );
    }

    #[test]
    fn what_is_missing_ignores_order_and_extra_grants() {
        let missing = list("a\nb\nc").missing_from(&list("z\nc\na"));
        assert_eq!(missing, list("b"));
        assert!(list("b\na").missing_from(&list("a\nb\nc")).is_empty());
    }
}

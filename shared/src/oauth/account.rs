//! Whose account it is, read from JSON a provider sent.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::json::{self, text_at};
use crate::domain::provider::Identity;
use crate::domain::secret::Secret;
use crate::domain::shown::shown;
use crate::domain::token::Account;

/// The longest id or label that is kept, in characters.
const MAX_LENGTH: usize = 255;

/// The account that `identity`'s pointers find in `body`. An id that is too long to be one is
/// none: a truncated id could equal another account's.
pub fn read(identity: &Identity, body: &Value) -> Option<Account> {
    let id = text_at(body, &identity.id)?;
    if id.chars().count() > MAX_LENGTH || id.chars().any(char::is_control) {
        return None;
    }
    let label = identity
        .label
        .as_deref()
        .and_then(|pointer| text_at(body, pointer))
        .map(|label| shown(&label, MAX_LENGTH))
        .filter(|label| !label.is_empty());
    Some(Account { id, label })
}

/// The account that an ID token names which a refresh brought, unless it cannot be read. It came
/// from the token endpoint itself, whose certificate stands in for a signature here (OpenID
/// Connect Core section 3.1.3.7), and only another account's has a consequence (section 12.2).
pub(super) fn read_refreshed(identity: &Identity, id_token: &Secret) -> Option<Account> {
    let payload = id_token.expose().split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    read(identity, &json::parse(&claims)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            id_token: false,
            url: None,
            json: None,
            id: "/user/id".into(),
            label: Some("/user/name".into()),
        }
    }

    fn account(body: &Value) -> Option<(String, Option<String>)> {
        read(&identity(), body).map(|account| (account.id, account.label))
    }

    #[test]
    fn ids_come_as_text_or_number() {
        let found = account(&json!({"user": {"id": 583231, "name": "Octo"}}));
        assert_eq!(found, Some(("583231".into(), Some("Octo".into()))));
        let found = account(&json!({"user": {"id": "u-1"}}));
        assert_eq!(found, Some(("u-1".into(), None)));
    }

    #[test]
    fn what_is_no_id_gives_no_account() {
        for body in [
            json!({}),
            json!([]),
            json!({"user": {"name": "x"}}),
            json!({"user": {"id": ""}}),
            json!({"user": {"id": null}}),
            json!({"user": {"id": {"nested": 1}}}),
            json!({"user": {"id": "a\nb"}}),
            json!({"user": {"id": "x".repeat(256)}}),
        ] {
            assert_eq!(account(&body), None, "{body}");
        }
    }

    #[test]
    fn h09_a_label_is_bounded_and_has_no_control_characters() {
        let name = format!("a\u{1b}[31m\r\n\u{202e}{}", "é".repeat(1000));
        let (_, label) = account(&json!({"user": {"id": 1, "name": name}})).unwrap();
        let label = label.unwrap();
        assert_eq!(label.chars().count(), 255);
        assert!(label.starts_with("a[31mé"));
    }
}

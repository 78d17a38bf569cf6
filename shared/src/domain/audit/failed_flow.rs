//! What is kept of a flow that connected nothing.

use super::{Action, AuditEntry, AuditId, Origin, Outcome};
use crate::domain::ending::Ending;
use crate::domain::session::AuthorizationSession;
use crate::domain::shown::shown;
use crate::domain::time::Timestamp;

/// The longest that is kept of either text, in characters.
const MAX_LENGTH: usize = 200;

/// What a provider's error answer said (RFC 6749 section 4.1.2.1): anybody's text, cut short and
/// made fit to be shown, and shown to admins alone (H-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSaid {
    /// `error`.
    pub error: String,
    /// `error_description`.
    pub description: Option<String>,
}

impl ProviderSaid {
    /// As much as is kept of an answer.
    pub fn new(error: &str, description: Option<&str>) -> Self {
        Self {
            error: shown(error, MAX_LENGTH),
            description: description
                .map(|text| shown(text, MAX_LENGTH))
                .filter(|text| !text.is_empty()),
        }
    }
}

impl AuditEntry {
    /// That a flow ended `at` without a connection. A flow has one such entry, however many calls
    /// see it end: they are given the same id, which stands where the flow began.
    pub fn of_failed_flow(
        session: &AuthorizationSession,
        ending: Ending,
        said: Option<ProviderSaid>,
        origin: &Origin,
        at: Timestamp,
    ) -> Self {
        let id = AuditId::new(session.created_at, session.id.as_str());
        Self {
            time: at,
            outcome: Outcome::Refused,
            reason: Some(ending.code().to_owned()),
            provider_said: said,
            connector: Some(session.connector.clone()),
            subject: Some(session.starter.subject()),
            ..Self::new(id, &session.workspace, origin, Action::ConnectFailed)
                .about_app(&session.app)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h09_what_is_kept_of_a_providers_words_is_bounded_on_both_sides() {
        let said = ProviderSaid::new(&"é".repeat(1000), Some(&"x".repeat(1_000_000)));
        assert_eq!(said.error.chars().count(), MAX_LENGTH);
        assert_eq!(said.description.unwrap().len(), MAX_LENGTH);
    }

    #[test]
    fn h09_a_description_of_nothing_but_controls_is_none() {
        let said = ProviderSaid::new("\r\n", Some("\u{202e}\u{7}"));
        assert_eq!((said.error.as_str(), said.description), ("", None));
    }
}

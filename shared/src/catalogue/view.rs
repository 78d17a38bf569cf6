//! The catalogue as an admin sees it.

use serde::Serialize;

use super::template::{Field, Template};

/// A provider in the list of providers.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderSummary {
    /// Its id: the `provider` of a connector.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where an OAuth client is created, or how is explained.
    pub docs_url: Option<String>,
    /// Whether a disconnect also ends the grant at the provider.
    pub revocation: bool,
}

/// What an admin needs to know to make a connector.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderDetails {
    /// The same as in the list.
    #[serde(flatten)]
    pub summary: ProviderSummary,
    /// What goes into a connector's `config`.
    pub fields: Vec<Field>,
    /// How the provider's scopes look and where they are listed.
    pub scopes_help: String,
    /// What the scopes are joined by when a user is sent to the provider. The connector lists
    /// one scope a line whatever this is.
    pub scope_separator: Option<String>,
    /// What to do at the provider, a sentence each.
    pub setup_notes: Vec<String>,
    /// What to register as redirect URI.
    pub redirect_uri_rule: &'static str,
    /// Whether PKCE is used.
    pub pkce: Option<bool>,
    /// After how many days a user has to connect again whatever is done, where there is such a
    /// limit.
    pub hard_limit_days: Option<u32>,
    /// When the facts were last compared with the provider's own pages.
    pub verified_on: Option<String>,
    /// These pages.
    pub sources: Vec<String>,
}

/// The same for every provider (H-06).
pub(super) const REDIRECT_URI_RULE: &str = "Every connector has a redirect URI of its own, \
    which ends in its id. Register exactly the redirect_uri that the connector shows: create \
    the connector with an id of your choice first if the provider wants it before it gives out \
    a secret.";

pub(super) fn summary(template: &Template) -> ProviderSummary {
    ProviderSummary {
        id: template.id.clone(),
        name: template.name.clone(),
        docs_url: Some(template.docs_url.clone()),
        revocation: template.revoke.is_some(),
    }
}

pub(super) fn details(template: &Template) -> ProviderDetails {
    ProviderDetails {
        summary: summary(template),
        fields: template.fields.clone(),
        scopes_help: template.scopes_help.clone(),
        scope_separator: Some(template.authorize.scope_separator.clone()),
        setup_notes: template.setup_notes.clone(),
        redirect_uri_rule: REDIRECT_URI_RULE,
        pkce: Some(template.authorize.pkce),
        hard_limit_days: template.refresh.hard_limit_days,
        verified_on: Some(template.verified_on.clone()),
        sources: template.sources.clone(),
    }
}

//! The catalogue as an admin sees it.

use catalogue_format::{Field, Pkce, Rotation, ScopeNote, Template};
use serde::Serialize;

use super::{notes, template};
use crate::domain::provider::RevocationReach;

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
    /// What goes into a connector's `config`, and what each user is asked for.
    pub fields: Vec<Field>,
    /// How the provider's scopes look and where they are listed.
    pub scopes_help: String,
    /// What the scopes are joined by when a user is sent to the provider. The connector lists
    /// one scope a line whatever this is.
    pub scope_separator: Option<String>,
    /// The scopes that are used most.
    pub scopes: Vec<ScopeNote>,
    /// What to do at the provider, a sentence each.
    pub setup_notes: Vec<String>,
    /// What to register as redirect URI.
    pub redirect_uri_rule: &'static str,
    /// Whether PKCE is used.
    pub pkce: Option<Pkce>,
    /// What a refresh does to the refresh token.
    pub rotation: Option<Rotation>,
    /// What a revocation ends, where there is one.
    pub revocation_reach: Option<RevocationReach>,
    /// After how many days a user has to connect again whatever is done, where there is such a
    /// limit.
    pub hard_limit_days: Option<u32>,
    /// When the facts were last compared with the provider's own pages.
    pub verified_on: Option<String>,
    /// These pages.
    pub sources: Vec<String>,
    /// The facts that none of these pages settles.
    pub unchecked: Vec<String>,
}

/// The same for every provider (H-06).
pub(super) const REDIRECT_URI_RULE: &str = "Every connector has a redirect URI of its own, \
    which ends in its id. Register exactly the redirect_uri that the connector shows: create \
    the connector with an id of your choice first if the provider wants it before it gives out \
    a secret.";

pub(super) fn summary(id: &str) -> Option<ProviderSummary> {
    Some(summary_of(id, &template(id)?, notes(id)?.docs_url))
}

fn summary_of(id: &str, template: &Template, docs_url: Option<String>) -> ProviderSummary {
    ProviderSummary {
        id: id.to_owned(),
        name: template.name.clone(),
        docs_url,
        revocation: template.revoke.is_some(),
    }
}

pub(super) fn details(id: &str) -> Option<ProviderDetails> {
    let (template, notes) = (template(id)?, notes(id)?);
    Some(ProviderDetails {
        summary: summary_of(id, &template, notes.docs_url),
        fields: template.fields,
        scopes_help: notes.scopes_help,
        scope_separator: Some(template.authorize.scope_separator),
        scopes: notes.scopes,
        setup_notes: notes.setup_notes,
        redirect_uri_rule: REDIRECT_URI_RULE,
        pkce: Some(template.authorize.pkce),
        rotation: Some(template.refresh.rotation),
        revocation_reach: template.revoke.map(|revoke| revoke.reach),
        hard_limit_days: template.refresh.hard_limit_days,
        verified_on: notes.verified_on,
        sources: notes.sources,
        unchecked: notes.unchecked,
    })
}

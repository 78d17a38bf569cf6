//! The providers Grantry knows: data files and the code that fills them in.
//!
//! A provider is a file in `providers/`; what makes it special is a field of the
//! [`template`] format, never a branch on its name. The one exception is `custom`, whose
//! endpoints an admin gives. No network, no secrets: a template says where a connector's
//! client talks to, [`resolve`] makes sure that it is where the admin may send it.

mod config;
mod custom;
mod fill;
mod metadata;
pub mod template;
mod view;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::Provider;

pub use config::ConfigError;
pub use metadata::{MetadataFault, discovered, issuer_to_ask, metadata_urls};
pub use template::{Field, Template};
pub use view::{ProviderDetails, ProviderSummary};

/// All providers in the order of their ids, `custom` last, for `GET /v1/providers`.
pub fn providers() -> Vec<ProviderSummary> {
    let templates = FILES.iter().map(|file| view::summary(file.template()));
    templates.chain([custom::summary()]).collect()
}

/// What an admin needs to know about one provider, for `GET /v1/providers/{provider}`.
pub fn details(provider: &ProviderId) -> Option<ProviderDetails> {
    if provider.as_str() == custom::ID {
        return Some(custom::details());
    }
    template(provider).map(view::details)
}

/// The template of a provider. Only the file asked for is parsed, once: a cold start pays for
/// none and a request for one.
pub fn template(provider: &ProviderId) -> Option<&'static Template> {
    let index = FILES
        .binary_search_by_key(&provider.as_str(), |file| file.id)
        .ok()?;
    Some(FILES[index].template())
}

/// The provider as one connector sees it: its template, or the endpoints of `custom`, filled
/// in from the connector's `config`.
///
/// # Errors
/// [`ConfigError`] names the field that has to be put right.
pub fn resolve(
    provider: &ProviderId,
    config: &BTreeMap<String, String>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    if provider.as_str() == custom::ID {
        return custom::resolve(provider, config, rules);
    }
    let template = template(provider).ok_or_else(|| ConfigError::UnknownProvider {
        provider: provider.clone(),
    })?;
    fill::fill(provider, template, config, rules)
}

struct File {
    id: &'static str,
    json: &'static str,
    parsed: OnceLock<Template>,
}

impl File {
    const fn new(id: &'static str, json: &'static str) -> Self {
        Self {
            id,
            json,
            parsed: OnceLock::new(),
        }
    }

    fn template(&self) -> &Template {
        self.parsed.get_or_init(|| {
            // The text is part of the binary and a test parses every file.
            serde_json::from_str(self.json).expect("catalogue files are well formed")
        })
    }
}

/// In the order of their ids, which [`template`] searches by.
static FILES: [File; 10] = [
    File::new("airtable", include_str!("providers/airtable.json")),
    File::new("dropbox", include_str!("providers/dropbox.json")),
    File::new("github", include_str!("providers/github.json")),
    File::new("gitlab", include_str!("providers/gitlab.json")),
    File::new("google", include_str!("providers/google.json")),
    File::new("hubspot", include_str!("providers/hubspot.json")),
    File::new("microsoft", include_str!("providers/microsoft.json")),
    File::new("notion", include_str!("providers/notion.json")),
    File::new("salesforce", include_str!("providers/salesforce.json")),
    File::new("slack", include_str!("providers/slack.json")),
];

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod resolve_tests;
#[cfg(test)]
mod tests;

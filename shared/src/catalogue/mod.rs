//! The providers Grantry knows: data files and the code that fills them in.
//!
//! A provider is a file in `shared/catalogue/providers`; what makes it special is a member of the
//! format, never a branch on its name. The one exception is `custom`, which an admin describes. No
//! network, no secrets: a template says where a connector's client talks to, [`resolve`] makes
//! sure that it is where the admin may send it.
//!
//! The build has read the files, refused what is wrong in them, and left two tables.

mod config;
mod custom;
mod fill;
mod metadata;
mod view;

use std::collections::BTreeMap;

use catalogue_format::{Notes, Template};

use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::Provider;

pub use config::ConfigError;
pub use metadata::{MetadataFault, discovered, issuer_to_ask, metadata_urls};
pub use view::{ProviderDetails, ProviderSummary};

/// All providers in the order of their ids, `custom` last, for `GET /v1/providers`.
pub fn providers() -> Vec<ProviderSummary> {
    let ids = TEMPLATES.iter().filter_map(|(id, _)| view::summary(id));
    ids.chain([custom::summary()]).collect()
}

/// What an admin needs to know about one provider, for `GET /v1/providers/{provider}`.
pub fn details(provider: &ProviderId) -> Option<ProviderDetails> {
    if provider.as_str() == custom::ID {
        return Some(custom::details());
    }
    view::details(provider.as_str())
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
    let template = template(provider.as_str()).ok_or_else(|| ConfigError::UnknownProvider {
        provider: provider.clone(),
    })?;
    fill::fill(provider, &template, config, rules)
}

/// The template of a provider. Only the one that is asked for is parsed.
fn template(provider: &str) -> Option<Template> {
    find(TEMPLATES, provider)
}

/// What people read about a provider.
fn notes(provider: &str) -> Option<Notes> {
    find(NOTES, provider)
}

fn find<T: serde::de::DeserializeOwned>(table: Table, provider: &str) -> Option<T> {
    let index = table.binary_search_by_key(&provider, |(id, _)| id).ok()?;
    // The build has read it as the same type.
    Some(serde_json::from_str(table[index].1).expect("the catalogue is well formed"))
}

/// Ids in their order, and JSON.
type Table = &'static [(&'static str, &'static str)];

static TEMPLATES: Table = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Apart from [`TEMPLATES`], so that a function that shows none carries none.
static NOTES: Table = include!(concat!(env!("OUT_DIR"), "/notes.rs"));

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod resolve_tests;
#[cfg(test)]
mod tests;

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

use catalogue_format::load::Description;
use catalogue_format::{AskedOf, Notes, Template, check};
use serde_json::Value;
use url::Url;

use crate::domain::address::AddressRules;
use crate::domain::connector::Connector;
use crate::domain::ids::ProviderId;
use crate::domain::provider::Provider;

pub use catalogue_format::{Fault, Field};
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

/// The provider with all of its fields told in `config`, whoever is asked for them.
///
/// # Errors
/// [`ConfigError`] names the field that has to be put right.
pub fn resolve(
    provider: &ProviderId,
    config: &BTreeMap<String, String>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    if provider.as_str() == custom::ID {
        let template = custom::template(config, rules)?;
        return fill::fill(provider, &template, BTreeMap::new(), rules);
    }
    let template = template(provider.as_str()).ok_or_else(|| unknown(provider))?;
    let values = config::values(&template.fields, config)?;
    fill::fill(provider, &template, values, rules)
}

/// Whether an admin describes the provider.
pub fn is_custom(provider: &ProviderId) -> bool {
    provider.as_str() == custom::ID
}

/// Whose account it is about.
#[derive(Clone, Copy, Debug)]
pub enum Account<'a> {
    /// One whose user has told these values, among others that may be there.
    Told(&'a BTreeMap<String, String>),
    /// Nobody's yet: what fields give for an example stands for what users will tell.
    Example,
}

/// The provider as a connector talks to it about an account.
///
/// # Errors
/// [`ConfigError`] names the field that has to be put right.
pub fn of_connector(
    connector: &Connector,
    account: Account<'_>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    let (template, config) = described_by(connector, rules)?;
    let asked = |of| {
        template
            .fields
            .iter()
            .filter(move |field| field.asked == of)
    };
    let mut values = config::values(asked(AskedOf::Admin), config)?;
    match account {
        Account::Told(told) => values.extend(config::values_among(asked(AskedOf::User), told)?),
        Account::Example => values.extend(
            asked(AskedOf::User).map(|field| (field.name.as_str(), field.example.as_str())),
        ),
    }
    fill::fill(&connector.provider, &template, values, rules)
}

/// What users are asked for who connect an account.
pub fn asked_of_users(connector: &Connector) -> Vec<Field> {
    let template = match &connector.template {
        Some(stored) => stored_template(stored),
        None => template(connector.provider.as_str()),
    };
    let fields = template.map_or_else(Vec::new, |template| template.fields);
    let fields = fields.into_iter();
    fields
        .filter(|field| field.asked == AskedOf::User)
        .collect()
}

/// A template that was read before it was stored, perhaps by another version.
fn stored_template(stored: &str) -> Option<Template> {
    let description = serde_json::from_str(stored).ok()?;
    Some(Description::read(description).ok()?.template)
}

/// A description that an admin has written, as it is to be stored.
///
/// # Errors
/// What is wrong with it, and with which member.
pub fn described(description: &Value, rules: AddressRules) -> Result<String, Fault> {
    let stored = description.to_string();
    if stored.len() > MAX_DESCRIPTION {
        let reason = format!("must be at most {MAX_DESCRIPTION} bytes of JSON");
        return Err(Fault {
            member: String::new(),
            reason,
        });
    }
    let read = Description::read(description.clone())?;
    let allowed = |url: &Url| rules.check(url).map_err(|refused| refused.to_string());
    match check(&read.template, &allowed).into_iter().next() {
        None => Ok(stored),
        Some(fault) => Err(fault),
    }
}

/// The template of a connector, and the `config` for its fields.
fn described_by(
    connector: &Connector,
    rules: AddressRules,
) -> Result<(Template, &BTreeMap<String, String>), ConfigError> {
    static NOTHING: BTreeMap<String, String> = BTreeMap::new();
    let provider = &connector.provider;
    if let Some(stored) = &connector.template {
        let template = stored_template(stored);
        let template = template.ok_or(ConfigError::UnreadableTemplate)?;
        return Ok((template, &connector.config));
    }
    if provider.as_str() == custom::ID {
        return Ok((custom::template(&connector.config, rules)?, &NOTHING));
    }
    let template = template(provider.as_str()).ok_or_else(|| unknown(provider))?;
    Ok((template, &connector.config))
}

fn unknown(provider: &ProviderId) -> ConfigError {
    ConfigError::UnknownProvider {
        provider: provider.clone(),
    }
}

/// The longest description, in bytes of JSON.
const MAX_DESCRIPTION: usize = 16 * 1024;

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

//! A connector's `config` against a provider's fields.

use std::collections::BTreeMap;

use catalogue_format::{Field, matches};

use crate::domain::ids::ProviderId;

/// The longest value of a field, in bytes.
const MAX_VALUE: usize = 2048;

/// Why a connector's `config` does not make a provider: which field, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such provider.
    #[error("there is no provider {provider}")]
    UnknownProvider {
        /// The id that was given.
        provider: ProviderId,
    },
    /// The description that is stored with the connector is not understood any more.
    #[error("the template of the connector is not understood; send it again")]
    UnreadableTemplate,
    /// A field the provider does not have.
    #[error("config field {field} is unknown; this provider takes {known}")]
    UnknownField {
        /// The field.
        field: String,
        /// The fields there are, for people.
        known: String,
    },
    /// A field that must be given.
    #[error("config field {field} is missing; for example {example}")]
    MissingField {
        /// The field.
        field: String,
        /// A value that would do.
        example: String,
    },
    /// A value that breaks the field's rule.
    #[error("config field {field} {rule}")]
    InvalidValue {
        /// The field.
        field: String,
        /// What the value must be.
        rule: String,
    },
}

impl ConfigError {
    /// The field to put right; `None` when it is the provider itself.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownProvider { .. } | Self::UnreadableTemplate => None,
            Self::UnknownField { field, .. }
            | Self::MissingField { field, .. }
            | Self::InvalidValue { field, .. } => Some(field),
        }
    }

    pub(super) fn invalid(field: &str, rule: impl Into<String>) -> Self {
        Self::InvalidValue {
            field: field.to_owned(),
            rule: rule.into(),
        }
    }
}

/// The values of fields by their names.
pub(super) type Values<'a> = BTreeMap<&'a str, &'a str>;

/// The value of each field that has one: as given, else its default. Nothing else is given.
pub(super) fn values<'a>(
    fields: impl IntoIterator<Item = &'a Field, IntoIter: Clone>,
    config: &'a BTreeMap<String, String>,
) -> Result<Values<'a>, ConfigError> {
    let fields = fields.into_iter();
    let is_known = |key: &str| fields.clone().any(|field| field.name == key);
    if let Some(unknown) = config.keys().find(|key| !is_known(key)) {
        return Err(unknown_field(unknown, fields));
    }
    values_among(fields, config)
}

/// The same where other things are given too.
pub(super) fn values_among<'a>(
    fields: impl IntoIterator<Item = &'a Field>,
    config: &'a BTreeMap<String, String>,
) -> Result<Values<'a>, ConfigError> {
    let mut values = BTreeMap::new();
    for field in fields {
        match (config.get(&field.name), &field.default) {
            (Some(value), _) => {
                check(field, value)?;
                values.insert(field.name.as_str(), value.as_str());
            }
            (None, Some(default)) => {
                values.insert(&field.name, default);
            }
            (None, None) if field.required => {
                return Err(ConfigError::MissingField {
                    field: field.name.clone(),
                    example: field.example.clone(),
                });
            }
            (None, None) => {}
        }
    }
    Ok(values)
}

fn check(field: &Field, value: &str) -> Result<(), ConfigError> {
    let pattern = field.pattern.as_deref();
    let fits = (1..=MAX_VALUE).contains(&value.len())
        && !value.contains(char::is_control)
        && pattern.is_none_or(|pattern| matches(pattern, value));
    if fits {
        Ok(())
    } else {
        Err(ConfigError::invalid(
            &field.name,
            format!(
                "is not valid: {}; for example {}",
                field.help, field.example
            ),
        ))
    }
}

fn unknown_field<'a>(unknown: &str, fields: impl Iterator<Item = &'a Field>) -> ConfigError {
    let names: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
    ConfigError::UnknownField {
        // What a stranger wrote is shown back to them in an error: no more of it than needed.
        field: unknown.chars().take(64).collect(),
        known: if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        },
    }
}

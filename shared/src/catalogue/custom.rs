//! The provider `custom`: its endpoints come from the connector's `config`.
//!
//! Every URL here was typed by an admin of some workspace and will receive client secrets and
//! tokens, or be called from inside our network: it must pass the address rules, and
//! may not smuggle parameters of the protocol in its query.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use catalogue_format::{Field, Template, check};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::config::{self, ConfigError};
use super::view::{ProviderDetails, ProviderSummary, REDIRECT_URI_RULE};
use crate::domain::address::AddressRules;

pub(super) const ID: &str = "custom";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    scopes_help: String,
    setup_notes: Vec<String>,
    fields: Vec<Field>,
}

static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    // The text is part of the binary and a test parses it.
    serde_json::from_str(include_str!("custom.json")).expect("custom.json is well formed")
});

pub(super) fn summary() -> ProviderSummary {
    ProviderSummary {
        id: ID.into(),
        name: DESCRIPTION.name.clone(),
        docs_url: None,
        revocation: true,
    }
}

pub(super) fn details() -> ProviderDetails {
    ProviderDetails {
        summary: summary(),
        fields: DESCRIPTION.fields.clone(),
        scopes_help: DESCRIPTION.scopes_help.clone(),
        scope_separator: None,
        scopes: Vec::new(),
        setup_notes: DESCRIPTION.setup_notes.clone(),
        redirect_uri_rule: REDIRECT_URI_RULE,
        pkce: None,
        rotation: None,
        revocation_reach: None,
        hard_limit_days: None,
        verified_on: None,
        sources: Vec::new(),
        unchecked: Vec::new(),
    }
}

/// What the answers of a `config` describe. It has no fields.
pub(super) fn template(
    config: &BTreeMap<String, String>,
    rules: AddressRules,
) -> Result<Template, ConfigError> {
    let answers = Answers {
        values: config::values(&DESCRIPTION.fields, config)?,
        rotates: config.contains_key("rotation"),
    };
    let description = answers.description()?;
    // Every answer has been put where one of its kind belongs.
    let template = serde_json::from_value(description).expect("answers make a template");
    let allowed = |url: &Url| rules.check(url).map_err(|refused| refused.to_string());
    match check(&template, &allowed).into_iter().next() {
        None => Ok(template),
        Some(fault) => {
            let field = answers.field_of(&fault.member);
            Err(ConfigError::invalid(field, fault.reason))
        }
    }
}

/// The admin's answers, each checked against its field's pattern.
struct Answers<'a> {
    values: BTreeMap<&'a str, &'a str>,
    /// Whether the admin has said something of rotation.
    rotates: bool,
}

impl<'a> Answers<'a> {
    fn text(&self, field: &str) -> Option<&'a str> {
        self.values.get(field).copied()
    }

    fn is(&self, field: &str, value: &str) -> bool {
        self.text(field) == Some(value)
    }

    fn number(&self, field: &str) -> Option<u32> {
        // A pattern has let digits through, and not many.
        self.text(field).and_then(|text| text.parse().ok())
    }

    fn required_url(&self, field: &str) -> Result<String, ConfigError> {
        self.url(field)?.ok_or_else(|| {
            let fields = DESCRIPTION.fields.iter();
            let described = fields.into_iter().find(|known| known.name == field);
            ConfigError::MissingField {
                field: field.to_owned(),
                example: described.map_or_else(String::new, |known| known.example.clone()),
            }
        })
    }

    /// A URL in its normal form, in which there are no blanks.
    fn url(&self, field: &str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        match Url::parse(text) {
            // In a query a brace would stay one.
            Ok(url) if !url.as_str().contains('{') => Ok(Some(url.into())),
            Ok(_) => Err(ConfigError::invalid(field, "must not contain {")),
            Err(_) => Err(ConfigError::invalid(field, "must be a URL")),
        }
    }

    /// The answers as a description. What is null is left out.
    fn description(&self) -> Result<Value, ConfigError> {
        let authorize_url = self.required_url("authorize_url")?;
        let host = Url::parse(&authorize_url).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or("?");
        let auth = self.text("token_auth");
        let separator = if self.is("scope_separator", "comma") {
            ","
        } else {
            " "
        };
        // Compared as a plain string (RFC 9207 section 2.4), so it stays the text it is.
        let issuer = self.url("issuer")?.and(self.text("issuer"));
        let refresh = json!({
            "rotation": self.rotation()?,
            "idle_days": self.number("idle_days"),
            "hard_limit_days": self.number("hard_limit_days"),
            "refresh_expires_in": self.text("refresh_expires_in"),
            "assumed_lifetime": match self.number("assumed_lifetime") {
                Some(seconds) => json!({"seconds": seconds}),
                None => json!("never"),
            },
            "request": self.renewal()?,
        });
        Ok(without_null(json!({
            "name": host.chars().take(100).collect::<String>(),
            "issuer": issuer,
            "iss_promised": self.is("iss", "promised"),
            "id_token": self.id_token(issuer)?,
            "authorize": {
                "url": authorize_url,
                "scope_separator": separator,
                "response_mode": self.text("response_mode"),
                "pkce": if self.is("pkce", "off") { "off" } else { "optional" },
            },
            "token": {
                "url": self.required_url("token_url")?,
                "auth": auth,
                "scope_separator": separator,
            },
            "refresh": refresh,
            "revoke": self.url("revoke_url")?.map(|url| json!({
                "url": url,
                "token": if self.exchanges() { "access" } else { "refresh" },
                "send": "form",
                "hint": true,
                "auth": auth,
                "reach": self.text("revoke_reach"),
            })),
            "identity": self.identity()?,
        })))
    }

    fn id_token(&self, issuer: Option<&str>) -> Result<Option<Value>, ConfigError> {
        match (issuer, self.url("jwks_url")?) {
            (Some(issuer), Some(jwks_url)) => {
                Ok(Some(json!({"issuer": issuer, "jwks_url": jwks_url})))
            }
            (_, None) => Ok(None),
            (None, Some(_)) => Err(ConfigError::invalid(
                "jwks_url",
                "goes with an issuer only: ID tokens have to name it",
            )),
        }
    }

    /// The account URL where there is one, else a validated ID token.
    fn identity(&self) -> Result<Option<Value>, ConfigError> {
        let url = self.url("userinfo_url")?;
        let id_token = url.is_none() && self.text("jwks_url").is_some();
        Ok((url.is_some() || id_token).then(|| {
            json!({
                "id_token": id_token,
                "url": url,
                "id": self.text("userinfo_id"),
                "label": self.text("userinfo_label"),
            })
        }))
    }

    fn exchanges(&self) -> bool {
        self.text("exchange_grant_type").is_some()
    }

    /// The exchange of access tokens takes the place of refresh tokens when its grant type is
    /// given; its other fields mean nothing without.
    fn renewal(&self) -> Result<Option<Value>, ConfigError> {
        const GOES_ALONG: [&str; 4] = [
            "exchange_param",
            "exchange_method",
            "exchange_url",
            "exchange_min_age",
        ];
        let Some(grant_type) = self.text("exchange_grant_type") else {
            let stray = GOES_ALONG.iter().find(|field| self.text(field).is_some());
            return match stray {
                None => Ok(None),
                Some(field) => Err(ConfigError::invalid(
                    field,
                    "goes with exchange_grant_type only",
                )),
            };
        };
        Ok(Some(json!({
            "url": self.url("exchange_url")?,
            "method": self.text("exchange_method"),
            "grant_type": grant_type,
            "token": "access",
            "token_param": self.text("exchange_param"),
            "min_age_seconds": self.number("exchange_min_age"),
        })))
    }

    /// Nothing rotates where access tokens are exchanged, unless the admin says so, who is then
    /// told.
    fn rotation(&self) -> Result<Value, ConfigError> {
        let grace = self.number("grace_seconds");
        let rotation = self
            .text("rotation")
            .filter(|_| self.rotates || !self.exchanges());
        match (rotation, grace) {
            (Some("grace"), Some(seconds)) => Ok(json!({"grace": seconds})),
            (Some("grace"), None) => Err(ConfigError::MissingField {
                field: "grace_seconds".into(),
                example: "30".into(),
            }),
            (_, Some(_)) => Err(ConfigError::invalid(
                "grace_seconds",
                "goes with rotation grace only",
            )),
            (rotation, None) => Ok(json!(rotation.unwrap_or("none"))),
        }
    }

    /// The field that a member of the description was made of.
    fn field_of(&self, member: &str) -> &str {
        match member {
            "authorize.url" => "authorize_url",
            "id_token.jwks_url" => "jwks_url",
            "id_token.issuer" | "issuer" => "issuer",
            "identity.id" => "userinfo_id",
            "identity.label" => "userinfo_label",
            "identity.url" => "userinfo_url",
            "iss_promised" => "iss",
            "refresh.assumed_lifetime" => "assumed_lifetime",
            "refresh.hard_limit_days" => "hard_limit_days",
            "refresh.idle_days" => "idle_days",
            "refresh.request.min_age_seconds" => "exchange_min_age",
            "refresh.request.token" => "rotation",
            "refresh.request.token_param" => "exchange_param",
            "refresh.request.url" => "exchange_url",
            "refresh.rotation" => "grace_seconds",
            "revoke.url" => "revoke_url",
            _ => "token_url",
        }
    }
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(name, value)| (name, without_null(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other,
    }
}

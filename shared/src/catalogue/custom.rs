//! The provider `custom`: its endpoints come from the connector's `config`.
//!
//! Every URL here was typed by an admin of some workspace and will receive client secrets and
//! tokens, or be called from inside our network: it must pass the address rules, and
//! may not smuggle parameters of the protocol in its query.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::config::{self, ConfigError};
use super::template::Field;
use super::view::{ProviderDetails, ProviderSummary, REDIRECT_URI_RULE};
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::{
    AccessTokenExchange, Authorize, BodyEncoding, ClientAuth, ExchangeMethod, IdTokenProfile,
    Identity, Provider, RefreshGrant, RefreshProfile, ResponseMode, Revocation, RevocationReach,
    RevocationShape, RevokedToken, Rotation, TokenEndpointProfile, is_protocol_param,
};

pub(super) const ID: &str = "custom";

const DAY: u64 = 24 * 3600;

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
        setup_notes: DESCRIPTION.setup_notes.clone(),
        redirect_uri_rule: REDIRECT_URI_RULE,
        pkce: None,
        hard_limit_days: None,
        verified_on: None,
        sources: Vec::new(),
    }
}

pub(super) fn resolve(
    id: &ProviderId,
    config: &BTreeMap<String, String>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    let answers = Answers {
        values: config::values(&DESCRIPTION.fields, config)?,
        rules,
    };
    let basic = answers.is("token_auth", "basic");
    let separator = if answers.is("scope_separator", "comma") {
        ","
    } else {
        " "
    };
    let authorize_url = answers.required_url("authorize_url")?;
    Ok(Provider {
        id: id.clone(),
        name: authorize_url.host_str().unwrap_or_default().to_owned(),
        issuer: answers.issuer()?,
        iss_promised: answers.is("iss", "promised"),
        id_tokens: answers.id_tokens()?,
        authorize: Authorize {
            url: authorize_url,
            params: BTreeMap::new(),
            scope_separator: separator.into(),
            scope_param: "scope".into(),
            response_mode: answers.response_mode(),
            pkce: answers.is("pkce", "s256"),
        },
        token: TokenEndpointProfile {
            url: answers.required_url("token_url")?,
            auth: if basic {
                ClientAuth::Basic
            } else {
                ClientAuth::Post
            },
            body: BodyEncoding::Form,
            params: BTreeMap::new(),
            token_path: String::new(),
            bearer_types: Vec::new(),
            success_flag: None,
            error_path: None,
            errors: BTreeMap::new(),
            scope_separator: separator.into(),
        },
        revocation: answers.url("revoke_url")?.map(|url| Revocation {
            url: url.into(),
            shape: if basic {
                RevocationShape::FormBasic
            } else {
                RevocationShape::FormPost
            },
            token: RevokedToken::Refresh,
            reach: if answers.is("revoke_reach", "account") {
                RevocationReach::Account
            } else {
                RevocationReach::Grant
            },
        }),
        refresh: RefreshProfile {
            grant: answers.refresh_grant()?,
            rotation: answers.rotation()?,
            idle_limit: answers.days("idle_days")?,
            hard_limit: answers.days("hard_limit_days")?,
            refresh_expires_in: answers.text("refresh_expires_in").map(str::to_owned),
            assumed_lifetime: answers.assumed_lifetime()?,
        },
        identity: answers.identity()?,
        captured: BTreeMap::new(),
        headers: BTreeMap::new(),
    })
}

/// The admin's answers, each checked against its field's pattern.
struct Answers<'a> {
    values: BTreeMap<&'a str, &'a str>,
    rules: AddressRules,
}

impl<'a> Answers<'a> {
    fn text(&self, field: &str) -> Option<&'a str> {
        self.values.get(field).copied()
    }

    fn is(&self, field: &str, value: &str) -> bool {
        self.text(field) == Some(value)
    }

    fn number(&self, field: &str, most: u64) -> Result<Option<u64>, ConfigError> {
        match self.text(field).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) if number <= most => Ok(Some(number)),
            Some(_) => Err(ConfigError::invalid(
                field,
                format!("must be at most {most}"),
            )),
        }
    }

    fn days(&self, field: &str) -> Result<Option<Duration>, ConfigError> {
        let days = self.number(field, 3650)?;
        Ok(days.map(|days| Duration::from_secs(days * DAY)))
    }

    fn assumed_lifetime(&self) -> Result<Option<Duration>, ConfigError> {
        if self.is("assumed_lifetime", "never") {
            return Ok(None);
        }
        let seconds = self.number("assumed_lifetime", 365 * DAY)?;
        Ok(seconds.map(Duration::from_secs))
    }

    fn required_url(&self, field: &str) -> Result<Url, ConfigError> {
        self.url(field)?.ok_or_else(|| {
            let fields = DESCRIPTION.fields.iter();
            let described = fields.into_iter().find(|known| known.name == field);
            ConfigError::MissingField {
                field: field.to_owned(),
                example: described.map_or_else(String::new, |known| known.example.clone()),
            }
        })
    }

    fn url(&self, field: &str) -> Result<Option<Url>, ConfigError> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        let invalid = |rule: String| Err(ConfigError::invalid(field, rule));
        let Ok(url) = Url::parse(text) else {
            return invalid("must be a URL".into());
        };
        if let Err(refused) = self.rules.check(&url) {
            return invalid(refused.to_string());
        }
        // RFC 6749 sections 3.1 and 3.2: endpoints have no fragment.
        if url.fragment().is_some() {
            return invalid("must not contain #".into());
        }
        if let Some((name, _)) = url.query_pairs().find(|(name, _)| is_protocol_param(name)) {
            return invalid(format!("must not contain the parameter {name}"));
        }
        Ok(Some(url))
    }

    /// The issuer stays the text the admin gave: it is compared as a plain string (RFC 9207
    /// section 2.4), so it must not be normalised.
    fn issuer(&self) -> Result<Option<String>, ConfigError> {
        match self.url("issuer")? {
            Some(url) if url.query().is_some() => {
                // RFC 8414 section 2.
                Err(ConfigError::invalid("issuer", "must not contain ?"))
            }
            Some(_) => Ok(self.text("issuer").map(str::to_owned)),
            None => Ok(None),
        }
    }

    fn id_tokens(&self) -> Result<Option<IdTokenProfile>, ConfigError> {
        match (self.issuer()?, self.url("jwks_url")?) {
            (Some(issuer), Some(jwks_url)) => Ok(Some(IdTokenProfile { issuer, jwks_url })),
            (_, None) => Ok(None),
            (None, Some(_)) => Err(ConfigError::invalid(
                "jwks_url",
                "goes with an issuer only: ID tokens have to name it",
            )),
        }
    }

    /// The account URL where there is one, else a validated ID token.
    fn identity(&self) -> Result<Option<Identity>, ConfigError> {
        let url = self.url("userinfo_url")?;
        let id_token = url.is_none() && self.text("jwks_url").is_some();
        Ok((url.is_some() || id_token).then(|| Identity {
            id_token,
            url,
            id: self.text("userinfo_id").unwrap_or("/sub").to_owned(),
            label: self.text("userinfo_label").map(str::to_owned),
        }))
    }

    /// The exchange of access tokens takes the place of refresh tokens when its grant type is
    /// given; its other fields mean nothing without.
    fn refresh_grant(&self) -> Result<RefreshGrant, ConfigError> {
        const GOES_ALONG: [&str; 4] = [
            "exchange_param",
            "exchange_method",
            "exchange_url",
            "exchange_min_age",
        ];
        let Some(grant_type) = self.text("exchange_grant_type") else {
            let stray = GOES_ALONG.iter().find(|field| self.text(field).is_some());
            return match stray {
                None => Ok(RefreshGrant::RefreshToken),
                Some(field) => Err(ConfigError::invalid(
                    field,
                    "goes with exchange_grant_type only",
                )),
            };
        };
        let token_param = self.text("exchange_param").unwrap_or("access_token");
        if is_protocol_param(token_param) {
            return Err(ConfigError::invalid(
                "exchange_param",
                "must not be a parameter of the protocol",
            ));
        }
        let min_age = self.number("exchange_min_age", 30 * DAY)?.unwrap_or(0);
        Ok(RefreshGrant::AccessToken(AccessTokenExchange {
            grant_type: grant_type.to_owned(),
            token_param: token_param.to_owned(),
            method: if self.is("exchange_method", "get") {
                ExchangeMethod::Get
            } else {
                ExchangeMethod::Post
            },
            url: self.url("exchange_url")?,
            min_age: Duration::from_secs(min_age),
        }))
    }

    fn response_mode(&self) -> Option<ResponseMode> {
        let modes = [ResponseMode::Query, ResponseMode::FormPost];
        let told = self.text("response_mode")?;
        modes.into_iter().find(|mode| mode.as_str() == told)
    }

    fn rotation(&self) -> Result<Rotation, ConfigError> {
        let grace = self.number("grace_seconds", 86_400)?;
        match (self.text("rotation"), grace) {
            (Some("grace"), Some(seconds)) => Ok(Rotation::Grace(Duration::from_secs(seconds))),
            (Some("grace"), None) => Err(ConfigError::MissingField {
                field: "grace_seconds".into(),
                example: "30".into(),
            }),
            (_, Some(_)) => Err(ConfigError::invalid(
                "grace_seconds",
                "goes with rotation grace only",
            )),
            (Some("none"), None) => Ok(Rotation::None),
            (Some("sliding"), None) => Ok(Rotation::Sliding),
            (_, None) => Ok(Rotation::Strict),
        }
    }
}

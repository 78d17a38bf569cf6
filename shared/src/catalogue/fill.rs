//! A template and a connector's `config` make a provider.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::config::{self, ConfigError};
use super::template::{AssumedLifetime, ExchangeTemplate, RotationTemplate, Template};
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::{
    AccessTokenExchange, Authorize, IdTokenProfile, Identity, Provider, RefreshGrant,
    RefreshProfile, Revocation, Rotation, TENANT, TokenEndpointProfile,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn fill(
    id: &ProviderId,
    template: &Template,
    config: &BTreeMap<String, String>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    let blanks = Blanks {
        values: config::values(&template.fields, config)?,
        rules,
    };
    Ok(Provider {
        id: id.clone(),
        name: template.name.clone(),
        issuer: template
            .issuer
            .as_deref()
            .map(|issuer| blanks.url(issuer).map(|_| blanks.text(issuer)))
            .transpose()?,
        iss_promised: template.iss_promised,
        id_tokens: id_tokens(template, &blanks)?,
        authorize: authorize(template, &blanks)?,
        token: token(template, &blanks)?,
        revocation: revocation(template, &blanks)?,
        refresh: refresh(template, &blanks)?,
        identity: identity(template, &blanks)?,
        captured: template.captured.clone(),
        headers: template.headers.clone(),
    })
}

fn id_tokens(
    template: &Template,
    blanks: &Blanks<'_>,
) -> Result<Option<IdTokenProfile>, ConfigError> {
    let Some(id_token) = &template.id_token else {
        return Ok(None);
    };
    let issuer = blanks.text(&id_token.issuer);
    blanks.check(&issuer.replace(TENANT, "x"))?;
    Ok(Some(IdTokenProfile {
        issuer,
        jwks_url: blanks.url(&id_token.jwks_url)?,
    }))
}

fn authorize(template: &Template, blanks: &Blanks<'_>) -> Result<Authorize, ConfigError> {
    let authorize = &template.authorize;
    Ok(Authorize {
        url: blanks.url(&authorize.url)?,
        params: authorize.params.clone(),
        scope_separator: authorize.scope_separator.clone(),
        scope_param: authorize.scope_param.clone(),
        response_mode: authorize.response_mode,
        pkce: authorize.pkce,
    })
}

fn token(template: &Template, blanks: &Blanks<'_>) -> Result<TokenEndpointProfile, ConfigError> {
    let token = &template.token;
    Ok(TokenEndpointProfile {
        url: blanks.url(&token.url)?,
        auth: token.auth,
        body: token.body,
        params: token.params.clone(),
        token_path: token.token_path.clone(),
        bearer_types: token.bearer_types.clone(),
        success_flag: token.success_flag.clone(),
        error_path: token.error_path.clone(),
        errors: token.errors.clone(),
        scope_separator: token.scope_separator.clone(),
    })
}

fn revocation(template: &Template, blanks: &Blanks<'_>) -> Result<Option<Revocation>, ConfigError> {
    let Some(revoke) = &template.revoke else {
        return Ok(None);
    };
    let url = blanks.text(&revoke.url);
    // What stands in the remaining blanks when it is called is percent-encoded.
    blanks.check(&url.replace("{client_id}", "x").replace("{token}", "x"))?;
    Ok(Some(Revocation {
        url,
        shape: revoke.shape,
        token: revoke.token,
        reach: revoke.reach,
    }))
}

fn refresh(template: &Template, blanks: &Blanks<'_>) -> Result<RefreshProfile, ConfigError> {
    let refresh = &template.refresh;
    Ok(RefreshProfile {
        grant: match &refresh.exchange {
            None => RefreshGrant::RefreshToken,
            Some(exchange) => RefreshGrant::AccessToken(self::exchange(exchange, blanks)?),
        },
        rotation: match refresh.rotation {
            RotationTemplate::None => Rotation::None,
            RotationTemplate::Sliding => Rotation::Sliding,
            RotationTemplate::Strict => Rotation::Strict,
            RotationTemplate::Grace(seconds) => {
                Rotation::Grace(Duration::from_secs(seconds.into()))
            }
        },
        idle_limit: refresh.idle_days.map(|days| DAY * days),
        hard_limit: refresh.hard_limit_days.map(|days| DAY * days),
        refresh_expires_in: refresh.refresh_expires_in.clone(),
        assumed_lifetime: match refresh.assumed_lifetime {
            AssumedLifetime::Never => None,
            AssumedLifetime::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
        },
    })
}

fn exchange(
    exchange: &ExchangeTemplate,
    blanks: &Blanks<'_>,
) -> Result<AccessTokenExchange, ConfigError> {
    let url = exchange.url.as_deref();
    Ok(AccessTokenExchange {
        grant_type: exchange.grant_type.clone(),
        token_param: exchange.token_param.clone(),
        method: exchange.method,
        url: url.map(|url| blanks.url(url)).transpose()?,
        min_age: Duration::from_secs(exchange.min_age_seconds.into()),
    })
}

fn identity(template: &Template, blanks: &Blanks<'_>) -> Result<Option<Identity>, ConfigError> {
    let Some(identity) = &template.identity else {
        return Ok(None);
    };
    Ok(Some(Identity {
        id_token: identity.id_token,
        url: identity
            .url
            .as_deref()
            .map(|url| blanks.url(url))
            .transpose()?,
        id: identity.id.clone(),
        label: identity.label.clone(),
    }))
}

/// What the blanks of a template's URLs are filled with.
struct Blanks<'a> {
    values: BTreeMap<&'a str, &'a str>,
    rules: AddressRules,
}

impl Blanks<'_> {
    fn text(&self, template: &str) -> String {
        self.values
            .iter()
            .fold(template.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    }

    fn url(&self, template: &str) -> Result<Url, ConfigError> {
        self.check(&self.text(template))
    }

    /// Reads a filled URL. It must already be in its normal form: then no value has ended the
    /// host early, climbed out of the path or changed its meaning in another way, whatever the
    /// fields' patterns let through (H-35).
    fn check(&self, text: &str) -> Result<Url, ConfigError> {
        let invalid = |rule: &str| {
            let field = self.values.keys().next().copied().unwrap_or("provider");
            Err(ConfigError::invalid(field, rule))
        };
        let Ok(url) = Url::parse(text) else {
            return invalid("does not make a URL");
        };
        let same = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
        if !same || url.fragment().is_some() {
            return invalid("does not make a URL");
        }
        match self.rules.check(&url) {
            Ok(()) => Ok(url),
            Err(refused) => invalid(&refused.to_string()),
        }
    }
}

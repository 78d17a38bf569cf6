//! A template and the values of its fields make a provider.

use std::collections::BTreeMap;
use std::time::Duration;

use catalogue_format::{
    AfterCode, AssumedLifetime, Method, RefreshRequest, RequestAuth, Rotation as RotationWord,
    Template, blanks, fill as filled,
};
use url::Url;

use super::config::{ConfigError, Values};
use crate::domain::address::AddressRules;
use crate::domain::ids::ProviderId;
use crate::domain::provider::{
    Authorize, GrantRequest, IdTokenProfile, Identity, Provider, RefreshGrant, RefreshProfile,
    Revocation, RevokedToken, Rotation, TENANT, TokenEndpointProfile,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

type Params = BTreeMap<String, String>;

pub(super) fn fill(
    id: &ProviderId,
    template: &Template,
    values: Values<'_>,
    rules: AddressRules,
) -> Result<Provider, ConfigError> {
    let blanks = Blanks { values, rules };
    let issuer = template.issuer.as_deref();
    Ok(Provider {
        id: id.clone(),
        name: template.name.clone(),
        issuer: issuer
            .map(|issuer| blanks.url(issuer).map(|_| blanks.text(issuer)))
            .transpose()?,
        iss_promised: template.iss_promised,
        id_tokens: id_tokens(template, &blanks)?,
        authorize: authorize(template, &blanks)?,
        callback: template.callback.clone(),
        token: token(template, &blanks)?,
        after_code: template
            .after_code
            .as_ref()
            .map(|exchange| after_code(exchange, template, &blanks))
            .transpose()?,
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
    blanks.check(&issuer.replace(TENANT, "0"), &id_token.issuer)?;
    Ok(Some(IdTokenProfile {
        issuer,
        jwks_url: blanks.url(&id_token.jwks_url)?,
    }))
}

fn authorize(template: &Template, blanks: &Blanks<'_>) -> Result<Authorize, ConfigError> {
    let authorize = &template.authorize;
    Ok(Authorize {
        url: blanks.url(&authorize.url)?,
        params: blanks.params(&authorize.params),
        scope_separator: authorize.scope_separator.clone(),
        scope_param: authorize.scope_param.clone(),
        scope_encoding: authorize.scope_encoding,
        rename: authorize.rename.clone(),
        omit: authorize.omit.clone(),
        response_mode: authorize.response_mode,
        code_param: authorize.code_param.clone(),
        hmac_param: authorize.hmac_param.clone(),
        pkce: authorize.pkce.is_sent(),
    })
}

fn token(template: &Template, blanks: &Blanks<'_>) -> Result<TokenEndpointProfile, ConfigError> {
    let token = &template.token;
    Ok(TokenEndpointProfile {
        url: blanks.url(&token.url)?,
        auth: token.auth,
        body: token.body,
        params: blanks.params(&token.params),
        rename: token.rename.clone(),
        omit: token.omit.clone(),
        members: token.members.clone(),
        token_path: token.token_path.clone(),
        bearer_types: token.bearer_types.clone(),
        success_flag: token.success_flag.clone(),
        error_path: token.error_path.clone(),
        errors: token.errors.clone(),
        scope_separator: token.scope_separator.clone(),
        scope_path: token.scope_path.clone(),
    })
}

fn after_code(
    exchange: &AfterCode,
    template: &Template,
    blanks: &Blanks<'_>,
) -> Result<GrantRequest, ConfigError> {
    Ok(GrantRequest {
        url: blanks.url(&exchange.url)?,
        method: exchange.method,
        grant_type: exchange.grant_type.clone(),
        token_param: exchange.token_param.clone(),
        auth: exchange.auth,
        body: template.token.body,
        params: blanks.params(&exchange.params),
        token_path: String::new(),
    })
}

fn revocation(template: &Template, blanks: &Blanks<'_>) -> Result<Option<Revocation>, ConfigError> {
    let Some(revoke) = &template.revoke else {
        return Ok(None);
    };
    let url = blanks.text(&revoke.url);
    // What stands in the remaining blanks when it is called is percent-encoded.
    let example = url.replace("{client_id}", "0").replace("{token}", "0");
    blanks.check(&example, &revoke.url)?;
    Ok(Some(Revocation {
        url,
        method: revoke.method,
        token: revoke.token,
        either: revoke.takes_either(),
        send: revoke.send,
        param: revoke.param.clone(),
        hint: revoke.hint,
        auth: revoke.auth,
        params: blanks.params(&revoke.params),
        reach: revoke.reach,
    }))
}

fn refresh(template: &Template, blanks: &Blanks<'_>) -> Result<RefreshProfile, ConfigError> {
    let refresh = &template.refresh;
    let request = refresh.request.as_ref();
    Ok(RefreshProfile {
        grant: match request {
            _ if !refresh.tokens => RefreshGrant::Nothing,
            Some(request) if request.token == RevokedToken::Access => RefreshGrant::AccessToken {
                min_age: Duration::from_secs(request.min_age_seconds.into()),
            },
            _ => RefreshGrant::RefreshToken,
        },
        request: request
            .map(|request| refresh_request(request, template, blanks))
            .transpose()?,
        rotation: match refresh.rotation {
            RotationWord::None => Rotation::None,
            RotationWord::Sliding => Rotation::Sliding,
            RotationWord::Strict => Rotation::Strict,
            RotationWord::Grace(seconds) => Rotation::Grace(Duration::from_secs(seconds.into())),
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

/// What the description leaves out is as in the token request.
fn refresh_request(
    request: &RefreshRequest,
    template: &Template,
    blanks: &Blanks<'_>,
) -> Result<GrantRequest, ConfigError> {
    let token = &template.token;
    let standard = match request.token {
        RevokedToken::Access => "access_token",
        RevokedToken::Refresh => "refresh_token",
    };
    let mut params = blanks.params(&token.params);
    params.extend(blanks.params(&request.params));
    Ok(GrantRequest {
        url: blanks.url(request.url.as_ref().unwrap_or(&token.url))?,
        method: request.method,
        grant_type: request.grant_type.clone(),
        token_param: request
            .token_param
            .as_deref()
            .unwrap_or(standard)
            .to_owned(),
        auth: request.auth.unwrap_or(match request.method {
            Method::Get => RequestAuth::None,
            Method::Post | Method::Delete => token.auth.into(),
        }),
        body: request.body.unwrap_or(token.body),
        params,
        token_path: request
            .token_path
            .as_ref()
            .unwrap_or(&token.token_path)
            .clone(),
    })
}

fn identity(template: &Template, blanks: &Blanks<'_>) -> Result<Option<Identity>, ConfigError> {
    let Some(identity) = &template.identity else {
        return Ok(None);
    };
    let url = identity.url.as_deref();
    Ok(Some(Identity {
        id_token: identity.id_token,
        url: url.map(|url| blanks.url(url)).transpose()?,
        json: identity.json.as_ref().map(|body| body.to_string()),
        id: identity.id.clone(),
        label: identity.label.clone(),
    }))
}

/// What the blanks of a template are filled with.
struct Blanks<'a> {
    values: Values<'a>,
    rules: AddressRules,
}

impl Blanks<'_> {
    fn text(&self, template: &str) -> String {
        filled(template, |name| self.values.get(name).copied())
    }

    /// Parameters; one whose field was left empty is not sent.
    fn params(&self, template: &Params) -> Params {
        let later = |name: &str| name == "client_id" || name.starts_with("captured.");
        let known = |name: &str| later(name) || self.values.contains_key(name);
        template
            .iter()
            .filter(|(_, value)| blanks(value).all(known))
            .map(|(name, value)| (name.clone(), self.text(value)))
            .collect()
    }

    fn url(&self, template: &str) -> Result<Url, ConfigError> {
        self.check(&self.text(template), template)
    }

    /// Reads a filled URL. It must already be in its normal form: then no value has ended the
    /// host early, climbed out of the path or changed its meaning in another way, whatever the
    /// fields' patterns let through (H-35).
    fn check(&self, text: &str, template: &str) -> Result<Url, ConfigError> {
        let invalid = |rule: &str| {
            let mut names = blanks(template);
            let field = names.find(|name| self.values.contains_key(name));
            Err(ConfigError::invalid(field.unwrap_or("provider"), rule))
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

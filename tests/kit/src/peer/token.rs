//! Codes and tokens for the next tokens, as the template has the requests and the answers.

use std::collections::BTreeMap;

use catalogue_format::{BodyEncoding, ErrorClass, Method, RequestAuth, RevokedToken, Rotation};
use serde_json::{Value, json};

use super::authorize::own_query;
use super::call::{Call, Params};
use super::client;
use super::grants::{Kind, Limits};
use super::id_token::Keys;
use super::pointer::put;
use super::role::{Role, is_method};
use crate::fake_as::s256;

/// For how many seconds a refresh token is said to live, where that is said.
const REFRESH_TOKEN_S: i64 = 60 * 24 * 3600;

/// Why a request is refused.
pub(super) enum Refusal {
    /// It is not as the template has it.
    Wrong(Vec<String>),
    /// What it spends is not accepted.
    Grant(&'static str),
}

impl From<&'static str> for Refusal {
    fn from(what: &'static str) -> Self {
        Self::Grant(what)
    }
}

impl Refusal {
    /// The error code and what is to be noted.
    pub(super) fn told(self, role: &Role) -> (String, Vec<String>) {
        match self {
            Self::Wrong(faults) => {
                let word = role.word_for(ErrorClass::RequestRefused, "invalid_request");
                (word, faults)
            }
            Self::Grant(what) => {
                let word = role.word_for(ErrorClass::GrantRefused, "invalid_grant");
                (word, vec![what.to_owned()])
            }
        }
    }
}

/// How a request has to come.
pub(super) struct Way<'a> {
    pub(super) url: &'a str,
    pub(super) method: Method,
    pub(super) body: BodyEncoding,
}

/// The parameters of a request that comes in this way: a GET's from its query, and otherwise
/// from the body.
pub(super) fn params(role: &Role, call: &Call, way: &Way<'_>) -> Params {
    let mut query = call.query();
    for pair in own_query(&role.text(way.url)) {
        query.retain(|given| *given != pair);
    }
    let mut params = match way.method {
        Method::Get => Params::of(query),
        Method::Post | Method::Delete => {
            let members = call.members(way.body);
            let mut params = Params::of(members.clone().unwrap_or_default());
            members
                .err()
                .into_iter()
                .for_each(|fault| params.fault(fault));
            for (name, _) in query {
                params.fault(format!("{name} is in the query"));
            }
            params
        }
    };
    params.require(is_method(call, way.method), "the method is another");
    let bare = way.method != Method::Get || call.body.is_empty();
    params.require(bare, "a GET has a body");
    headers(role, call, &mut params);
    params
}

/// The headers that the provider wants on every request.
pub(super) fn headers(role: &Role, call: &Call, params: &mut Params) {
    for (name, value) in &role.template.headers {
        params.require(
            call.header(name) == Some(value),
            &format!("the header {name} is not {value:?}"),
        );
    }
}

pub(super) fn redeem(
    role: &mut Role,
    call: &Call,
    keys: &Keys,
    now: i64,
) -> Result<Value, Refusal> {
    let token = role.template.token.clone();
    let way = Way {
        url: &token.url,
        method: Method::Post,
        body: token.body,
    };
    let own = |name: &str| {
        token
            .rename
            .get(name)
            .map_or(name, String::as_str)
            .to_owned()
    };
    let omits = |name: &str| token.omit.iter().any(|omitted| omitted == name);
    let mut params = params(role, call, &way);
    if !omits("grant_type") {
        params.must_be(&own("grant_type"), "authorization_code");
    }
    let text = params.take(&own("code"));
    let code = role.grants.code(&text).ok_or("an unknown code")?;
    if !omits("redirect_uri") {
        params.must_be(&own("redirect_uri"), &code.redirect_uri);
    }
    if let Some(challenge) = &code.challenge {
        let verifier = params.take(&own("code_verifier"));
        params.require(s256(&verifier) == *challenge, "the verifier is another");
    }
    for (name, value) in role.params(&token.params) {
        params.must_be(&name, &value);
    }
    let auth = token.auth.into();
    client::check(
        role,
        call,
        &mut params,
        auth,
        &token.rename,
        &token.omit,
        now,
    );
    over(params)?;
    let grant = role.grants.redeem(&text, now)?;
    let is_short = role.template.after_code.is_some();
    let kind = if is_short { Kind::Short } else { Kind::Access };
    let spends_access = spends_access(role);
    let with_refresh_token = role.template.refresh.tokens && !spends_access && !is_short;
    let tokens = Tokens {
        path: token.token_path.clone(),
        access: role.grants.issue(kind, grant, now, role.lifetime_s()),
        refresh: with_refresh_token.then(|| role.grants.issue(Kind::Refresh, grant, now, None)),
        // What the answer does not tell is assumed.
        lifetime: match role.template.refresh.assumed_lifetime {
            catalogue_format::AssumedLifetime::Never => role.lifetime_s(),
            catalogue_format::AssumedLifetime::Seconds(_) => None,
        },
    };
    let mut answer = tokens.answer(role, grant);
    let id_token = id_token(role, grant, keys, now);
    if let Some(id_token) = id_token {
        put(
            &mut answer,
            &format!("{}/id_token", tokens.path),
            json!(id_token),
        );
    }
    Ok(answer)
}

/// The exchange that follows a code's.
pub(super) fn exchange(role: &mut Role, call: &Call, now: i64) -> Result<Value, Refusal> {
    let exchange = role.template.after_code.clone();
    let exchange = exchange.ok_or("there is nothing to exchange")?;
    let token = role.template.token.clone();
    let way = Way {
        url: &exchange.url,
        method: exchange.method,
        body: token.body,
    };
    let mut params = params(role, call, &way);
    let own = |name: &str| {
        let own = token.rename.get(name);
        own.map_or(name, String::as_str).to_owned()
    };
    if !token.omit.iter().any(|name| name == "grant_type") {
        params.must_be(&own("grant_type"), &exchange.grant_type);
    }
    let text = params.take(&exchange.token_param);
    for (name, value) in role.params(&exchange.params) {
        params.must_be(&name, &value);
    }
    client::check(
        role,
        call,
        &mut params,
        exchange.auth,
        &token.rename,
        &token.omit,
        now,
    );
    over(params)?;
    let live = role.grants.live(&text, now);
    let (_, grant) = live
        .filter(|(kind, _)| *kind == Kind::Short)
        .ok_or("what is exchanged is no token that a code brought")?;
    let with_refresh_token = role.template.refresh.tokens && !spends_access(role);
    let tokens = Tokens {
        path: String::new(),
        access: role
            .grants
            .issue(Kind::Access, grant, now, role.lifetime_s()),
        refresh: with_refresh_token.then(|| role.grants.issue(Kind::Refresh, grant, now, None)),
        lifetime: role.lifetime_s(),
    };
    Ok(tokens.answer(role, grant))
}

pub(super) fn refresh(role: &mut Role, call: &Call, now: i64) -> Result<Value, Refusal> {
    let token = role.template.token.clone();
    let asked = role.template.refresh.request.clone();
    let asked = asked.as_ref();
    let spends_access = spends_access(role);
    let method = asked.map_or(Method::Post, |asked| asked.method);
    let way = Way {
        url: asked
            .and_then(|asked| asked.url.as_ref())
            .unwrap_or(&token.url),
        method,
        body: asked.and_then(|asked| asked.body).unwrap_or(token.body),
    };
    let own = |name: &str| {
        token
            .rename
            .get(name)
            .map_or(name, String::as_str)
            .to_owned()
    };
    let mut params = params(role, call, &way);
    if !token.omit.iter().any(|name| name == "grant_type") {
        let grant_type = asked.map_or("refresh_token", |asked| &asked.grant_type);
        params.must_be(&own("grant_type"), grant_type);
    }
    let standard = if spends_access {
        "access_token"
    } else {
        "refresh_token"
    };
    let param = asked.and_then(|asked| asked.token_param.clone());
    let text = params.take(&param.unwrap_or_else(|| own(standard)));
    let mut extra: BTreeMap<_, _> = role.params(&token.params).into_iter().collect();
    extra.extend(asked.map_or_else(Vec::new, |asked| role.params(&asked.params)));
    for (name, value) in extra {
        params.must_be(&name, &value);
    }
    let auth = asked.and_then(|asked| asked.auth).unwrap_or(match method {
        Method::Get => RequestAuth::None,
        Method::Post | Method::Delete => token.auth.into(),
    });
    client::check(
        role,
        call,
        &mut params,
        auth,
        &token.rename,
        &token.omit,
        now,
    );
    over(params)?;

    let rotation = role.template.refresh.rotation;
    let limits = Limits {
        idle: role.template.refresh.idle_days,
        hard: role.template.refresh.hard_limit_days,
    };
    let grant = match spends_access {
        true => {
            let live = role.grants.live(&text, now);
            let (_, grant) = live.ok_or("an access token that is over is refreshed")?;
            let least = asked.map_or(0, |asked| i64::from(asked.min_age_seconds) * 1000);
            if role.grants.age(&text, now) < least {
                return Err("an access token is refreshed too early".into());
            }
            role.grants.grants[grant].refreshes += 1;
            grant
        }
        false => role.grants.spend(&text, rotation, &limits, now)?,
    };
    let rotates = !spends_access && rotation != Rotation::None;
    let path = asked.and_then(|asked| asked.token_path.clone());
    let tokens = Tokens {
        path: path.unwrap_or(token.token_path),
        access: role
            .grants
            .issue(Kind::Access, grant, now, role.lifetime_s()),
        refresh: rotates.then(|| role.grants.issue(Kind::Refresh, grant, now, None)),
        lifetime: role.lifetime_s(),
    };
    Ok(tokens.answer(role, grant))
}

/// Whether what is spent for the next access token is the one before.
fn spends_access(role: &Role) -> bool {
    let asked = role.template.refresh.request.as_ref();
    asked.is_some_and(|asked| asked.token == RevokedToken::Access)
}

fn over(params: Params) -> Result<(), Refusal> {
    let faults = params.end();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Wrong(faults))
    }
}

fn id_token(role: &Role, grant: usize, keys: &Keys, now: i64) -> Option<String> {
    let profile = role.template.id_token.as_ref()?;
    let granted = &role.grants.grants[grant];
    let asked = granted.scopes.iter().any(|scope| scope == "openid");
    asked.then(|| {
        keys.sign(
            role,
            &role.text(&profile.issuer),
            granted.nonce.as_deref(),
            now,
        )
    })
}

/// What an answer brings.
struct Tokens {
    path: String,
    access: String,
    refresh: Option<String>,
    lifetime: Option<i64>,
}

impl Tokens {
    fn answer(&self, role: &Role, grant: usize) -> Value {
        let token = &role.template.token;
        let member = |name: &str| {
            let name = token.members.get(name).map_or(name, String::as_str);
            format!("{}/{name}", self.path)
        };
        let mut answer = Value::Null;
        put(&mut answer, &member("access_token"), json!(self.access));
        let kind = token.bearer_types.first().map_or("Bearer", String::as_str);
        put(&mut answer, &member("token_type"), json!(kind));
        if let Some(seconds) = self.lifetime {
            put(&mut answer, &member("expires_in"), json!(seconds));
        }
        if let Some(refresh) = &self.refresh {
            put(&mut answer, &member("refresh_token"), json!(refresh));
            if let Some(name) = &role.template.refresh.refresh_expires_in {
                let place = format!("{}/{name}", self.path);
                put(&mut answer, &place, json!(REFRESH_TOKEN_S));
            }
        }
        let scopes = &role.grants.grants[grant].scopes;
        if !scopes.is_empty() {
            let place = token.scope_path.clone().unwrap_or_else(|| member("scope"));
            put(
                &mut answer,
                &place,
                json!(scopes.join(&token.scope_separator)),
            );
        }
        if let Some(flag) = &token.success_flag {
            put(&mut answer, &format!("/{flag}"), json!(true));
        }
        role.put_beside(&mut answer);
        answer
    }
}

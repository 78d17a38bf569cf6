//! What requests say, and what cannot be said together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, pointer};
use crate::template::{AssumedLifetime, RefreshRequest, Revoke, Rotation, Template};
use crate::words::{
    ClientAuth, Method, RequestAuth, ResponseMode, RevocationAuth, RevokedToken, ScopeEncoding,
    TokenCarrier, is_protocol_param,
};

type Params = BTreeMap<String, String>;

/// Every map of extra parameters, and the member that it is.
pub(super) fn params(template: &Template) -> Vec<(&'static str, &Params)> {
    let request = template.refresh.request.as_ref();
    let mut all = vec![
        ("authorize.params", &template.authorize.params),
        ("token.params", &template.token.params),
    ];
    all.extend(
        template
            .after_code
            .iter()
            .map(|at| ("after_code.params", &at.params)),
    );
    all.extend(request.map(|request| ("refresh.request.params", &request.params)));
    all.extend(
        template
            .revoke
            .iter()
            .map(|at| ("revoke.params", &at.params)),
    );
    all
}

pub(super) fn check(template: &Template, faults: &mut Faults) {
    authorize(template, faults);
    token(template, faults);
    after_code(template, faults);
    refresh(template, faults);
    if let Some(request) = &template.refresh.request {
        refresh_request(template, request, faults);
    }
    if let Some(revoke) = &template.revoke {
        revocation(template, revoke, faults);
    }
    for (place, params) in params(template) {
        for (name, value) in params {
            let member = format!("{place}.{name}");
            faults.require(!name.is_empty(), &member, "has no name");
            faults.require(
                place == "revoke.params"
                    || !value.contains("{captured.") && !value.contains("{client_id}"),
                &member,
                "holds what only a revocation knows",
            );
            faults.require(
                !value.contains("{token}") && !value.contains("{tenantid}"),
                &member,
                "holds a blank that stands in URLs only",
            );
        }
    }
}

fn authorize(template: &Template, faults: &mut Faults) {
    let authorize = &template.authorize;
    let renamed: BTreeSet<&String> = authorize.rename.values().collect();
    for name in authorize.params.keys() {
        let taken =
            is_protocol_param(name) || *name == authorize.scope_param || renamed.contains(name);
        faults.require(!taken, &format!("authorize.params.{name}"), PROTOCOL);
    }
    let known = [
        "client_id",
        "redirect_uri",
        "response_type",
        "code_challenge",
        "code_challenge_method",
    ];
    rename("authorize.rename", &authorize.rename, &known, faults);
    let scope = &authorize.scope_param;
    faults.require(
        scope == "scope" || !scope.is_empty() && !is_protocol_param(scope),
        "authorize.scope_param",
        PROTOCOL,
    );
    for name in &authorize.omit {
        let may = ["response_type", "scope"].contains(&name.as_str());
        faults.require(
            may,
            "authorize.omit",
            format!("{name} must not be left out"),
        );
    }
    let separator = &authorize.scope_separator;
    let breaks = |c: char| "&=#% ".contains(c) || !c.is_ascii_graphic();
    faults.require(
        !separator.is_empty() && separator.len() <= 8,
        "authorize.scope_separator",
        "must be 1 to 8 characters",
    );
    faults.require(
        authorize.scope_encoding != ScopeEncoding::Raw || !separator.contains(breaks),
        "authorize.scope_separator",
        "cannot stand in a URL as it is",
    );
    let code = &authorize.code_param;
    faults.require(
        code == "code" || !super::is_answer_param(code),
        "authorize.code_param",
        PROTOCOL,
    );
    if let Some(hmac) = &authorize.hmac_param {
        let member = "authorize.hmac_param";
        let taken = super::is_answer_param(hmac) || hmac == code;
        faults.require(!taken, member, PROTOCOL);
        let posted = authorize.response_mode == Some(ResponseMode::FormPost);
        // Of a posted answer some parameters are passed on, and all of them are signed.
        faults.require(!posted, member, "does not go with response_mode form_post");
        let key = template.token.auth == ClientAuth::PrivateKeyJwt;
        faults.require(!key, member, "needs a client secret, not a key");
    }
}

fn token(template: &Template, faults: &mut Faults) {
    let token = &template.token;
    let renamed: BTreeSet<&String> = token.rename.values().collect();
    for name in token.params.keys() {
        let taken = is_protocol_param(name) || renamed.contains(name);
        faults.require(!taken, &format!("token.params.{name}"), PROTOCOL);
    }
    let known = [
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "grant_type",
        "redirect_uri",
        "refresh_token",
    ];
    rename("token.rename", &token.rename, &known, faults);
    for name in &token.omit {
        let may = ["client_id", "grant_type", "redirect_uri"].contains(&name.as_str());
        faults.require(may, "token.omit", format!("{name} must not be left out"));
    }
    let mut members = BTreeSet::new();
    for (name, own) in &token.members {
        let member = format!("token.members.{name}");
        let standard = [
            "access_token",
            "refresh_token",
            "expires_in",
            "token_type",
            "scope",
        ];
        faults.require(
            standard.contains(&name.as_str()),
            &member,
            "is no member of an answer",
        );
        faults.require(
            !own.is_empty() && members.insert(own),
            &member,
            "must be a name of its own",
        );
    }
    if !token.token_path.is_empty() {
        pointer(&token.token_path, "token.token_path", faults);
    }
    for (path, member) in [
        (&token.error_path, "token.error_path"),
        (&token.scope_path, "token.scope_path"),
    ] {
        if let Some(path) = path {
            pointer(path, member, faults);
        }
    }
    faults.require(
        !token.scope_separator.is_empty(),
        "token.scope_separator",
        "must not be empty",
    );
    faults.require(
        token.auth != ClientAuth::PrivateKeyJwt || template.issuer.is_some(),
        "token.auth",
        "private_key_jwt goes with an issuer only: it is whom the key's signature is for",
    );
}

fn after_code(template: &Template, faults: &mut Faults) {
    let Some(exchange) = &template.after_code else {
        return;
    };
    extra_params(
        "after_code",
        &exchange.params,
        &exchange.token_param,
        faults,
    );
    request(
        "after_code",
        exchange.method,
        exchange.auth,
        template,
        faults,
    );
}

fn refresh(template: &Template, faults: &mut Faults) {
    let refresh = &template.refresh;
    faults.require(
        refresh.rotation != Rotation::Grace(0),
        "refresh.rotation",
        "has a grace of 0",
    );
    if !refresh.tokens {
        let is_none = refresh.rotation == Rotation::None;
        faults.require(
            is_none,
            "refresh.rotation",
            "must be none without refresh tokens",
        );
        let without = "goes with refresh tokens only";
        faults.require(refresh.idle_days.is_none(), "refresh.idle_days", without);
        faults.require(refresh.request.is_none(), "refresh.request", without);
        faults.require(
            refresh.refresh_expires_in.is_none(),
            "refresh.refresh_expires_in",
            without,
        );
    }
    for (days, member) in [
        (refresh.idle_days, "refresh.idle_days"),
        (refresh.hard_limit_days, "refresh.hard_limit_days"),
    ] {
        let fits = days.is_none_or(|days| (1..=3650).contains(&days));
        faults.require(fits, member, "must be 1 to 3650");
    }
    if let AssumedLifetime::Seconds(seconds) = refresh.assumed_lifetime {
        let fits = (1..=365 * 24 * 3600).contains(&seconds);
        faults.require(
            fits,
            "refresh.assumed_lifetime",
            "must be 1 second to 365 days",
        );
    }
    if let Rotation::Grace(seconds) = refresh.rotation {
        faults.require(
            seconds <= 86_400,
            "refresh.rotation",
            "has a grace of more than 86400",
        );
    }
}

fn refresh_request(template: &Template, asked: &RefreshRequest, faults: &mut Faults) {
    let place = "refresh.request";
    let token_param = asked.token_param.as_deref().unwrap_or_default();
    extra_params(place, &asked.params, token_param, faults);
    let spends_access = asked.token == RevokedToken::Access;
    faults.require(
        !spends_access || template.refresh.rotation == Rotation::None,
        "refresh.request.token",
        "is access, so that rotation must be none",
    );
    faults.require(
        spends_access || asked.min_age_seconds == 0,
        "refresh.request.min_age_seconds",
        "goes with token access only",
    );
    faults.require(
        asked.min_age_seconds <= 30 * 24 * 3600,
        "refresh.request.min_age_seconds",
        "must be at most 30 days",
    );
    faults.require(
        asked.method != Method::Get || asked.body.is_none(),
        "refresh.request.body",
        "goes with method post only",
    );
    if let Some(path) = &asked.token_path {
        pointer(path, "refresh.request.token_path", faults);
    }
    let auth = asked.auth.unwrap_or(match asked.method {
        Method::Get => RequestAuth::None,
        Method::Post | Method::Delete => template.token.auth.into(),
    });
    request(place, asked.method, auth, template, faults);
}

/// What neither extra parameters nor the one that carries the token may be called.
fn extra_params(place: &str, params: &Params, token_param: &str, faults: &mut Faults) {
    for name in params.keys() {
        let taken = is_protocol_param(name) || name == token_param;
        faults.require(!taken, &format!("{place}.params.{name}"), PROTOCOL);
    }
    faults.require(
        token_param == "refresh_token" || !is_protocol_param(token_param),
        &format!("{place}.token_param"),
        PROTOCOL,
    );
}

/// How a request beside the token request goes out.
fn request(
    place: &str,
    method: Method,
    auth: RequestAuth,
    template: &Template,
    faults: &mut Faults,
) {
    let member = format!("{place}.auth");
    let reason = match (method, auth) {
        (Method::Delete, _) => {
            faults.require(false, &format!("{place}.method"), "must be get or post");
            return;
        }
        (Method::Get, RequestAuth::Post | RequestAuth::PrivateKeyJwt) => {
            Some("has no place in a GET")
        }
        (Method::Post, RequestAuth::Query) => Some("query goes with method get only"),
        _ => None,
    };
    if let Some(reason) = reason {
        faults.require(false, &member, reason);
    }
    let signs = auth == RequestAuth::PrivateKeyJwt;
    let shows = auth != RequestAuth::None && !signs;
    key(template, signs, shows, &member, faults);
}

/// A connector's secret is a private key, or it is a text that is sent: never both.
fn key(template: &Template, signs: bool, shows: bool, member: &str, faults: &mut Faults) {
    let is_key = template.token.auth == ClientAuth::PrivateKeyJwt;
    faults.require(
        !(is_key && shows),
        member,
        "would send the private key of token.auth",
    );
    faults.require(
        is_key || !signs,
        member,
        "private_key_jwt goes with the same token.auth only",
    );
}

fn revocation(template: &Template, revoke: &Revoke, faults: &mut Faults) {
    let in_body = matches!(revoke.send, TokenCarrier::Form | TokenCarrier::Json);
    let named = in_body || revoke.send == TokenCarrier::Query;
    faults.require(
        named || revoke.either != Some(true),
        "revoke.either",
        "goes with a token that is named only",
    );
    faults.require(
        named || !revoke.hint,
        "revoke.hint",
        "goes with a token that is named only",
    );
    faults.require(
        (revoke.send == TokenCarrier::Path) == revoke.url.contains("{token}"),
        "revoke.url",
        "holds {token} where send is path, and only there",
    );
    faults.require(
        !in_body || revoke.method != Method::Get,
        "revoke.method",
        "get has no body for the token",
    );
    let in_header = matches!(
        revoke.auth,
        RevocationAuth::Basic | RevocationAuth::ClientHeader
    );
    faults.require(
        revoke.send != TokenCarrier::Bearer || !in_header,
        "revoke.auth",
        "takes the header that send bearer needs",
    );
    let in_params = matches!(
        revoke.auth,
        RevocationAuth::Post | RevocationAuth::PrivateKeyJwt
    );
    faults.require(
        !in_params || revoke.method != Method::Get,
        "revoke.auth",
        "has no place in a GET",
    );
    let shows = matches!(
        revoke.auth,
        RevocationAuth::Post | RevocationAuth::Basic | RevocationAuth::ClientHeader
    );
    let signs = revoke.auth == RevocationAuth::PrivateKeyJwt;
    key(template, signs, shows, "revoke.auth", faults);
    let has_refresh_tokens = template.refresh.tokens
        && template
            .refresh
            .request
            .as_ref()
            .is_none_or(|asked| asked.token == RevokedToken::Refresh);
    faults.require(
        has_refresh_tokens || revoke.token == RevokedToken::Access,
        "revoke.token",
        "must be access without refresh tokens",
    );
    for name in revoke.params.keys() {
        let secret = name.to_ascii_lowercase().starts_with("client_secret")
            || name.to_ascii_lowercase().starts_with("client_assertion");
        let taken = secret || named && *name == revoke.param || in_params && name == "client_id";
        faults.require(!taken, &format!("revoke.params.{name}"), PROTOCOL);
    }
    faults.require(
        !revoke.param.is_empty() && !revoke.param.starts_with("client_"),
        "revoke.param",
        PROTOCOL,
    );
}

fn rename(place: &str, renamed: &Params, known: &[&str], faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for (name, own) in renamed {
        let member = format!("{place}.{name}");
        faults.require(
            known.contains(&name.as_str()),
            &member,
            "must keep its name",
        );
        let fits = !own.is_empty() && !is_protocol_param(own) && names.insert(own);
        faults.require(fits, &member, "must be a name of its own");
    }
}

const PROTOCOL: &str = "is a parameter of the protocol";

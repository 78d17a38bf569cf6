//! The authorization request, read from the very text of its query, and what the browser brings
//! back.

use aws_lc_rs::hmac;
use catalogue_format::{ResponseMode, ScopeEncoding};

use super::call::{Call, Params};
use super::grants::Code;
use super::role::Role;

/// How the browser is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// To this URL.
    To(String),
    /// With these fields, posted to this URL.
    Posted(String, Vec<(String, String)>),
}

/// Answers an authorization request of somebody who consents to all of it.
pub(super) fn authorize(role: &mut Role, call: &Call) -> Result<Returned, Vec<String>> {
    let template = role.template.clone();
    let profile = &template.authorize;
    let own = |name: &str| {
        profile
            .rename
            .get(name)
            .map_or(name, String::as_str)
            .to_owned()
    };
    let omits = |name: &str| profile.omit.iter().any(|omitted| omitted == name);
    let mut params = Params::of(call.query());
    for (name, value) in own_query(&role.text(&profile.url)) {
        params.must_be(&name, &value);
    }
    for (name, value) in role.params(&profile.params) {
        params.must_be(&name, &value);
    }
    if !omits("response_type") {
        params.must_be("response_type", "code");
    }
    params.must_be(&own("client_id"), &role.client_id);
    let redirect_uri = params.take(&own("redirect_uri"));
    params.require(
        redirect_uri.contains("/oauth/callback/"),
        "the redirect URI is not a connector's",
    );
    let state = params.take("state");
    let scopes = scopes(role, call, &mut params);
    let challenge = profile.pkce.is_sent().then(|| {
        params.must_be(&own("code_challenge_method"), "S256");
        params.take(&own("code_challenge"))
    });
    if let Some(mode) = profile.response_mode {
        params.must_be("response_mode", mode.as_str());
    }
    let nonce = params.optional("nonce");
    let wants_id_token = template.id_token.is_some() && scopes.iter().any(|it| it == "openid");
    params.require(
        nonce.is_some() == wants_id_token,
        "there is a nonce without an ID token, or an ID token without a nonce",
    );
    let faults = params.end();
    if !faults.is_empty() {
        return Err(faults);
    }

    let code = Code::new(redirect_uri.clone(), challenge, nonce, scopes);
    let code = role.grants.add_code(code);
    let mut fields = vec![(profile.code_param.clone(), code), ("state".into(), state)];
    let beside = role.callback_values().into_iter();
    fields.extend(beside.map(|(name, value)| (name.to_owned(), value)));
    if let Some(issuer) = template.issuer.as_ref().filter(|_| template.iss_promised) {
        fields.push(("iss".into(), role.text(issuer)));
    }
    if let Some(name) = &profile.hmac_param {
        let hmac = hmac_of(&role.client_secret, &mut fields);
        fields.push((name.clone(), hmac));
    }
    if profile.response_mode == Some(ResponseMode::FormPost) {
        return Ok(Returned::Posted(redirect_uri, fields));
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    Ok(Returned::To(format!("{redirect_uri}?{query}")))
}

/// What signs a callback, as Shopify's own libraries make it: no value reads like two parameters.
fn hmac_of(secret: &str, fields: &mut [(String, String)]) -> String {
    fields.sort();
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            let value = value.replace('%', "%25").replace('&', "%26");
            format!("{name}={value}")
        })
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, pairs.join("&").as_bytes());
    let bytes = tag.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The scopes that are asked for. They have to be written as the provider reads them, which
/// parameters that were decoded do not show.
fn scopes(role: &Role, call: &Call, params: &mut Params) -> Vec<String> {
    let profile = &role.template.authorize;
    let given = params.optional(&profile.scope_param).unwrap_or_default();
    if profile.omit.iter().any(|name| name == "scope") {
        params.require(given.is_empty(), "there are scopes and should be none");
        return Vec::new();
    }
    let separator = &profile.scope_separator;
    let scopes = given.split(separator.as_str()).map(str::to_owned);
    let scopes: Vec<String> = scopes.filter(|scope| !scope.is_empty()).collect();
    params.require(!scopes.is_empty(), "there are no scopes");
    let form =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let written = match profile.scope_encoding {
        ScopeEncoding::Form => form(&scopes.join(separator)),
        ScopeEncoding::Percent => form(&scopes.join(separator)).replace('+', "%20"),
        ScopeEncoding::Raw => {
            let each: Vec<String> = scopes.iter().map(|scope| form(scope)).collect();
            each.join(separator)
        }
    };
    let wanted = format!("{}={written}", profile.scope_param);
    params.require(
        call.raw_query.split('&').any(|pair| pair == wanted),
        &format!("the scopes are not written as {wanted}"),
    );
    scopes
}

/// The parameters of a URL's own query.
pub(super) fn own_query(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

//! Revocation, in every way that a description can have it.

use catalogue_format::{
    BodyEncoding, RequestAuth, RevocationAuth, RevocationReach, RevokedToken, TokenCarrier,
};

use super::call::{Call, Params};
use super::client;
use super::grants::Kind;
use super::role::{Role, is_method};
use super::token::{Refusal, headers};

/// Revokes the grant of the token that is named.
pub(super) fn revoke(role: &mut Role, call: &Call, now: i64) -> Result<(), Refusal> {
    let revoke = role.template.revoke.clone();
    let revoke = revoke.ok_or("there is no revocation")?;
    let mut params = revocation_params(call, revoke.send, revoke.auth, role, &revoke.url);
    params.require(is_method(call, revoke.method), "the method is another");
    headers(role, call, &mut params);
    let named = match revoke.send {
        TokenCarrier::Bearer => {
            let bearer = call.credentials("Bearer").unwrap_or_default();
            bearer.to_owned()
        }
        TokenCarrier::Path => role.token_in_path(call).flatten().unwrap_or_default(),
        TokenCarrier::Form | TokenCarrier::Json | TokenCarrier::Query => params.take(&revoke.param),
    };
    let known = role.grants.known(&named);
    let (kind, grant) = known.ok_or("an unknown token is revoked")?;
    let is_first = (revoke.token == RevokedToken::Refresh) == (kind == Kind::Refresh);
    params.require(
        is_first || revoke.takes_either(),
        "the token is of the kind that is not revoked here",
    );
    if revoke.hint {
        let hint = match kind {
            Kind::Refresh => "refresh_token",
            Kind::Access | Kind::Short => "access_token",
        };
        params.must_be("token_type_hint", hint);
    }
    let captured = role.connection_config();
    let mut extra = Vec::new();
    for (name, value) in role.params(&revoke.params) {
        let value = catalogue_format::fill(&value, |blank| match blank {
            "client_id" => Some(role.client_id.as_str()),
            other => captured
                .get(other.strip_prefix("captured.")?)
                .map(String::as_str),
        });
        extra.push((name, value));
    }
    for (name, value) in extra {
        params.must_be(&name, &value);
    }
    authenticate(role, call, &mut params, revoke.send, revoke.auth, now);
    let faults = params.end();
    if !faults.is_empty() {
        return Err(Refusal::Wrong(faults));
    }
    match revoke.reach {
        RevocationReach::Grant => role.grants.grants[grant].is_over = true,
        RevocationReach::Account => {
            let all = role.grants.grants.iter_mut();
            all.for_each(|grant| grant.is_over = true);
        }
    }
    Ok(())
}

/// What a revocation says beside the token it carries elsewhere.
fn revocation_params(
    call: &Call,
    send: TokenCarrier,
    auth: RevocationAuth,
    role: &Role,
    url: &str,
) -> Params {
    let mut query = call.query();
    for pair in super::authorize::own_query(&role.text(url)) {
        query.retain(|given| *given != pair);
    }
    let kind = match send {
        TokenCarrier::Json => BodyEncoding::Json,
        _ => BodyEncoding::Form,
    };
    let in_body = matches!(send, TokenCarrier::Form | TokenCarrier::Json)
        || matches!(auth, RevocationAuth::Post | RevocationAuth::PrivateKeyJwt);
    let members = match in_body || !call.body.is_empty() {
        true => call.members(kind),
        false => Ok(Vec::new()),
    };
    let fault = members.clone().err();
    let mut params = Params::of(
        members
            .unwrap_or_default()
            .into_iter()
            .chain(query)
            .collect(),
    );
    fault.into_iter().for_each(|fault| params.fault(fault));
    params
}

fn authenticate(
    role: &mut Role,
    call: &Call,
    params: &mut Params,
    send: TokenCarrier,
    auth: RevocationAuth,
    now: i64,
) {
    let auth = match auth {
        RevocationAuth::ClientHeader => {
            let told = call.credentials("Client") == Some(&role.client_secret);
            params.require(told, "Authorization does not carry the client's secret");
            return;
        }
        // The header is the token's.
        RevocationAuth::None if send == TokenCarrier::Bearer => return,
        RevocationAuth::Post if send == TokenCarrier::Bearer => {
            let rename = &role.template.token.rename;
            let own = |name: &str| rename.get(name).map_or(name, String::as_str).to_owned();
            params.must_be(&own("client_id"), &role.client_id);
            params.must_be(&own("client_secret"), &role.client_secret);
            return;
        }
        RevocationAuth::Post => RequestAuth::Post,
        RevocationAuth::Basic => RequestAuth::Basic,
        RevocationAuth::PrivateKeyJwt => RequestAuth::PrivateKeyJwt,
        RevocationAuth::None => RequestAuth::None,
    };
    let rename = role.template.token.rename.clone();
    client::check(role, call, params, auth, &rename, &[], now);
}

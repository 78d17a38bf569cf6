//! The token, exchange, revocation and userinfo endpoints as functions of state, call and time.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use serde_json::Value;

use super::call::{Answer, Call};
use super::script::{Caller, Endpoint};
use super::state::State;

/// What an endpoint does when nothing is scripted.
pub(crate) type Handle = fn(&mut State, &Call, i64) -> Answer;

/// `POST /token`.
pub(crate) fn token(state: &mut State, call: &Call, now: i64) -> Answer {
    let answer = call
        .authenticate(state)
        .and_then(|client_id| match call.field("grant_type") {
            Some("authorization_code") => redeem(state, call, &client_id, now),
            Some("refresh_token") => refresh(state, call, &client_id, now),
            Some(_) if state.settings.exchange.is_some() => {
                exchanged(state, call, Some(&client_id), now)
            }
            Some(_) => Err(Answer::refused(
                "unsupported_grant_type",
                "neither code nor refresh",
            )),
            None => Err(Answer::invalid_request("grant_type is missing")),
        });
    answer.unwrap_or_else(|refusal| refusal)
}

fn redeem(state: &mut State, call: &Call, client_id: &str, now: i64) -> Result<Answer, Answer> {
    let text = call
        .field("code")
        .ok_or(Answer::invalid_request("code is missing"))?;
    let code = state
        .code(text)
        .ok_or(Answer::invalid_grant("unknown code"))?;
    if code.request.client_id != client_id {
        return Err(Answer::invalid_grant(
            "the code was issued to another client",
        ));
    }
    if let Some(grant) = code.redeemed {
        state.end(grant, now, "its code was used twice");
        return Err(Answer::invalid_grant("the code was used before"));
    }
    if now >= code.expires_at {
        return Err(Answer::invalid_grant("the code has expired"));
    }
    if call.field("redirect_uri") != Some(code.request.redirect_uri.as_str()) {
        return Err(Answer::invalid_grant(
            "redirect_uri differs from the authorization request",
        ));
    }
    // Also refuses a verifier without a challenge: someone stripped it (RFC 9700 section 4.8.2).
    let hash = call.field("code_verifier").map(s256);
    if hash != code.request.challenge {
        return Err(Answer::invalid_grant("code_verifier does not match"));
    }
    let grant = state.redeem(text, now);
    let refresh_token =
        (!state.settings.omit_refresh_token).then(|| state.issue_refresh_token(grant));
    let scopes = state.scopes_of(grant).to_vec();
    let body = state.token_answer(grant, &scopes, refresh_token, now);
    Ok(Answer::json(StatusCode::OK, &body))
}

fn refresh(state: &mut State, call: &Call, client_id: &str, now: i64) -> Result<Answer, Answer> {
    let token = call.field("refresh_token");
    let token = token.ok_or(Answer::invalid_request("refresh_token is missing"))?;
    let dead = || Answer::invalid_grant("the refresh token is not valid");
    let grant = state.grant_of_refresh_token(token).ok_or_else(dead)?;
    // Before the rotation: a stranger must not be able to burn the family.
    if state.client_of(grant) != client_id {
        return Err(dead());
    }
    let granted = state.scopes_of(grant);
    let scopes = match call.field("scope") {
        None => granted.to_vec(),
        Some(wanted) => {
            let wanted: Vec<_> = wanted.split_whitespace().map(str::to_owned).collect();
            // RFC 6749 section 6: never more than was granted.
            if !wanted.iter().all(|scope| granted.contains(scope)) {
                return Err(Answer::refused("invalid_scope", "more than was granted"));
            }
            wanted
        }
    };
    let (grant, next) = state.rotate(token, now).ok_or_else(dead)?;
    let body = state.token_answer(grant, &scopes, next, now);
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `GET /exchange`: whoever has the token may exchange it.
pub(crate) fn exchange(state: &mut State, call: &Call, now: i64) -> Answer {
    exchanged(state, call, None, now).unwrap_or_else(|refusal| refusal)
}

fn exchanged(
    state: &mut State,
    call: &Call,
    client_id: Option<&str>,
    now: i64,
) -> Result<Answer, Answer> {
    let spelt = state.settings.exchange.clone();
    let spelt = spelt
        .filter(|spelt| call.field("grant_type") == Some(&spelt.grant_type))
        .ok_or(Answer::refused(
            "unsupported_grant_type",
            "no such exchange",
        ))?;
    let grant = call
        .field(&spelt.token_param)
        .and_then(|token| state.grant_of_access_token(token, now))
        .filter(|grant| client_id.is_none_or(|client| state.client_of(*grant) == client))
        .ok_or(Answer::invalid_grant("the access token is not valid"))?;
    let scopes = state.scopes_of(grant).to_vec();
    let body = state.token_answer(grant, &scopes, None, now);
    Ok(Answer::json(StatusCode::OK, &body))
}

/// `POST /revoke`: a refresh token takes its grant along, an access token only itself
/// (RFC 7009 section 2.1 leaves the latter to the server).
pub(crate) fn revoke(state: &mut State, call: &Call, now: i64) -> Answer {
    let client_id = match call.authenticate(state) {
        Ok(client_id) => client_id,
        Err(refusal) => return refusal,
    };
    let Some(token) = call.field("token") else {
        return Answer::invalid_request("token is missing");
    };
    let refresh = state.grant_of_refresh_token(token);
    let access = state.grant_of_access_token(token, now);
    // A token nobody knows is gone already, which is what the client wants (section 2.2).
    let Some(grant) = refresh.or(access) else {
        return Answer::empty(StatusCode::OK);
    };
    if state.client_of(grant) != client_id {
        return Answer::invalid_grant("the token was issued to another client");
    }
    match refresh {
        Some(grant) => state.end(grant, now, "revoked by the client"),
        None => state.end_access_token(token),
    }
    Answer::empty(StatusCode::OK)
}

/// `GET /userinfo`.
pub(crate) fn userinfo(state: &mut State, call: &Call, now: i64) -> Answer {
    match call
        .bearer()
        .and_then(|token| state.grant_of_access_token(token, now))
    {
        Some(grant) => Answer::json(StatusCode::OK, &Value::Object(state.claims(grant))),
        // RFC 6750 section 3.1.
        None => Answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_token")
            .with(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
    }
}

/// Whom a call is from, as far as it says: for the script and the counts, not for trust.
pub(crate) fn caller(state: &State, call: &Call, now: i64) -> Caller {
    let refresh = call
        .field("refresh_token")
        .and_then(|token| state.grant_of_refresh_token(token));
    let exchanged = || {
        let spelt = state.settings.exchange.as_ref()?;
        state.grant_of_access_token(call.field(&spelt.token_param)?, now)
    };
    let grant = match call.endpoint {
        Endpoint::Token => refresh.or_else(exchanged),
        Endpoint::Exchange => exchanged(),
        Endpoint::Revoke => call.field("token").and_then(|token| {
            state
                .grant_of_refresh_token(token)
                .or(state.grant_of_access_token(token, now))
        }),
        Endpoint::Userinfo => call
            .bearer()
            .and_then(|token| state.grant_of_access_token(token, now)),
    };
    let by_code = call.field("code").and_then(|code| state.code(code));
    let account = grant
        .map(|grant| state.account_of(grant).to_owned())
        .or_else(|| by_code.map(|code| code.account.clone()));
    let client_id = call
        .claimed_client()
        .or_else(|| grant.map(|grant| state.client_of(grant).to_owned()));
    Caller {
        grant_type: call.field("grant_type").map(str::to_owned),
        client_id,
        account,
        family: refresh.map(State::family_name),
    }
}

/// The S256 transformation of RFC 7636 section 4.2.
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

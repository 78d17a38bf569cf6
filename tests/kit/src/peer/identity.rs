//! Whose account a token is.

use catalogue_format::Method;
use serde_json::{Value, json};

use super::call::{Call, Params};
use super::grants::Kind;
use super::pointer::put;
use super::role::{ACCOUNT, LABEL, Role, is_method};
use super::token::{Refusal, headers};

/// The account of the token that authorizes the call.
pub(super) fn identity(role: &Role, call: &Call, now: i64) -> Result<Value, Refusal> {
    let identity = role.template.identity.clone();
    let identity = identity.ok_or("there is no identity")?;
    let mut params = Params::default();
    headers(role, call, &mut params);
    match &identity.json {
        None => params.require(is_method(call, Method::Get), "the method is not GET"),
        Some(wanted) => {
            params.require(is_method(call, Method::Post), "the method is not POST");
            let told: Option<Value> = serde_json::from_slice(&call.body).ok();
            params.require(told.as_ref() == Some(wanted), "another body is posted");
        }
    }
    let faults = params.end();
    if !faults.is_empty() {
        return Err(Refusal::Wrong(faults));
    }
    let bearer = call.credentials("Bearer").unwrap_or_default();
    let live = role.grants.live(bearer, now);
    live.filter(|(kind, _)| *kind == Kind::Access)
        .ok_or("no access token authorizes the call")?;
    let mut body = Value::Null;
    put(&mut body, &identity.id, json!(ACCOUNT));
    if let Some(label) = &identity.label {
        put(&mut body, label, json!(LABEL));
    }
    Ok(body)
}

//! Whose account a redeemed code is of: by its ID token, or by asking the provider.

use std::time::Duration;

use serde_json::Value;
use shared::domain::ending::Ending;
use shared::domain::session::{AuthorizationSession, Returned};
use shared::domain::token::{Account, TokenAnswer};
use shared::http::problem::{Code, Problem};
use shared::id_token::{Expected, Keys};
use shared::oauth::account_in;

use crate::State;
use crate::connect::discard;
use crate::redeem::{Failed, Redemption};

/// The keys of the provider's issuer, where an ID token was asked for. Before the code is spent:
/// an issuer who is away costs nothing but another call.
pub(crate) async fn keys(
    state: &State,
    redemption: &Redemption,
    returned: &Returned,
) -> Result<Option<Keys>, Failed> {
    let asked = returned.nonce.is_some();
    let Some(profile) = redemption
        .client
        .provider
        .id_tokens
        .as_ref()
        .filter(|_| asked)
    else {
        return Ok(None);
    };
    let keys = state.id_tokens.keys(profile).await.map_err(|error| {
        tracing::warn!(connector.id = %redemption.connector.id, error = %error, "no keys of the issuer");
        let problem = Problem::new(
            Code::ProviderUnavailable,
            "the provider's keys could not be read; send the same code again",
        );
        Failed::NotYet(problem.retry_after(Duration::from_secs(5)))
    })?;
    Ok(Some(keys))
}

/// Whose account it is, if that can be known. An ID token that came along is validated first,
/// asked for or not; an answer with one that is not right is not kept at all (H-17).
pub(crate) async fn account(
    state: &State,
    session: &AuthorizationSession,
    redemption: &Redemption,
    returned: &Returned,
    keys: Option<Keys>,
    answer: &TokenAnswer,
) -> Result<Option<Account>, Failed> {
    let provider = &redemption.client.provider;
    let claims = match validated(state, redemption, returned, keys, answer).await {
        Ok(claims) => claims,
        Err(reason) => {
            tracing::warn!(session.id = %session.id, connector.id = %session.connector, reason, "id_token_invalid");
            discard(state, session, redemption, answer).await;
            return Err(Failed::over(
                Ending::IdTokenInvalid,
                Code::IdTokenInvalid,
                "the provider's ID token is not valid, so nothing was connected; start again",
            ));
        }
    };
    let identity = provider.identity.as_ref();
    let by_token = identity
        .filter(|identity| identity.id_token)
        .zip(claims)
        .and_then(|(identity, claims)| account_in(identity, &claims));
    Ok(match by_token.or_else(|| answer.account.clone()) {
        Some(account) => Some(account),
        None => {
            state
                .providers
                .account(provider, &answer.access_token)
                .await
        }
    })
}

/// The claims of the answer's ID token. Where nothing is known of the provider's keys it is not
/// read.
async fn validated(
    state: &State,
    redemption: &Redemption,
    returned: &Returned,
    keys: Option<Keys>,
    answer: &TokenAnswer,
) -> Result<Option<Value>, String> {
    let profile = redemption.client.provider.id_tokens.as_ref();
    let (Some(profile), Some(token)) = (profile, &answer.id_token) else {
        return Ok(None);
    };
    let keys = match keys {
        Some(keys) => keys,
        None => {
            let read = state.id_tokens.keys(profile).await;
            read.map_err(|error| error.to_string())?
        }
    };
    let expected = Expected {
        profile,
        client_id: &redemption.client.credentials.client_id,
        nonce: returned.nonce.as_ref(),
    };
    let claims = state.id_tokens.validate(token, &expected, &keys).await;
    claims.map(Some).map_err(|refused| refused.to_string())
}

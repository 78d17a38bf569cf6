//! The request that exchanges an access token for the next one, where a provider issues no
//! refresh tokens. RFC 6749 section 4.5 leaves such grants to whoever invents them, so the
//! `oauth2` crate has no builder for them.

use http::{Method, Request};

use super::request::{self, Unbuildable};
use crate::domain::provider::{AccessTokenExchange, ClientAuth, ExchangeMethod, Provider};
use crate::domain::secret::Secret;
use crate::ports::ClientCredentials;

/// The request that spends `token`. With [`ExchangeMethod::Get`] the token is in the URL, which
/// is why no URL of a request is ever logged.
pub(super) fn request(
    provider: &Provider,
    exchange: &AccessTokenExchange,
    client: &ClientCredentials,
    token: &Secret,
) -> Result<Request<Vec<u8>>, Unbuildable> {
    let url = exchange.url.as_ref().unwrap_or(&provider.token.url);
    let mut members = vec![
        ("grant_type", exchange.grant_type.as_str()),
        (exchange.token_param.as_str(), token.expose()),
    ];
    let extra = provider.token.params.iter();
    members.extend(extra.map(|(name, value)| (name.as_str(), value.as_str())));
    match exchange.method {
        ExchangeMethod::Get => {
            let mut url = url.clone();
            url.query_pairs_mut().extend_pairs(members);
            request::empty(Method::GET, url.as_str())
        }
        ExchangeMethod::Post => {
            let mut request = request::empty(Method::POST, url.as_str())?;
            match provider.token.auth {
                ClientAuth::Basic => request::authorize(&mut request, request::basic(client)?),
                ClientAuth::Post => members.extend([
                    ("client_id", client.client_id.as_str()),
                    ("client_secret", client.client_secret.expose()),
                ]),
            }
            request::set_form(&mut request, &members);
            Ok(request)
        }
    }
}

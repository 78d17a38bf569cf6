//! Requests that spend a token for the next one in a provider's own way. RFC 6749 section 4.5
//! leaves such grants to whoever invents them, so the `oauth2` crate has no builder for them.

use http::Request;

use super::client_auth::Proof;
use super::request::{self, Unbuildable};
use crate::domain::provider::{GrantRequest, Method, Provider};
use crate::domain::secret::Secret;

/// The request that spends `token`. With [`Method::Get`] the token is in the URL, which is why no
/// URL of a request is ever logged.
pub(super) fn request(
    provider: &Provider,
    grant: &GrantRequest,
    proof: &Proof,
    token: &Secret,
) -> Result<Request<Vec<u8>>, Unbuildable> {
    let mut members = vec![
        ("grant_type".to_owned(), grant.grant_type.clone()),
        (grant.token_param.clone(), token.expose().to_owned()),
    ];
    let extra = grant.params.iter();
    members.extend(extra.map(|(name, value)| (name.clone(), value.clone())));
    let proven = proof.members.iter();
    members.extend(proven.map(|(name, value)| ((*name).to_owned(), value.expose().to_owned())));
    request::rename(&mut members, &provider.token.rename, &provider.token.omit);
    let mut request = match grant.method {
        Method::Get => {
            let mut url = grant.url.clone();
            url.query_pairs_mut().extend_pairs(members);
            request::empty(Method::Get, url.as_str())?
        }
        method => {
            let mut request = request::empty(method, grant.url.as_str())?;
            request::set_members(&mut request, grant.body, &members);
            request
        }
    };
    if let Some(header) = &proof.header {
        request::authorize(&mut request, header.clone());
    }
    Ok(request)
}

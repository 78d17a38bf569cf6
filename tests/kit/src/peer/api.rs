//! The product's way to providers, led to a peer: what is sent and read is the product's own, and
//! only the host is another.

use async_trait::async_trait;
use shared::domain::provider::Provider;
use shared::domain::secret::Secret;
use shared::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};
use shared::oauth::documents::HttpDocuments;
use shared::oauth::provider_api::HttpProviderApi;
use shared::ports::{ClientCredentials, CodeGrant, DocumentError, Documents, ProviderApi};
use url::Url;

/// The part of a peer that answers what is nobody's, such as keys.
pub(super) const SHARED: &str = "-";

/// The address at a peer of a provider's URL. One that is on this machine already stays.
pub(super) fn led(peer: &str, role: &str, url: &str) -> String {
    match url.strip_prefix("https://") {
        Some(rest) => format!("{peer}/{role}/{rest}"),
        None => url.to_owned(),
    }
}

/// Providers, as a peer plays them.
pub struct PeerApi {
    inner: HttpProviderApi,
    peer: String,
}

impl PeerApi {
    /// `inner`, whose requests go to the peer at this URL.
    pub fn new(inner: HttpProviderApi, peer: &str) -> Self {
        Self {
            inner,
            peer: peer.to_owned(),
        }
    }

    fn led(&self, provider: &Provider) -> Provider {
        let mut provider = provider.clone();
        let role = provider.id.as_str().to_owned();
        let lead = |url: &mut Url| {
            let there = led(&self.peer, &role, url.as_str());
            *url = Url::parse(&there).expect("a path is no less a URL");
        };
        lead(&mut provider.token.url);
        provider
            .after_code
            .iter_mut()
            .for_each(|at| lead(&mut at.url));
        let refresh = provider.refresh.request.iter_mut();
        refresh.for_each(|at| lead(&mut at.url));
        let identity = provider.identity.iter_mut();
        identity.for_each(|at| at.url.iter_mut().for_each(lead));
        if let Some(revocation) = &mut provider.revocation {
            revocation.url = led(&self.peer, &role, &revocation.url);
        }
        provider
    }
}

#[async_trait]
impl ProviderApi for PeerApi {
    async fn exchange(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        let there = self.led(provider);
        self.inner.exchange(&there, client, grant).await
    }

    async fn refresh(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let there = self.led(provider);
        self.inner.refresh(&there, client, credential).await
    }

    async fn revoke(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer {
        let there = self.led(provider);
        self.inner.revoke(&there, client, tokens).await
    }

    async fn account(&self, provider: &Provider, access_token: &Secret) -> Option<Account> {
        self.inner.account(&self.led(provider), access_token).await
    }
}

/// What providers publish, as a peer has it.
pub struct PeerDocuments {
    inner: HttpDocuments,
    peer: String,
}

impl PeerDocuments {
    /// `inner`, which reads at the peer at this URL.
    pub fn new(inner: HttpDocuments, peer: &str) -> Self {
        Self {
            inner,
            peer: peer.to_owned(),
        }
    }
}

#[async_trait]
impl Documents for PeerDocuments {
    async fn read(&self, url: &Url) -> Result<Vec<u8>, DocumentError> {
        let there = led(&self.peer, SHARED, url.as_str());
        let there = Url::parse(&there).expect("a path is no less a URL");
        self.inner.read(&there).await
    }
}

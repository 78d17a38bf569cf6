//! Workers that reach the provider by another way than the stories' own.

use std::net::TcpListener;
use std::sync::Arc;

use async_trait::async_trait;
use shared::domain::provider::Provider;
use shared::domain::secret::Secret;
use shared::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};
use shared::ports::{ClientCredentials, CodeGrant, ProviderApi};
use shared::refresh::RefreshEngine;

use super::Story;

/// What is different about refreshes; everything else goes straight to the provider.
pub(super) struct Detour {
    provider: Arc<dyn ProviderApi>,
    /// They are sent to this port.
    port: Option<u16>,
    /// Their answers name this account.
    account: Option<&'static str>,
}

impl Detour {
    /// A worker for whom nobody listens at the provider's address.
    pub(super) fn to_a_closed_port(story: &Story) -> RefreshEngine {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::of(story, Some(port), None)
    }

    /// A worker to whom the provider's token responses tell whose they are.
    pub(super) fn naming(story: &Story, account: &'static str) -> RefreshEngine {
        Self::of(story, None, Some(account))
    }

    fn of(story: &Story, port: Option<u16>, account: Option<&'static str>) -> RefreshEngine {
        let engine = story.world.engine.clone();
        RefreshEngine {
            providers: Arc::new(Self {
                provider: Arc::clone(&engine.providers),
                port,
                account,
            }),
            ..engine
        }
    }
}

#[async_trait]
impl ProviderApi for Detour {
    async fn exchange(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        self.provider.exchange(provider, client, grant).await
    }

    async fn refresh(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let mut provider = provider.clone();
        if self.port.is_some() {
            provider.token.url.set_port(self.port).unwrap();
        }
        let answer = self.provider.refresh(&provider, client, credential).await?;
        let account = self.account.map(|id| Account {
            id: id.to_owned(),
            label: None,
        });
        Ok(TokenAnswer { account, ..answer })
    }

    async fn revoke(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer {
        self.provider.revoke(provider, client, tokens).await
    }

    async fn account(&self, provider: &Provider, access_token: &Secret) -> Option<Account> {
        self.provider.account(provider, access_token).await
    }
}

//! The port [`ProviderApi`] over HTTP.
//!
//! Token requests are the `oauth2` crate's, sent by our client: what goes out is bent to the
//! provider's profile on its way, what comes in is normalised before the crate parses it.
//! Every request is sent once; whether to try again is the caller's to decide. Only who was refused
//! for the client secret is asked once more with the previous one, where there are two.

use std::borrow::Cow;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Response};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, StandardRevocableToken, TokenUrl,
};

use super::answer::{self, Parsed};
use super::http_client::{HttpClient, OTHER_TIMEOUT, SendError};
use super::revoke::{self, Verdict};
use super::{account, exchange, json, request};
use crate::domain::provider::{
    BodyEncoding, ClientAuth, Provider, RefreshGrant, Revocation, RevokedToken,
};
use crate::domain::refresh_protocol::TOKEN_TIMEOUT;
use crate::domain::secret::Secret;
use crate::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};
use crate::ports::{ClientCredentials, Clock, CodeGrant, ProviderApi};

/// A second token request is not made with less time than this: cut off, it could cost the grant
/// that a refusal costs nothing.
const LEAST_TIMEOUT: Duration = Duration::from_secs(5);
/// For the account's name, while a user waits for the end of a connect flow that has its tokens
/// already. Without an answer the connection simply has no name.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(4);

/// The endpoints of providers, over HTTP.
pub struct HttpProviderApi {
    http: HttpClient,
    clock: Arc<dyn Clock>,
}

impl HttpProviderApi {
    /// The API over `http`. The clock is for `Retry-After` dates, and for what is left of a
    /// request's time.
    pub fn new(http: HttpClient, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock }
    }
}

#[async_trait]
impl ProviderApi for HttpProviderApi {
    async fn exchange(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        let begun = self.clock.monotonic();
        let first = self
            .exchange_within(TOKEN_TIMEOUT, provider, client, grant)
            .await;
        match self.second_try(provider, client, &first, begun) {
            None => first,
            Some((client, left)) => self
                .exchange_within(left, provider, &client, grant)
                .await
                .map(by_previous),
        }
    }

    async fn refresh(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let begun = self.clock.monotonic();
        let first = self
            .refresh_within(TOKEN_TIMEOUT, provider, client, credential)
            .await;
        match self.second_try(provider, client, &first, begun) {
            None => first,
            Some((client, left)) => self
                .refresh_within(left, provider, &client, credential)
                .await
                .map(by_previous),
        }
    }

    async fn revoke(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        tokens: &TokenSet,
    ) -> RevocationAnswer {
        let Some(revocation) = &provider.revocation else {
            return RevocationAnswer::Unsupported;
        };
        let call = RevocationCall {
            api: self,
            provider,
            revocation,
            client,
        };
        let asked = async {
            match (&tokens.refresh_token, revocation.token) {
                (Some(refresh), RevokedToken::Refresh) => call.refresh_first(tokens, refresh).await,
                (refresh, RevokedToken::Access) => {
                    call.access_first(tokens, refresh.as_ref()).await
                }
                (None, RevokedToken::Refresh) if revoke::takes_either(revocation.shape) => {
                    call.access_first(tokens, None).await
                }
                (None, RevokedToken::Refresh) => RevocationAnswer::Unsupported,
            }
        };
        // Of up to three requests, which together have no more time than the function that
        // waits for them. A grant that is being revoked has nothing to lose by a cut.
        tokio::time::timeout(OTHER_TIMEOUT, asked)
            .await
            .unwrap_or(RevocationAnswer::TryLater { after: None })
    }

    async fn account(&self, provider: &Provider, access_token: &Secret) -> Option<Account> {
        let identity = provider.identity.as_ref()?;
        let url = identity.url.as_ref()?;
        let mut request = request::empty(Method::GET, url.as_str()).ok()?;
        request::authorize(&mut request, request::bearer(access_token).ok()?);
        request::add_headers(&mut request, provider);
        let response = match self.http.send(request, ACCOUNT_TIMEOUT).await {
            Ok(response) => response,
            Err(error) => {
                log_no_answer(provider, "account", &error);
                return None;
            }
        };
        if !response.status().is_success() {
            return None;
        }
        account::read(identity, &json::parse(response.body())?)
    }
}

impl HttpProviderApi {
    /// The credentials with the secret that is being replaced, where the current one was refused,
    /// and the time that is left: whoever waits for the answer has no more than for one request.
    fn second_try(
        &self,
        provider: &Provider,
        client: &ClientCredentials,
        first: &Result<TokenAnswer, TokenFailure>,
        begun: Duration,
    ) -> Option<(ClientCredentials, Duration)> {
        let client = with_previous_secret(client)?;
        if !matches!(first, Err(TokenFailure::ClientRefused)) {
            return None;
        }
        let spent = self.clock.monotonic().saturating_sub(begun);
        let left = TOKEN_TIMEOUT.saturating_sub(spent);
        if left < LEAST_TIMEOUT {
            return None;
        }
        tracing::warn!(
            provider.id = %provider.id,
            "the client secret was refused; the previous one is tried"
        );
        Some((client, left))
    }

    async fn exchange_within(
        &self,
        timeout: Duration,
        provider: &Provider,
        client: &ClientCredentials,
        grant: &CodeGrant,
    ) -> Result<TokenAnswer, TokenFailure> {
        let redirect_uri = RedirectUrl::new(grant.redirect_uri.clone())
            .map_err(|_| TokenFailure::RequestRefused)?;
        let oauth = oauth_client(provider, client);
        let mut request = oauth
            .exchange_code(AuthorizationCode::new(grant.code.expose().to_owned()))
            .set_redirect_uri(Cow::Owned(redirect_uri));
        if let Some(verifier) = &grant.verifier {
            let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
            request = request.set_pkce_verifier(verifier);
        }
        for (name, value) in &provider.token.params {
            request = request.add_extra_param(name, value);
        }
        let endpoint = TokenEndpoint {
            api: self,
            provider,
            timeout,
        };
        let parsed = request.request_async(&endpoint).await.map_err(failure)?;
        Ok(answer::answer(&parsed, provider))
    }

    async fn refresh_within(
        &self,
        timeout: Duration,
        provider: &Provider,
        client: &ClientCredentials,
        credential: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let endpoint = TokenEndpoint {
            api: self,
            provider,
            timeout,
        };
        let parsed = match &provider.refresh.grant {
            RefreshGrant::RefreshToken => {
                let oauth = oauth_client(provider, client);
                let refresh_token = RefreshToken::new(credential.expose().to_owned());
                let mut request = oauth.exchange_refresh_token(&refresh_token);
                for (name, value) in &provider.token.params {
                    request = request.add_extra_param(name, value);
                }
                request.request_async(&endpoint).await.map_err(failure)?
            }
            RefreshGrant::AccessToken(exchange) => {
                let request = exchange::request(provider, exchange, client, credential)
                    .map_err(|_| TokenFailure::RequestRefused)?;
                let response = endpoint.ask(request).await?;
                return answer::read_answer(&response, provider, self.clock.now());
            }
        };
        let mut answer = answer::answer(&parsed, provider);
        let identity = provider.identity.as_ref().filter(|known| known.id_token);
        if let Some((identity, token)) = identity.zip(answer.id_token.as_ref()) {
            answer.account = account::read_refreshed(identity, token);
        }
        Ok(answer)
    }
}

/// The same client with the secret that is being replaced, where there is one.
fn with_previous_secret(client: &ClientCredentials) -> Option<ClientCredentials> {
    client
        .previous_secret
        .as_ref()
        .map(|previous| ClientCredentials {
            client_id: client.client_id.clone(),
            client_secret: previous.clone(),
            previous_secret: None,
        })
}

fn by_previous(answer: TokenAnswer) -> TokenAnswer {
    TokenAnswer {
        by_previous_secret: true,
        ..answer
    }
}

/// A provider's token endpoint as the `oauth2` crate calls it.
struct TokenEndpoint<'a> {
    api: &'a HttpProviderApi,
    provider: &'a Provider,
    timeout: Duration,
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = TokenFailure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TokenFailure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl TokenEndpoint<'_> {
    /// Sends a token request, and gives the answer back as the crate wants it.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TokenFailure> {
        let response = self.ask(request).await?;
        let body = answer::normalise(&response, self.provider, self.api.clock.now())?;
        let mut normal = Response::new(body);
        normal.headers_mut().insert(CONTENT_TYPE, request::JSON);
        Ok(normal)
    }

    /// Sends a token request as the provider wants it.
    async fn ask(&self, mut request: HttpRequest) -> Result<HttpResponse, TokenFailure> {
        let has_body = !request.body().is_empty();
        if has_body && self.provider.token.body == BodyEncoding::Json {
            request::form_to_json(&mut request);
        }
        request::add_headers(&mut request, self.provider);
        if let Some(credentials) = request.headers_mut().get_mut(AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        let sent = self.api.http.send(request, self.timeout).await;
        sent.map_err(|error| {
            log_no_answer(self.provider, "token", &error);
            unanswered(&error)
        })
    }
}

/// One revocation: at most two tokens are named, each once to the client's secret that is accepted.
struct RevocationCall<'a> {
    api: &'a HttpProviderApi,
    provider: &'a Provider,
    revocation: &'a Revocation,
    client: &'a ClientCredentials,
}

impl RevocationCall<'_> {
    /// A revoked refresh token takes the grant with it (RFC 7009 section 2.1), so the access
    /// token is named only where refresh tokens are not taken.
    async fn refresh_first(&self, tokens: &TokenSet, refresh: &Secret) -> RevocationAnswer {
        let first = self.send(refresh, RevokedToken::Refresh).await;
        if first == Verdict::WrongKind && revoke::takes_either(self.revocation.shape) {
            let access = &tokens.access_token;
            return conclude(self.send(access, RevokedToken::Access).await);
        }
        conclude(first)
    }

    /// An access token that the provider does not know any more says nothing about the grant:
    /// it may just have expired. Then the refresh token is named, or, where only an access
    /// token can be, it is used for a fresh one.
    async fn access_first(&self, tokens: &TokenSet, refresh: Option<&Secret>) -> RevocationAnswer {
        let first = self.send(&tokens.access_token, RevokedToken::Access).await;
        match (first, refresh) {
            (Verdict::Unknown | Verdict::WrongKind, Some(refresh)) => {
                if revoke::takes_either(self.revocation.shape) {
                    conclude(self.send(refresh, RevokedToken::Refresh).await)
                } else {
                    self.renewed(refresh).await
                }
            }
            (first, _) => conclude(first),
        }
    }

    async fn renewed(&self, refresh: &Secret) -> RevocationAnswer {
        let answer = self.api.refresh(self.provider, self.client, refresh).await;
        match answer {
            Ok(answer) => conclude(self.send(&answer.access_token, RevokedToken::Access).await),
            // Neither token is accepted: there is no grant left that they stand for.
            Err(TokenFailure::GrantRefused) => RevocationAnswer::Revoked,
            Err(TokenFailure::TryLater { after }) => RevocationAnswer::TryLater { after },
            Err(_) => RevocationAnswer::TryLater { after: None },
        }
    }

    async fn send(&self, token: &Secret, kind: RevokedToken) -> Verdict {
        let (shape, profile) = (self.revocation.shape, &self.provider.token);
        let mut answer = self.ask(self.client, token, kind).await;
        if let Ok(response) = &answer
            && revoke::refuses_client(response, shape, profile)
            && let Some(previous) = with_previous_secret(self.client)
        {
            answer = self.ask(&previous, token, kind).await;
        }
        answer.map_or_else(
            |verdict| verdict,
            |response| revoke::verdict(&response, shape, profile, self.api.clock.now()),
        )
    }

    /// One request, or the verdict where it has no answer.
    async fn ask(
        &self,
        client: &ClientCredentials,
        token: &Secret,
        kind: RevokedToken,
    ) -> Result<Response<Vec<u8>>, Verdict> {
        let request = revoke::request(self.provider, self.revocation, client, token, kind);
        let request = request.map_err(|_| Verdict::Refused)?;
        let sent = self.api.http.send(request, OTHER_TIMEOUT).await;
        // Naming a token twice is harmless, so it does not matter whether it arrived.
        sent.map_err(|error| {
            log_no_answer(self.provider, "revocation", &error);
            Verdict::TryLater { after: None }
        })
    }
}

fn conclude(verdict: Verdict) -> RevocationAnswer {
    match verdict {
        Verdict::Revoked | Verdict::Unknown => RevocationAnswer::Revoked,
        Verdict::TryLater { after } => RevocationAnswer::TryLater { after },
        Verdict::WrongKind | Verdict::Refused => RevocationAnswer::Unsupported,
    }
}

type OauthClient = Client<
    BasicErrorResponse,
    Parsed,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

fn oauth_client(provider: &Provider, client: &ClientCredentials) -> OauthClient {
    let auth = match provider.token.auth {
        ClientAuth::Post => AuthType::RequestBody,
        ClientAuth::Basic => AuthType::BasicAuth,
    };
    Client::new(ClientId::new(client.client_id.clone()))
        .set_client_secret(ClientSecret::new(client.client_secret.expose().to_owned()))
        .set_auth_type(auth)
        .set_token_uri(TokenUrl::from_url(provider.token.url.clone()))
}

/// What is left for the crate to refuse after normalisation would be a fault of ours; the
/// provider has answered by then, and perhaps rotated.
fn failure(error: RequestTokenError<TokenFailure, BasicErrorResponse>) -> TokenFailure {
    match error {
        RequestTokenError::Request(failure) => failure,
        RequestTokenError::ServerResponse(_)
        | RequestTokenError::Parse(..)
        | RequestTokenError::Other(_) => TokenFailure::OutcomeUnknown,
    }
}

fn unanswered(error: &SendError) -> TokenFailure {
    match error {
        SendError::NotSent(_) => TokenFailure::NotSent,
        SendError::AddressRefused => TokenFailure::AddressRefused,
        SendError::TimedOut | SendError::Lost(_) | SendError::TooLarge => {
            TokenFailure::OutcomeUnknown
        }
    }
}

/// The causes end here, in the log: the classes that callers get are fewer. No URL and no body
/// is among them.
fn log_no_answer(provider: &Provider, endpoint: &'static str, error: &SendError) {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    tracing::warn!(
        provider.id = %provider.id,
        provider.endpoint = endpoint,
        error = chain,
        "the provider gave no answer"
    );
}

#[cfg(test)]
mod tests;

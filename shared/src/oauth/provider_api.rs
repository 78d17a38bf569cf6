//! The port [`ProviderApi`] over HTTP.
//!
//! Token requests are the `oauth2` crate's, sent by our client: what goes out is bent to the
//! provider's profile on its way, what comes in is normalised before the crate parses it.
//! Every request is sent once; whether to try again is the caller's to decide. Only who was refused
//! for the client secret is asked once more with the previous one, where there are two.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Response;
use http::header::CONTENT_TYPE;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    StandardRevocableToken, TokenUrl,
};

use super::answer::{self, Parsed};
use super::client_auth::{Proof, Prover};
use super::http_client::{HttpClient, OTHER_TIMEOUT, SendError};
use super::revoke::{self, Named, Verdict};
use super::{account, grant, json, request};
use crate::domain::provider::{
    GrantRequest, Method, Provider, RequestAuth, Revocation, RevokedToken,
};
use crate::domain::refresh_protocol::TOKEN_TIMEOUT;
use crate::domain::secret::Secret;
use crate::domain::token::{Account, RevocationAnswer, TokenAnswer, TokenFailure, TokenSet};
use crate::ports::{ClientCredentials, Clock, CodeGrant, Entropy, ProviderApi};

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
    entropy: Arc<dyn Entropy>,
}

impl HttpProviderApi {
    /// The API over `http`. The clock is for `Retry-After` dates, and for what is left of a
    /// request's time; both are for what clients sign.
    pub fn new(http: HttpClient, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            http,
            clock,
            entropy,
        }
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
        let (answer, client) = match self.second_try(provider, client, &first, begun) {
            None => (first?, Cow::Borrowed(client)),
            Some((client, left)) => {
                let second = self.exchange_within(left, provider, &client, grant).await?;
                (by_previous(second), Cow::Owned(client))
            }
        };
        let Some(after) = &provider.after_code else {
            return Ok(answer);
        };
        let token = &answer.access_token;
        let longer = self
            .spend(LEAST_TIMEOUT, provider, &client, after, token)
            .await?;
        Ok(answer.exchanged_for(longer))
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
            captured: &tokens.connection_config,
        };
        let asked = async {
            match (&tokens.refresh_token, revocation.token) {
                (Some(refresh), RevokedToken::Refresh) => call.refresh_first(tokens, refresh).await,
                (refresh, RevokedToken::Access) => {
                    call.access_first(tokens, refresh.as_ref()).await
                }
                (None, RevokedToken::Refresh) if revocation.either => {
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
        let method = identity.json.as_ref().map_or(Method::Get, |_| Method::Post);
        let mut request = request::empty(method, url.as_str()).ok()?;
        if let Some(body) = &identity.json {
            request::set_body(&mut request, request::JSON, body.clone().into_bytes());
        }
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
        let proof = self.prove(provider.token.auth.into(), provider, client)?;
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
            proof: &proof,
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
        if let Some(request) = &provider.refresh.request {
            return self
                .spend(timeout, provider, client, request, credential)
                .await;
        }
        let proof = self.prove(provider.token.auth.into(), provider, client)?;
        let oauth = oauth_client(provider, client);
        let refresh_token = RefreshToken::new(credential.expose().to_owned());
        let mut request = oauth.exchange_refresh_token(&refresh_token);
        for (name, value) in &provider.token.params {
            request = request.add_extra_param(name, value);
        }
        let endpoint = TokenEndpoint {
            api: self,
            provider,
            proof: &proof,
            timeout,
        };
        let parsed = request.request_async(&endpoint).await.map_err(failure)?;
        let mut answer = answer::answer(&parsed, provider);
        let identity = provider.identity.as_ref().filter(|known| known.id_token);
        if let Some((identity, token)) = identity.zip(answer.id_token.as_ref()) {
            answer.account = account::read_refreshed(identity, token);
        }
        Ok(answer)
    }

    /// Spends a token in the provider's own way.
    async fn spend(
        &self,
        timeout: Duration,
        provider: &Provider,
        client: &ClientCredentials,
        asked: &GrantRequest,
        token: &Secret,
    ) -> Result<TokenAnswer, TokenFailure> {
        let proof = self.prove(asked.auth, provider, client)?;
        let request = grant::request(provider, asked, &proof, token)
            .map_err(|_| TokenFailure::RequestRefused)?;
        let response = self.ask(timeout, provider, request).await?;
        answer::read_answer_at(&asked.token_path, &response, provider, self.clock.now())
    }

    /// What the client proves itself with. A key that signs nothing is a wrong credential that
    /// the provider need not be asked about.
    fn prove(
        &self,
        auth: RequestAuth,
        provider: &Provider,
        client: &ClientCredentials,
    ) -> Result<Proof, TokenFailure> {
        let prover = Prover {
            issuer: provider.issuer.as_deref(),
            entropy: &*self.entropy,
            now: self.clock.now(),
        };
        let proof = prover.prove(auth, client);
        proof.map_err(|_| TokenFailure::ClientRefused)
    }

    /// Sends a token request.
    async fn ask(
        &self,
        timeout: Duration,
        provider: &Provider,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, TokenFailure> {
        request::add_headers(&mut request, provider);
        let sent = self.http.send(request, timeout).await;
        sent.map_err(|error| {
            log_no_answer(provider, "token", &error);
            unanswered(&error)
        })
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
    proof: &'a Proof,
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
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, TokenFailure> {
        self.shape(&mut request);
        let response = self.api.ask(self.timeout, self.provider, request).await?;
        let profile = &self.provider.token;
        let now = self.api.clock.now();
        let body = answer::normalise(&profile.token_path, &response, self.provider, now)?;
        let mut normal = Response::new(body);
        normal.headers_mut().insert(CONTENT_TYPE, request::JSON);
        Ok(normal)
    }

    /// Makes the crate's request, which names the client and proves nothing, the provider's.
    fn shape(&self, request: &mut HttpRequest) {
        let profile = &self.provider.token;
        let mut members: request::Members = form_urlencoded::parse(request.body())
            .filter(|(name, _)| name != "client_id")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let proven = self.proof.members.iter();
        let proven = proven.map(|(name, value)| ((*name).to_owned(), value.expose().to_owned()));
        members.extend(proven);
        request::rename(&mut members, &profile.rename, &profile.omit);
        request::set_members(request, profile.body, &members);
        if let Some(header) = &self.proof.header {
            request::authorize(request, header.clone());
        }
    }
}

/// One revocation: at most two tokens are named, each once to the client's secret that is accepted.
struct RevocationCall<'a> {
    api: &'a HttpProviderApi,
    provider: &'a Provider,
    revocation: &'a Revocation,
    client: &'a ClientCredentials,
    captured: &'a BTreeMap<String, String>,
}

impl RevocationCall<'_> {
    /// A revoked refresh token takes the grant with it (RFC 7009 section 2.1), so the access
    /// token is named only where refresh tokens are not taken.
    async fn refresh_first(&self, tokens: &TokenSet, refresh: &Secret) -> RevocationAnswer {
        let first = self.send(refresh, RevokedToken::Refresh).await;
        if first == Verdict::WrongKind && self.revocation.either {
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
                if self.revocation.either {
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
        let profile = &self.provider.token;
        let mut answer = self.ask(self.client, token, kind).await;
        if let Ok(response) = &answer
            && revoke::refuses_client(response, self.revocation, profile)
            && let Some(previous) = with_previous_secret(self.client)
        {
            answer = self.ask(&previous, token, kind).await;
        }
        answer.map_or_else(
            |verdict| verdict,
            |response| revoke::verdict(&response, self.revocation, profile, self.api.clock.now()),
        )
    }

    /// One request, or the verdict where it has no answer.
    async fn ask(
        &self,
        client: &ClientCredentials,
        token: &Secret,
        kind: RevokedToken,
    ) -> Result<Response<Vec<u8>>, Verdict> {
        let auth = revoke::auth(self.revocation);
        let proof = self.api.prove(auth, self.provider, client);
        let proof = proof.map_err(|_| Verdict::Refused)?;
        let named = Named {
            token,
            kind,
            captured: self.captured,
        };
        let request = revoke::request(self.provider, self.revocation, client, &proof, &named);
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

/// The crate's client. It has no secret: how that is shown is the provider's way.
fn oauth_client(provider: &Provider, client: &ClientCredentials) -> OauthClient {
    Client::new(ClientId::new(client.client_id.clone()))
        .set_auth_type(AuthType::RequestBody)
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

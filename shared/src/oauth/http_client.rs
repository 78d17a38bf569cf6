//! The one outbound HTTP client: everything Grantry says to the internet goes through here.
//!
//! https to public addresses (H-30, H-31), and to no other hosts than an installation names
//! (H-39); no redirects (H-33), bounded time and size (H-34), nothing taken from the environment: no proxy, no root certificates of the host, no cookies,
//! no decompression. One request is sent once, over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use url::Url;

use super::resolver::{AddressRefused, Guard, Resolver, SystemResolver};
use crate::domain::address::AddressRules;
use crate::domain::provider_hosts::ProviderHosts;

/// The longest a request may take that no lease waits for; the others have
/// [`TOKEN_TIMEOUT`](crate::domain::refresh_protocol::TOKEN_TIMEOUT).
pub const OTHER_TIMEOUT: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    body: 64 * 1024,
    headers: 16 * 1024,
};

/// How much of a server's time and data is taken.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For resolving, connecting and the TLS handshake together.
    connect: Duration,
    /// Bytes of an answer's body.
    body: usize,
    /// Bytes of an answer's header names and values.
    headers: usize,
}

/// Why a request has no answer, by what may have become of it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Resolving, connecting or the TLS handshake failed: nothing was sent.
    #[error("the host could not be reached")]
    NotSent(#[source] reqwest::Error),
    /// The URL, its host or what that resolves to may not be called: nothing was sent.
    #[error("the address is not allowed")]
    AddressRefused,
    /// The time was up after the request had been sent.
    #[error("the answer did not arrive in time")]
    TimedOut,
    /// The connection broke after the request had been sent.
    #[error("the answer was lost")]
    Lost(#[source] reqwest::Error),
    /// More headers or body than are taken.
    #[error("the answer is too large")]
    TooLarge,
}

/// Sends requests to providers.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    rules: AddressRules,
    hosts: ProviderHosts,
    limits: Limits,
}

impl HttpClient {
    /// The client of a process. Make it once: it holds the TLS configuration with its roots and
    /// its sessions.
    pub fn new(rules: AddressRules) -> Self {
        Self::assemble(rules, Arc::new(SystemResolver), tls(), LIMITS)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one outbound client")]
    fn assemble(
        rules: AddressRules,
        resolver: Arc<dyn Resolver>,
        tls: rustls::ClientConfig,
        limits: Limits,
    ) -> Self {
        let client = reqwest::Client::builder()
            .user_agent(concat!("grantry/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .dns_resolver(Guard { resolver, rules })
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(limits.connect)
            // A Lambda environment is frozen between requests. A pooled connection that died
            // meanwhile breaks after the request was written, which makes a refresh an unknown
            // outcome and may cost the user the connection; a new one costs a round trip.
            .pool_max_idle_per_host(0)
            .build()
            // Fails only for a TLS configuration of another library's version.
            .expect("the client's settings are fixed");
        Self {
            client,
            rules,
            hosts: ProviderHosts::default(),
            limits,
        }
    }

    /// The same client, for these hosts and no other.
    pub fn limited_to(self, hosts: ProviderHosts) -> Self {
        Self { hosts, ..self }
    }

    /// Sends one request, once, and takes its answer whatever its status.
    ///
    /// # Errors
    /// [`SendError`] tells whether the request may have been received.
    pub async fn send(
        &self,
        request: Request<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Response<Vec<u8>>, SendError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|_| SendError::AddressRefused)?;
        // A literal address never gets to the resolver.
        self.rules
            .check(&url)
            .map_err(|_| SendError::AddressRefused)?;
        if !self.hosts.allow(&url) {
            return Err(SendError::AddressRefused);
        }
        let mut outgoing = reqwest::Request::new(head.method, url);
        *outgoing.headers_mut() = head.headers;
        *outgoing.body_mut() = Some(body.into());
        // Connecting has a shorter limit of its own, so when this one is up all was sent.
        tokio::time::timeout(timeout, self.exchange(outgoing))
            .await
            .unwrap_or(Err(SendError::TimedOut))
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Response<Vec<u8>>, SendError> {
        let mut answer = self.client.execute(request).await.map_err(failure)?;
        if size(answer.headers()) > self.limits.headers {
            return Err(SendError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > self.limits.body {
                return Err(SendError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// TLS 1.2 and 1.3 with Mozilla's roots compiled in, and no way to change either (H-30).
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    tls_with(roots)
}

fn tls_with(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Sorts the client's errors by whether the request had been sent. Their URL goes: it may hold
/// a token where a provider wants it in the path.
fn failure(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if cause.is::<AddressRefused>() {
            return SendError::AddressRefused;
        }
        source = cause.source();
    }
    if error.is_connect() || error.is_builder() {
        SendError::NotSent(error)
    } else {
        SendError::Lost(error)
    }
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests;

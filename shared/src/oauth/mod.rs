//! OAuth on the wire: the authorization URL, the token and revocation endpoints, the account.
//!
//! Requests are built and answers parsed by the `oauth2` crate; what a provider does
//! differently is a transformation of request or answer that its catalogue entry asks for.
//! Nothing here retries, follows a redirect or stores anything, and nothing here names a
//! provider. `http_client` is the only place of the product that talks to the internet.

pub mod authorize;
pub mod documents;
pub mod http_client;
pub mod provider_api;
pub mod resolver;
pub mod signed_callback;

mod account;
mod answer;
mod classify;
mod client_auth;
mod grant;
mod json;
mod request;
mod revoke;
#[cfg(test)]
mod testserver;

pub use account::read as account_in;
pub use answer::read_answer;
pub use authorize::{AuthorizeRequest, authorize_url, pkce};
pub use classify::retry_after;
pub use client_auth::is_signing_key;
pub use documents::HttpDocuments;
pub use http_client::HttpClient;
pub use provider_api::HttpProviderApi;

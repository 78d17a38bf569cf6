//! OAuth on the wire. `http_client` is the only place of the product that talks to the internet.

pub mod http_client;
pub mod resolver;

#[cfg(test)]
mod testserver;

pub use http_client::HttpClient;

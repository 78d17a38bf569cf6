//! Name resolution that answers public addresses only.
//!
//! The check stands in the resolver itself, so the addresses that were checked are the ones
//! that are connected to: a name that changes its meaning between a check and a connection
//! (DNS rebinding) has no such gap to use (H-31).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::domain::address::{AddressRules, is_local_name};

/// Where addresses come from.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of a host name.
    ///
    /// # Errors
    /// When the name has none or nobody answers.
    async fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let host = host.to_owned();
        let lookup = move || {
            Ok((host.as_str(), 0)
                .to_socket_addrs()?
                .map(|at| at.ip())
                .collect())
        };
        tokio::task::spawn_blocking(lookup)
            .await
            .map_err(std::io::Error::other)?
    }
}

/// A name that resolves to an address that may not be called. The name is not repeated: the
/// error of a request that an admin's URL caused may be shown to that admin, and should not
/// tell what our DNS knows.
#[derive(Debug, thiserror::Error)]
#[error("the host's address is not allowed")]
pub struct AddressRefused;

/// Any [`Resolver`] under the address rules, as the HTTP client wants it.
pub(super) struct Guard {
    /// Where addresses come from.
    pub(super) resolver: Arc<dyn Resolver>,
    /// Which of them may be called.
    pub(super) rules: AddressRules,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.resolver);
        let rules = self.rules;
        Box::pin(async move {
            // Never asked of DNS: the name has one meaning (RFC 6761 section 6.3), and it is
            // for the rules to say whether it may be called.
            let found = if is_local_name(name.as_str()) {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            } else {
                resolver.addresses(name.as_str()).await?
            };
            // One private address among public ones refuses the name: no honest provider has
            // it, and which of them is tried first is up to whoever runs its DNS.
            if found.iter().any(|ip| !rules.allows(*ip)) {
                return Err(AddressRefused.into());
            }
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

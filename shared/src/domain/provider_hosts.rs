//! The hosts that providers may have, where an installation names them (H-39; OWASP ASVS 5.0,
//! 13.2.4 and 13.2.5). Beside `address`, which says what nobody's provider may be.

use std::sync::Arc;

use url::{Host, Url};

/// A list of hosts from the stack's parameter. An empty one allows every host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderHosts(Arc<[Entry]>);

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// This host.
    Host(String),
    /// Every host below this one, and not the one itself; kept with the dot before it.
    Below(String),
}

/// An entry that is neither a host name nor `*.` and a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name; name hosts like auth.example.com or *.example.com")]
pub struct BadEntry(String);

impl ProviderHosts {
    /// Reads entries that are separated by commas.
    ///
    /// # Errors
    /// [`BadEntry`]: a list with a mistake in it would allow less than was meant, or more.
    pub fn parse(text: &str) -> Result<Self, BadEntry> {
        let entries = text.split(',').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty()).map(Entry::parse);
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a provider may have this URL, as far as its host goes.
    pub fn allow(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        // The root's dot makes no other host of it.
        let host = host.strip_suffix('.').unwrap_or(host);
        self.0.is_empty() || self.0.iter().any(|entry| entry.covers(host))
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, BadEntry> {
        let below = text.strip_prefix("*.");
        let name = below.unwrap_or(text);
        // The name as a URL would have it: in lower case, and other scripts in Punycode.
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') && !name.ends_with('.') => {
                Ok(match below {
                    Some(_) => Self::Below(format!(".{name}")),
                    None => Self::Host(name),
                })
            }
            _ => Err(BadEntry(text.to_owned())),
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => host == name,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, url: &str) -> bool {
        let hosts = ProviderHosts::parse(list).unwrap();
        hosts.allow(&Url::parse(url).unwrap())
    }

    #[test]
    fn h39_an_empty_list_allows_every_host() {
        for list in ["", " ", ","] {
            assert!(allows(list, "https://auth.example.com/token"), "{list:?}");
        }
    }

    #[test]
    fn h39_a_list_allows_what_it_names_and_nothing_that_resembles_it() {
        let list = "auth.example.com, *.Provider.example,bücher.example";
        for url in [
            "https://auth.example.com/token",
            "https://AUTH.example.com./token",
            "https://auth.example.com:8443/",
            "https://a.provider.example/",
            "https://a.b.provider.example/",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(allows(list, url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://evil.auth.example.com/",
            "https://auth.example.com.evil.example/",
            "https://auth-example.com/",
            "https://auth.example.com@evil.example/",
            "https://provider.example/",
            "https://.provider.example/",
            "https://evilprovider.example/",
            "https://93.184.215.14/",
            "https://[2606:4700::1111]/",
            "data:auth.example.com",
        ] {
            assert!(!allows(list, url), "{url}");
        }
    }

    #[test]
    fn h39_a_list_with_a_mistake_in_it_is_refused() {
        for list in [
            "*",
            "*.",
            "*.*.example",
            "a.*.example",
            "https://auth.example.com",
            "auth.example.com/token",
            "auth.example.com:443",
            "auth.example.com.",
            "10.0.0.1",
            "0x7f000001",
            "a b.example",
            "ok.example,user@b.example",
        ] {
            assert!(ProviderHosts::parse(list).is_err(), "{list}");
        }
    }
}

//! Which addresses an outbound request may have.
//!
//! Admins choose URLs, DNS servers choose what a name means, and our functions sit next to
//! the Lambda runtime API and instance metadata. So a URL is checked when it is configured and
//! again before each request, and every address a name resolves to is checked when connecting
//! (H-30 to H-32). Pure decisions; the resolver that applies them is `oauth::resolver`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// What may be called. Set once from the stack's parameter, never from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRules {
    /// `https` to public unicast addresses.
    PublicHttps,
    /// Also the machine itself, with `http` too: for the local stack only.
    LocalToo,
}

/// Why a URL may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// Another scheme than `https`.
    #[error("must begin with https://")]
    Scheme,
    /// A user name or password, which would end up in logs and in an `Authorization` header.
    #[error("must not contain a user name or password")]
    UserInfo,
    /// A host that is not on the public internet.
    #[error("must name a host on the public internet")]
    Host,
}

impl AddressRules {
    /// Whether `url` may be called as far as its text tells. The `url` crate has already
    /// turned decimal, octal and hexadecimal spellings of an IPv4 address into one.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(self, url: &Url) -> Result<(), RefusedUrl> {
        let local = match url.host() {
            Some(Host::Domain(name)) if is_local_name(name) => true,
            // A name of one label is completed from the host's own search list, if at all.
            Some(Host::Domain(name)) if name.trim_end_matches('.').contains('.') => false,
            Some(Host::Domain(_)) => return Err(RefusedUrl::Host),
            Some(Host::Ipv4(ip)) => self.check_literal(IpAddr::V4(ip))?,
            Some(Host::Ipv6(ip)) => self.check_literal(IpAddr::V6(ip))?,
            None => return Err(RefusedUrl::Host),
        };
        if local && self == Self::PublicHttps {
            return Err(RefusedUrl::Host);
        }
        // Plain http stays on the machine even in the local stack.
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(RefusedUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RefusedUrl::UserInfo);
        }
        Ok(())
    }

    /// Whether a connection to `ip` may be made.
    pub fn allows(self, ip: IpAddr) -> bool {
        is_public(ip) || (self == Self::LocalToo && ip.is_loopback())
    }

    fn check_literal(self, ip: IpAddr) -> Result<bool, RefusedUrl> {
        if self.allows(ip) {
            Ok(ip.is_loopback())
        } else {
            Err(RefusedUrl::Host)
        }
    }
}

/// Whether a name means this machine whatever DNS says (RFC 6761 section 6.3).
pub fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an address is unicast and globally reachable by the IANA special-purpose registries.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|net| net.contains(&ip)),
        // Only one block of IPv6 is handed out as global unicast, so the test is the other way
        // round: mapped, NAT64, unique local, link local and multicast are all outside of it.
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !SPECIAL_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast.
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback: the Lambda runtime API listens here
    v4(169, 254, 0, 0, 16),  // link local: instance and task metadata
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // IETF protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarking
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, limited broadcast
];

/// IANA IPv6 Global Unicast Address Space.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// IANA IPv6 Special-Purpose Address Registry, as far as it lies in [`GLOBAL_V6`].
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // IETF protocol assignments, Teredo
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4: carries an IPv4 address that could be private
    v6(0x3fff, 0, 0, 20),     // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: AddressRules, url: &str) -> Result<(), RefusedUrl> {
        rules.check(&Url::parse(url).unwrap())
    }

    #[test]
    fn h31_no_special_purpose_address_is_public() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn addresses_of_real_providers_are_public() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2620:fe::fe",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn h30_only_https_is_called() {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "ws://example.com/",
            "gopher://example.com/",
        ] {
            assert_eq!(
                check(AddressRules::PublicHttps, url),
                Err(RefusedUrl::Scheme),
                "{url}"
            );
            assert_eq!(
                check(AddressRules::LocalToo, url),
                Err(RefusedUrl::Scheme),
                "{url}"
            );
        }
        for url in [
            "file:///proc/self/environ",
            "data:text/plain,x",
            "unix:/run/x",
        ] {
            assert!(check(AddressRules::LocalToo, url).is_err(), "{url}");
        }
        assert_eq!(
            check(AddressRules::PublicHttps, "https://example.com/"),
            Ok(())
        );
        assert_eq!(
            check(
                AddressRules::PublicHttps,
                "https://example.com@evil.example/"
            ),
            Err(RefusedUrl::UserInfo)
        );
    }

    #[test]
    fn h31_every_spelling_of_a_local_address_is_refused() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://0/",
            "https://127.0.0.1./",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://localhost/",
            "https://LOCALHOST/",
            "https://localhost./",
            "https://a.localhost/",
            "https://metadata/",
            "https://intranet./token",
            "https://+/",
            "https://１２７.０.０.１/",
            "https://127。0。0。1/",
            "https://%6c%6f%63alhost/",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert_eq!(
                check(AddressRules::PublicHttps, url),
                Err(RefusedUrl::Host),
                "{url}"
            );
        }
    }

    #[test]
    fn h32_the_lambda_runtime_api_cannot_be_called() {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://127.0.0.1:9001/2018-06-01/runtime/invocation/next");
            assert_eq!(
                check(AddressRules::PublicHttps, &url),
                Err(RefusedUrl::Host)
            );
        }
    }

    #[test]
    fn the_local_stack_may_call_the_machine_itself_and_nothing_else_private() {
        for url in [
            "http://127.0.0.1:8080/",
            "http://localhost:8080/",
            "https://demo.localhost/",
            "http://[::1]:8080/",
            "https://example.com/",
        ] {
            assert_eq!(check(AddressRules::LocalToo, url), Ok(()), "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "https://169.254.169.254/",
            "https://[fd00:ec2::254]/",
        ] {
            assert_eq!(
                check(AddressRules::LocalToo, url),
                Err(RefusedUrl::Host),
                "{url}"
            );
        }
    }
}

//! What an admin of some workspace might try so that a secret goes elsewhere (H-35, A-13, A-14).

use url::Url;

use super::*;

fn id(text: &str) -> ProviderId {
    ProviderId::parse(text).unwrap()
}

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn resolved(provider: &str, pairs: &[(&str, &str)]) -> Result<Provider, ConfigError> {
    resolve(&id(provider), &config(pairs), AddressRules::PublicHttps)
}

fn custom(more: &[(&str, &str)]) -> Result<Provider, ConfigError> {
    let minimal = [
        ("authorize_url", "https://auth.example.com/authorize"),
        ("token_url", "https://auth.example.com/token"),
    ];
    resolved("custom", &[&minimal[..], more].concat())
}

/// H-35, A-14: what must not become part of a host.
const HOSTILE_HOSTS: [&str; 26] = [
    "",
    " ",
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com%2f",
    "evil.com%2ehost",
    "evil.com\\",
    "evil.com:8443",
    "user@evil.com",
    "evil.com@host",
    "a..b.com",
    ".evil.com",
    "evil.com.",
    "-evil.com",
    "evil-.com",
    "EVIL.com",
    "evil。com",
    "évil.com",
    "evil.com\n",
    "127.0.0.1",
    "[::1]",
    "evil.com\t",
    "evil.com%00",
    "{host}",
    "xn--a",
];

#[test]
fn h35_a_host_field_takes_a_host_name_and_nothing_else() {
    let long = format!("{}.com", "a".repeat(64));
    for host in HOSTILE_HOSTS.iter().copied().chain([
        long.as_str(),
        "localhost",
        "gitlab.localhost",
        "2130706433",
        "0x7f000001",
        "xn--.com",
    ]) {
        let error = resolved("gitlab", &[("host", host)]).expect_err(host);
        assert_eq!(error.field(), Some("host"), "{host:?}");
    }
    let gitlab = resolved("gitlab", &[("host", "gitlab.example.com")]).unwrap();
    assert_eq!(
        gitlab.token.url.as_str(),
        "https://gitlab.example.com/oauth/token"
    );
    let defaulted = resolved("gitlab", &[]).unwrap();
    assert_eq!(defaulted.token.url.host_str(), Some("gitlab.com"));
}

#[test]
fn h35_a_salesforce_host_ends_in_salesforce_com() {
    for host in HOSTILE_HOSTS.iter().copied().chain([
        "evil.com",
        "salesforce.com",
        "evilsalesforce.com",
        "login.salesforce.com.evil.com",
        "my.salesforce.com",
        "a.b.my.salesforce.com",
        "evil.com/login.salesforce.com",
        "evil.com#.my.salesforce.com",
    ]) {
        assert!(
            resolved("salesforce", &[("host", host)]).is_err(),
            "{host:?}"
        );
    }
    for host in [
        "test.salesforce.com",
        "acme.my.salesforce.com",
        "acme--uat.sandbox.my.salesforce.com",
    ] {
        let provider = resolved("salesforce", &[("host", host)]).expect(host);
        assert_eq!(provider.authorize.url.host_str(), Some(host));
        assert_eq!(provider.token.url.host_str(), Some(host));
    }
}

#[test]
fn h35_a_tenant_cannot_leave_its_place_in_the_path() {
    for tenant in [
        "", "a/b", "..", "../x", "a?b", "a#b", "%2e%2e", "a%2fb", "{tenant}",
    ] {
        assert!(
            resolved("microsoft", &[("tenant", tenant)]).is_err(),
            "{tenant:?}"
        );
    }
    let provider = resolved("microsoft", &[("tenant", "contoso.onmicrosoft.com")]).unwrap();
    assert_eq!(
        provider.token.url.as_str(),
        "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    );
}

#[test]
fn a13_custom_urls_are_public_https_endpoints() {
    for url in [
        "http://auth.example.com/token",
        "https://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
        "https://169.254.169.254/latest/meta-data/",
        "https://0x7f000001/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost./token",
        "https://auth.example.com/token#x",
        "https://user:pw@auth.example.com/token",
        "file:///proc/self/environ",
        "//auth.example.com/token",
        "javascript:alert(1)",
        "",
    ] {
        for field in [
            "authorize_url",
            "token_url",
            "revoke_url",
            "userinfo_url",
            "issuer",
            "exchange_url",
        ] {
            let pairs = [("exchange_grant_type", "x"), (field, url)];
            let error = custom(&pairs).expect_err(url);
            assert_eq!(error.field(), Some(field), "{url}");
        }
    }
}

/// Of every template: a blank takes no more than a part of a host or path, whatever is typed.
#[test]
fn h35_a14_in_no_template_a_value_leaves_its_blank() {
    let mut refused = 0;
    for (name, _) in TEMPLATES {
        let template = template(name).unwrap();
        let examples = || {
            let fields = template.fields.iter();
            fields.map(|field| (field.name.as_str(), field.example.as_str()))
        };
        for field in template
            .fields
            .iter()
            .filter(|field| field.pattern.is_some())
        {
            for value in HOSTILE_HOSTS
                .iter()
                .copied()
                .chain(["a.b", "xn--p1ai", "evil.com"])
            {
                let mut pairs: Vec<_> = examples().collect();
                pairs.retain(|(name, _)| *name != field.name);
                pairs.push((&field.name, value));
                let Ok(provider) = resolved(name, &pairs) else {
                    refused += 1;
                    continue;
                };
                for endpoint in provider.endpoints().into_iter().flatten() {
                    let url = Url::parse(endpoint).unwrap();
                    let host = url.host_str().unwrap();
                    assert!(!host.contains(['/', '@', ':', '%']), "{name}: {host}");
                    assert_eq!(url.port(), None, "{name}: {value:?}");
                    let stranger = host == "evil.com" || host.ends_with(".evil.com");
                    let by_admin = field.asked == catalogue_format::AskedOf::Admin;
                    assert!(!stranger || by_admin, "{name}: {host}");
                }
            }
        }
    }
    assert!(refused > 60, "{refused}");
}

/// nothing that a provider says about itself, or about us, is fetched.
#[test]
fn a28_there_is_no_field_for_an_address_that_would_be_fetched() {
    for field in [
        "jwks_uri",
        "logo_uri",
        "registration_endpoint",
        "client_uri",
        "tos_uri",
    ] {
        let error = custom(&[(field, "https://auth.example.com/x")]).unwrap_err();
        assert_eq!(error.field(), Some(field));
    }
}

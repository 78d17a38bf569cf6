//! What an issuer publishes about itself (RFC 8414, OpenID Connect Discovery), as the `config` of
//! a `custom` provider.
//!
//! It is read when a connector is made or its `config` is sent, and what it says becomes that
//! `config`: no flow depends on it later, and an issuer that moves its endpoints moves nobody's
//! secret or tokens along (H-37, H-38).

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::custom;
use crate::domain::ids::ProviderId;

/// The fields that say where requests go. All of them are the issuer's or all of them the admin's:
/// an endpoint is only as good as the issuer it was read from (RFC 8414 section 3.3).
const ENDPOINTS: [&str; 6] = [
    "authorize_url",
    "exchange_url",
    "jwks_url",
    "revoke_url",
    "token_url",
    "userinfo_url",
];

/// Why a metadata document is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// Not JSON, or not of the form that the RFC gives it.
    #[error("it is no metadata document")]
    Unreadable,
    /// It is another issuer's (RFC 8414 section 3.3, H-36).
    #[error("its issuer is not the one that was given, character for character")]
    OtherIssuer,
    /// There is no code flow to be had.
    #[error("it does not list the response type code")]
    NoCode,
    /// PKCE is offered, but not with S256.
    #[error("it lists code challenge methods without S256")]
    NoS256,
    /// The token endpoint takes no client secret.
    #[error("it lists neither client_secret_basic nor client_secret_post")]
    NoClientSecret,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    jwks_uri: Option<String>,
    response_types_supported: Vec<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The issuer that `config` leaves its endpoints to.
pub fn issuer_to_ask<'a>(
    provider: &ProviderId,
    config: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let by_hand = ENDPOINTS.iter().any(|field| config.contains_key(*field));
    let issuer = config.get("issuer")?;
    (provider.as_str() == custom::ID && !by_hand).then_some(issuer)
}

/// Where an issuer's metadata may be: as RFC 8414 section 3.1 has it, with the well-known part
/// before the issuer's path, and as OpenID Connect Discovery section 4 has it, with it behind.
pub fn metadata_urls(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    [
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
    ]
}

/// `config` with what an issuer's `document` says. What the admin has given stays as it is.
///
/// # Errors
/// [`MetadataFault`]; that its endpoints may be called is for [`resolve`](super::resolve) to say.
pub fn discovered(
    issuer: &str,
    document: &[u8],
    config: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, MetadataFault> {
    // Members that are skipped are not looked at, so that their bytes could be anything: a
    // document is UTF-8 or none (RFC 8259 section 8.1).
    let document = str::from_utf8(document).map_err(|_| MetadataFault::Unreadable)?;
    let metadata: Metadata =
        serde_json::from_str(document).map_err(|_| MetadataFault::Unreadable)?;
    if metadata.issuer != issuer {
        return Err(MetadataFault::OtherIssuer);
    }
    if !lists(&metadata.response_types_supported, "code") {
        return Err(MetadataFault::NoCode);
    }
    // Where none are listed PKCE may be known all the same, and is ignored where it is not.
    let methods = metadata.code_challenge_methods_supported.as_deref();
    let without_pkce = config.get("pkce").is_some_and(|pkce| pkce == "off");
    if methods.is_some_and(|methods| !lists(methods, "S256")) && !without_pkce {
        return Err(MetadataFault::NoS256);
    }
    let auth = client_auth(metadata.token_endpoint_auth_methods_supported.as_deref());
    let auth = match config.get("token_auth") {
        Some(given) => given,
        None => auth.ok_or(MetadataFault::NoClientSecret)?,
    };
    let promised = metadata.authorization_response_iss_parameter_supported;
    let found = [
        ("authorize_url", Some(metadata.authorization_endpoint)),
        ("token_url", Some(metadata.token_endpoint)),
        ("revoke_url", metadata.revocation_endpoint),
        ("userinfo_url", metadata.userinfo_endpoint),
        ("jwks_url", metadata.jwks_uri),
        ("token_auth", Some(auth.to_owned())),
        ("iss", promised.then(|| "promised".to_owned())),
    ];
    let mut config = config.clone();
    for (field, value) in found {
        if let Some(value) = value {
            config.entry(field.to_owned()).or_insert(value);
        }
    }
    Ok(config)
}

fn lists(values: &[String], wanted: &str) -> bool {
    values.iter().any(|value| value == wanted)
}

/// How to send the client secret: in the header where both ways are listed (RFC 6749 section
/// 2.3.1), and where none is, which means the header (RFC 8414 section 2).
fn client_auth(methods: Option<&[String]>) -> Option<&'static str> {
    match methods {
        None => Some("basic"),
        Some(methods) if lists(methods, "client_secret_basic") => Some("basic"),
        Some(methods) if lists(methods, "client_secret_post") => Some("post"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://as.example/tenant";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://as.example/authorize",
            "token_endpoint": "https://as.example/token",
            "response_types_supported": ["code", "code id_token"],
        })
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter().chain(&[("issuer", ISSUER)]);
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn read(document: &Value, pairs: &[(&str, &str)]) -> Result<Value, MetadataFault> {
        let found = discovered(ISSUER, document.to_string().as_bytes(), &given(pairs))?;
        Ok(json!(found))
    }

    #[test]
    fn h36_the_shortest_document_makes_a_provider() {
        let found = read(&document(), &[]).unwrap();
        let expected = json!({
            "issuer": ISSUER,
            "authorize_url": "https://as.example/authorize",
            "token_url": "https://as.example/token",
            "token_auth": "basic",
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn h36_everything_a_document_tells_is_taken_but_for_what_the_admin_said() {
        let mut document = document();
        let told = json!({
            "revocation_endpoint": "https://as.example/revoke",
            "userinfo_endpoint": "https://as.example/me",
            "jwks_uri": "https://as.example/keys",
            "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
            "authorization_response_iss_parameter_supported": true,
            "registration_endpoint": "https://as.example/register",
        });
        let told = told.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(told);
        let found = read(&document, &[("scope_separator", "comma")]).unwrap();
        for (field, value) in [
            ("revoke_url", "https://as.example/revoke"),
            ("userinfo_url", "https://as.example/me"),
            ("jwks_url", "https://as.example/keys"),
            ("token_auth", "post"),
            ("iss", "promised"),
            ("scope_separator", "comma"),
        ] {
            assert_eq!(found[field], value, "{field}");
        }
        let found = read(&document, &[("token_auth", "basic"), ("iss", "optional")]);
        let found = found.unwrap();
        assert_eq!([&found["token_auth"], &found["iss"]], ["basic", "optional"]);
    }

    #[test]
    fn h36_r33_a_document_of_another_issuer_is_not_used() {
        for other in [
            "https://as.example/tenant/",
            "https://AS.example/tenant",
            "https://as.example:443/tenant",
            "https://as.example/%74enant",
            "http://as.example/tenant",
            "https://honest.example",
            "",
        ] {
            let mut document = document();
            document["issuer"] = json!(other);
            let refused = read(&document, &[]);
            assert_eq!(refused, Err(MetadataFault::OtherIssuer), "{other}");
        }
    }

    #[test]
    fn h36_a_document_without_what_a_connect_needs_is_not_used() {
        let table = [
            ("issuer", Value::Null, MetadataFault::Unreadable),
            ("token_endpoint", Value::Null, MetadataFault::Unreadable),
            (
                "authorization_endpoint",
                json!(7),
                MetadataFault::Unreadable,
            ),
            (
                "response_types_supported",
                Value::Null,
                MetadataFault::Unreadable,
            ),
            (
                "response_types_supported",
                json!(["token"]),
                MetadataFault::NoCode,
            ),
            (
                "code_challenge_methods_supported",
                json!(["plain"]),
                MetadataFault::NoS256,
            ),
            (
                "token_endpoint_auth_methods_supported",
                json!(["private_key_jwt", "none"]),
                MetadataFault::NoClientSecret,
            ),
        ];
        for (member, value, fault) in table {
            let mut document = document();
            document[member] = value;
            assert_eq!(read(&document, &[]), Err(fault), "{member}");
        }
        let twice = format!(r#"{{"issuer":"{ISSUER}","issuer":"{ISSUER}"}}"#);
        for text in ["", "<html>", "[]", "null", &twice] {
            let refused = discovered(ISSUER, text.as_bytes(), &given(&[]));
            assert_eq!(refused, Err(MetadataFault::Unreadable), "{text}");
        }
        let mut bytes = document().to_string().into_bytes();
        bytes.splice(1..1, *b"\"x\":\"\xff\",");
        let refused = discovered(ISSUER, &bytes, &given(&[]));
        assert_eq!(refused, Err(MetadataFault::Unreadable), "not UTF-8");
        let mut plain = document();
        plain["code_challenge_methods_supported"] = json!(["plain"]);
        assert!(
            read(&plain, &[("pkce", "off")]).is_ok(),
            "the admin said so"
        );
    }

    #[test]
    fn h36_metadata_is_where_the_two_standards_have_it() {
        let urls = |issuer: &str| {
            let urls = metadata_urls(&Url::parse(issuer).unwrap());
            urls.map(String::from)
        };
        for issuer in ["https://as.example", "https://as.example/"] {
            assert_eq!(
                urls(issuer),
                [
                    "https://as.example/.well-known/oauth-authorization-server",
                    "https://as.example/.well-known/openid-configuration",
                ]
            );
        }
        for issuer in ["https://as.example/a/b", "https://as.example/a/b/"] {
            assert_eq!(
                urls(issuer),
                [
                    "https://as.example/.well-known/oauth-authorization-server/a/b",
                    "https://as.example/a/b/.well-known/openid-configuration",
                ]
            );
        }
    }

    #[test]
    fn an_issuer_is_asked_only_where_no_endpoint_was_given() {
        let custom = ProviderId::parse("custom").unwrap();
        assert_eq!(issuer_to_ask(&custom, &given(&[])), Some(ISSUER));
        assert_eq!(issuer_to_ask(&custom, &BTreeMap::new()), None);
        for field in ENDPOINTS {
            let by_hand = given(&[(field, "https://as.example/x")]);
            assert_eq!(issuer_to_ask(&custom, &by_hand), None, "{field}");
        }
        let google = ProviderId::parse("google").unwrap();
        assert_eq!(issuer_to_ask(&google, &given(&[])), None);
    }
}

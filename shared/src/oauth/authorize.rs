//! The authorization request: where the browser is sent, and the PKCE pair that ties the code
//! to this flow.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::domain::provider::{Authorize, Provider, ScopeEncoding};
use crate::domain::scopes::ScopeList;
use crate::domain::secret::Secret;
use crate::ports::Entropy;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What an authorization request says.
#[derive(Debug)]
pub struct AuthorizeRequest<'a> {
    /// The provider.
    pub provider: &'a Provider,
    /// The connector's client.
    pub client_id: &'a str,
    /// The connector's own redirect URI (H-06).
    pub redirect_uri: &'a Url,
    /// The scopes to ask for.
    pub scopes: &'a ScopeList,
    /// The flow's `state`.
    pub state: &'a Secret,
    /// The challenge of [`pkce`], for providers that take one.
    pub pkce_challenge: Option<&'a str>,
    /// What the ID token has to repeat (OpenID Connect Core section 3.1.2.1).
    pub nonce: Option<&'a Secret>,
    /// Whom the provider may expect (OpenID Connect Core section 3.1.2.1).
    pub login_hint: Option<&'a str>,
}

/// The URL to send the browser to.
///
/// Neither the provider's extra parameters nor the query of its endpoint can set a parameter of
/// the protocol: they are dropped, so that each stands in the URL once and is ours (H-15).
pub fn authorize_url(request: &AuthorizeRequest<'_>) -> Url {
    let profile = &request.provider.authorize;
    let client = BasicClient::new(ClientId::new(request.client_id.to_owned()))
        .set_auth_uri(AuthUrl::from_url(without_reserved_query(request)));
    let mut authorization = client
        .authorize_url(|| CsrfToken::new(request.state.expose().to_owned()))
        .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(
            request.redirect_uri.clone(),
        )));
    if let Some(challenge) = request.pkce_challenge {
        authorization = authorization
            .add_extra_param("code_challenge", challenge)
            .add_extra_param("code_challenge_method", "S256");
    }
    if let Some(mode) = profile.response_mode {
        authorization = authorization.add_extra_param("response_mode", mode.as_str());
    }
    if let Some(nonce) = request.nonce {
        authorization = authorization.add_extra_param("nonce", nonce.expose());
    }
    if let Some(hint) = request.login_hint {
        authorization = authorization.add_extra_param("login_hint", hint);
    }
    for (name, value) in &profile.params {
        let given_above = name == "login_hint" && request.login_hint.is_some();
        if !profile.reserves(name) && !given_above {
            authorization = authorization.add_extra_param(name.as_str(), value.as_str());
        }
    }
    let mut url = authorization.url().0;
    rename(&mut url, profile);
    add_scopes(&mut url, request);
    url
}

/// Leaves out of the query what the provider does not want, and calls the rest as it does.
fn rename(url: &mut Url, profile: &Authorize) {
    if profile.rename.is_empty() && profile.omit.is_empty() {
        return;
    }
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !profile.omit.iter().any(|omitted| omitted == name))
        .map(|(name, value)| {
            let own = profile.rename.get(name.as_ref()).cloned();
            (own.unwrap_or_else(|| name.into_owned()), value.into_owned())
        })
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
}

/// Not by the crate, which knows neither other separators nor other parameters.
fn add_scopes(url: &mut Url, request: &AuthorizeRequest<'_>) {
    let profile = &request.provider.authorize;
    if request.scopes.is_empty() || profile.omit.iter().any(|name| name == "scope") {
        return;
    }
    let (name, separator) = (&profile.scope_param, &profile.scope_separator);
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let separator = match profile.scope_encoding {
        ScopeEncoding::Form => {
            let scopes = request.scopes.join(separator);
            url.query_pairs_mut().append_pair(name, &scopes);
            return;
        }
        ScopeEncoding::Percent => encoded(separator),
        ScopeEncoding::Raw => separator.clone(),
    };
    let scopes: Vec<String> = request.scopes.iter().map(encoded).collect();
    let query = url.query().unwrap_or_default();
    let query = format!("{query}&{name}={}", scopes.join(&separator));
    url.set_query(Some(&query));
}

fn without_reserved_query(request: &AuthorizeRequest<'_>) -> Url {
    let profile = &request.provider.authorize;
    let mut url = profile.url.clone();
    if url.query_pairs().any(|(name, _)| profile.reserves(&name)) {
        let kept: Vec<(String, String)> = profile
            .url
            .query_pairs()
            .filter(|(name, _)| !profile.reserves(name))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    url
}

/// A fresh PKCE verifier and its S256 challenge (RFC 7636 section 4): 256 random bits, written
/// in 43 characters of the unreserved set (H-05).
pub fn pkce(entropy: &dyn Entropy) -> (Secret, String) {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(bytes.as_mut());
    let verifier = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref()));
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(
        verifier.expose().to_owned(),
    ));
    (verifier, challenge.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::catalogue;
    use crate::domain::address::AddressRules;
    use crate::domain::ids::ProviderId;
    use crate::domain::provider::ResponseMode;

    fn provider(id: &str) -> Provider {
        let id = ProviderId::parse(id).unwrap();
        catalogue::resolve(&id, &BTreeMap::new(), AddressRules::PublicHttps).unwrap()
    }

    fn query(provider: &Provider, challenge: Option<&str>) -> Vec<(String, String)> {
        let url = authorize_url(&AuthorizeRequest {
            provider,
            client_id: "client 1",
            redirect_uri: &Url::parse("https://grantry.example/oauth/callback/c1").unwrap(),
            scopes: &ScopeList::parse(["read", "write:all"]).unwrap(),
            state: &Secret::new("st&te"),
            pkce_challenge: challenge,
            nonce: None,
            login_hint: Some("a@b.example"),
        });
        url.query_pairs().into_owned().collect()
    }

    fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut values = pairs.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    #[test]
    fn the_request_says_what_the_protocol_and_the_provider_want() {
        let pairs = query(&provider("google"), Some("challenge"));
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "client 1"),
            ("redirect_uri", "https://grantry.example/oauth/callback/c1"),
            ("state", "st&te"),
            ("scope", "read write:all"),
            ("code_challenge", "challenge"),
            ("code_challenge_method", "S256"),
            ("login_hint", "a@b.example"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ] {
            assert_eq!(one(&pairs, name), Some(value), "{name}");
        }
    }

    #[test]
    fn scopes_go_where_and_how_the_provider_wants_them() {
        let pairs = query(&provider("slack"), None);
        assert_eq!(one(&pairs, "user_scope"), Some("read,write:all"));
        assert_eq!(one(&pairs, "scope"), None);
        assert_eq!(one(&pairs, "code_challenge"), None);
    }

    #[test]
    fn h15_provider_parameters_and_endpoint_query_never_override_the_protocol() {
        let mut hostile = provider("slack");
        let names = [
            "client_id",
            "redirect_uri",
            "state",
            "response_type",
            "response_mode",
            "code_challenge",
            "code_challenge_method",
            "scope",
            "user_scope",
            "nonce",
            "resource",
            "State",
            "request_uri",
            "login_hint",
        ];
        hostile.authorize.params = names.map(|name| (name.into(), "evil".into())).into();
        hostile.authorize.response_mode = Some(ResponseMode::FormPost);
        let pollution = names.map(|name| format!("{name}=evil")).join("&");
        hostile.authorize.url =
            Url::parse(&format!("https://p.example/a?keep=1&{pollution}")).unwrap();
        let pairs = query(&hostile, Some("challenge"));
        let evil: Vec<&str> = pairs
            .iter()
            .filter(|(_, value)| value == "evil")
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            evil,
            ["login_hint"],
            "the hint in the endpoint's query is no protocol's"
        );
        assert_eq!(one(&pairs, "state"), Some("st&te"));
        assert_eq!(one(&pairs, "response_mode"), Some("form_post"));
        assert_eq!(one(&pairs, "keep"), Some("1"));
        assert_eq!(one(&pairs, "user_scope"), Some("read,write:all"));
    }

    #[test]
    fn scopes_are_written_as_the_provider_reads_them() {
        let url = |separator: &str, encoding| {
            let mut provider = provider("github");
            provider.authorize.scope_separator = separator.into();
            provider.authorize.scope_encoding = encoding;
            let url = authorize_url(&AuthorizeRequest {
                provider: &provider,
                client_id: "c",
                redirect_uri: &Url::parse("https://grantry.example/cb").unwrap(),
                scopes: &ScopeList::parse(["a.read", "https://x/b"]).unwrap(),
                state: &Secret::new("s"),
                pkce_challenge: None,
                nonce: None,
                login_hint: None,
            });
            url.query()
                .unwrap()
                .rsplit_once("&scope=")
                .unwrap()
                .1
                .to_owned()
        };
        for (separator, encoding, expected) in [
            (" ", ScopeEncoding::Form, "a.read+https%3A%2F%2Fx%2Fb"),
            (" ", ScopeEncoding::Percent, "a.read%20https%3A%2F%2Fx%2Fb"),
            (",", ScopeEncoding::Form, "a.read%2Chttps%3A%2F%2Fx%2Fb"),
            (",", ScopeEncoding::Raw, "a.read,https%3A%2F%2Fx%2Fb"),
            ("+", ScopeEncoding::Raw, "a.read+https%3A%2F%2Fx%2Fb"),
        ] {
            assert_eq!(
                url(separator, encoding),
                expected,
                "{separator:?} {encoding:?}"
            );
        }
    }

    #[test]
    fn a_provider_calls_parameters_what_it_likes_and_leaves_some_out() {
        let mut renaming = provider("google");
        renaming.authorize.rename = [("client_id".to_owned(), "app_id".to_owned())].into();
        renaming.authorize.omit = vec!["response_type".into(), "scope".into()];
        // What the protocol's parameter is called is as little for others to set as it is.
        renaming
            .authorize
            .params
            .insert("app_id".into(), "evil".into());
        let pairs = query(&renaming, Some("challenge"));
        assert_eq!(one(&pairs, "app_id"), Some("client 1"));
        for name in ["client_id", "response_type", "scope"] {
            assert_eq!(one(&pairs, name), None, "{name}");
        }
        assert_eq!(one(&pairs, "state"), Some("st&te"));
        assert_eq!(one(&pairs, "access_type"), Some("offline"));
    }

    #[test]
    fn a_url_without_scopes_has_no_scope_parameter() {
        let url = authorize_url(&AuthorizeRequest {
            provider: &provider("notion"),
            client_id: "c",
            redirect_uri: &Url::parse("https://grantry.example/cb").unwrap(),
            scopes: &ScopeList::default(),
            state: &Secret::new("s"),
            pkce_challenge: None,
            nonce: None,
            login_hint: None,
        });
        assert!(!url.as_str().contains("scope"), "{url}");
        assert!(url.as_str().contains("owner=user"), "{url}");
    }

    /// Counts instead of guessing: whatever a generator gives, distinct input must stay
    /// distinct.
    struct Counter(AtomicU64);

    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let (zeros, counter) = bytes.split_at_mut(bytes.len() - 8);
            zeros.fill(0);
            counter.copy_from_slice(&next.to_be_bytes());
        }
    }

    #[test]
    fn h05_verifiers_are_unique_and_43_unreserved_characters() {
        let entropy = Counter(AtomicU64::new(u64::MAX - 50_000));
        let mut verifiers = HashSet::new();
        let mut challenges = HashSet::new();
        for _ in 0..100_000 {
            let (verifier, challenge) = pkce(&entropy);
            let verifier = verifier.expose().to_owned();
            for text in [&verifier, &challenge] {
                assert_eq!(text.len(), 43);
                assert!(
                    text.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
                );
            }
            assert!(verifiers.insert(verifier) && challenges.insert(challenge));
        }
    }

    /// RFC 7636 appendix B.
    #[test]
    fn h05_the_challenge_is_the_s256_of_the_verifier() {
        struct Appendix;
        impl Entropy for Appendix {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&[
                    116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22,
                    212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
                ]);
            }
        }
        let (verifier, challenge) = pkce(&Appendix);
        assert_eq!(
            verifier.expose(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}

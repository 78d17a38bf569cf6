//! What holds for any bytes that a stranger may send: the targets of `make fuzz`
//! (`tests/fuzz`), whose corpus every test run replays (`tests/it/corpus.rs`).
//!
//! The first bytes of an input choose among cases, the rest is what the stranger sends.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use shared::catalogue;
use shared::crypto::envelope::{Binding, SealingKey};
use shared::domain::address::AddressRules;
use shared::domain::ids::ProviderId;
use shared::domain::provider::{Provider, is_protocol_param};
use shared::domain::refresh_protocol::MAX_PAUSE;
use shared::domain::secret::{Secret, SecretBytes};
use shared::domain::session::SessionToken;
use shared::domain::time::Timestamp;
use shared::domain::token::{TokenAnswer, TokenFailure};
use shared::http::request::Query;
use shared::oauth::{read_answer, retry_after};
use url::Url;

use crate::entropy::SeededEntropy;

/// A property of any bytes. It panics where it does not hold.
pub type Property = fn(&[u8]);

/// Every property, under the name of its fuzz target and corpus.
pub const ALL: [(&str, Property); 6] = [
    ("callback_query", callback_query),
    ("envelope", envelope),
    ("metadata", metadata),
    ("retry_after", retry_after_header),
    ("template_values", template_values),
    ("token_answer", token_answer),
];

const NOW: Timestamp = Timestamp::from_millis(1_795_366_800_000);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// One of `choices`, by the first byte, and the other bytes.
fn choose<'a, 'b, T>(choices: &'a [T], data: &'b [u8]) -> (&'a T, &'b [u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    (&choices[usize::from(*first) % choices.len()], rest)
}

/// An answer of a token endpoint: a status, a provider, a body. What is read of it is tokens or a
/// failure and never both, within bounds, and says nothing of a token to who prints it.
pub fn token_answer(data: &[u8]) {
    const STATUSES: [u16; 8] = [200, 201, 302, 400, 401, 403, 429, 503];
    let (status, data) = choose(&STATUSES, data);
    let (provider, body) = choose(&["google", "slack", "github", "hubspot", "gitlab"], data);
    let provider = provider_with_defaults(provider);
    let mut response = Response::new(body.to_vec());
    *response.status_mut() = StatusCode::from_u16(*status).expect("a status");

    let answer = match read_answer(&response, &provider, NOW) {
        Ok(answer) => answer,
        Err(failure) => {
            let printed = format!("{failure:?}").len();
            assert!(printed < 100, "a failure repeats nothing of the body");
            if let TokenFailure::TryLater { after } = failure {
                assert!(after.is_none_or(|after| after <= MAX_PAUSE));
            }
            return;
        }
    };
    assert!(response.status().is_success(), "tokens with {status}");
    let whole: Value = serde_json::from_slice(body).expect("what is read is JSON");
    let error = whole.get("error").and_then(Value::as_str).unwrap_or("");
    assert_eq!(error, "", "tokens and an error");
    assert!(!answer.access_token.expose().is_empty());
    let refresh = answer.refresh_token.as_ref().map(Secret::expose);
    assert_ne!(refresh, Some(""));
    assert!(answer.lifetime.is_none_or(|life| life <= YEAR));
    assert!(answer.refresh_lifetime.is_none_or(|life| life <= 10 * YEAR));
    let mut captured = answer.connection_config.values();
    assert!(captured.all(|value| value.chars().count() <= 2048));
    if let Some(account) = &answer.account {
        assert!(account.id.chars().count() <= 255);
        assert!(!account.id.chars().any(char::is_control));
    }
    let printed = |access: Secret, refresh: Option<Secret>| {
        let answer = TokenAnswer {
            access_token: access,
            refresh_token: refresh,
            ..answer.clone()
        };
        format!("{answer:?}")
    };
    let other = printed(
        Secret::new("x"),
        answer.refresh_token.as_ref().map(|_| Secret::new("y")),
    );
    let printed = printed(answer.access_token.clone(), answer.refresh_token.clone());
    assert_eq!(printed, other, "tokens show");
}

/// The query of a callback: each parameter once and as it was written, or refused; a state of our
/// form or none.
pub fn callback_query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let params: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
    let mut once = BTreeMap::new();
    let repeated = params
        .iter()
        .any(|(name, value)| once.insert(name, value).is_some());
    let Ok(query) = Query::parse(&text) else {
        assert!(repeated, "refused for nothing");
        return;
    };
    assert!(!repeated, "of two parameters one would count");
    for (name, value) in once {
        assert_eq!(query.get(name), Some(value.as_ref()));
    }
    let Some(state) = query.get("state") else {
        return;
    };
    if let Some(token) = SessionToken::parse(state) {
        assert_eq!(token.to_secret().expose(), state, "as it was written");
        assert_eq!(token.secret.expose().len(), 43);
        let session = token.session.as_str();
        assert!(session.len() <= 64 && !session.contains(['.', '#', '/', ';', '=']));
        assert!(format!("{:?}", token.secret).len() < 20, "a state shows");
    }
}

/// An envelope: a seed, a place, and a message. What is sealed opens for its own row under its own
/// key as it was, and for no other, and not with any other bit; and what a stranger writes does
/// not open at all.
pub fn envelope(data: &[u8]) {
    const BINDING: Binding<'static> = Binding {
        stack: "stack",
        workspace: "acme",
        record_type: "connection",
        record_id: "alice",
        field: "tokens",
        generation: 7,
    };
    let (seed, rest) = data.split_first().unwrap_or((&0, &[]));
    let (place, message) = rest.split_at(rest.len().min(2));
    let place = place
        .iter()
        .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    let key = |byte: u8| SealingKey::new(1, &SecretBytes::new(vec![byte; 32])).expect("256 bits");
    let (key, other_key) = (key(*seed), key(seed.wrapping_add(1)));
    assert!(key.open(BINDING, message).is_err(), "nobody sealed this");

    let sealed = key.seal(&SeededEntropy::new(u64::from(*seed)), BINDING, message);
    let opened = key.open(BINDING, &sealed).expect("its own");
    assert_eq!(opened.expose(), message);
    assert!(other_key.open(BINDING, &sealed).is_err());
    let mut flipped = sealed.clone();
    let bit = place % (8 * sealed.len());
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(key.open(BINDING, &flipped).is_err(), "bit {bit}");
    let end = place % sealed.len();
    assert!(key.open(BINDING, &sealed[..end]).is_err(), "cut at {end}");
    let longer = [&sealed[..], b"\0"].concat();
    assert!(key.open(BINDING, &longer).is_err());
    // A text that moves from one field into the next is another binding.
    let (head, tail) = BINDING.record_id.split_at(place % BINDING.record_id.len());
    let field = format!("{tail}{}", BINDING.field);
    for elsewhere in [
        Binding {
            workspace: "globex",
            ..BINDING
        },
        Binding {
            generation: 8,
            ..BINDING
        },
        Binding {
            record_id: head,
            field: &field,
            ..BINDING
        },
    ] {
        assert!(key.open(elsewhere, &sealed).is_err());
    }
}

/// What an admin fills a provider's blanks with, a line a field. Whatever comes of it talks https
/// to hosts where the template's author, or for `custom` the address rules, would have it.
pub fn template_values(data: &[u8]) {
    const PROVIDERS: [&str; 5] = ["custom", "gitlab", "microsoft", "salesforce", "github"];
    let (id, lines) = choose(&PROVIDERS, data);
    let lines = String::from_utf8_lossy(lines);
    let fields = lines.split('\n').filter_map(|line| line.split_once('='));
    let config = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config: BTreeMap<_, _> = config.collect();
    let id = ProviderId::parse(*id).expect("an id");
    let provider = match catalogue::resolve(&id, &config, AddressRules::PublicHttps) {
        Ok(provider) => provider,
        Err(error) => {
            assert!(error.to_string().len() < 1000, "no essay: {error}");
            return;
        }
    };
    for endpoint in provider.endpoints().into_iter().flatten() {
        let url = Url::parse(endpoint).expect("an endpoint is a URL");
        assert_eq!(AddressRules::PublicHttps.check(&url), Ok(()), "{url}");
        assert!(url.scheme() == "https" && url.fragment().is_none(), "{url}");
        let mut params = url.query_pairs();
        assert!(!params.any(|(name, _)| is_protocol_param(&name)), "{url}");
        let host = url.host_str().unwrap_or_default();
        match id.as_str() {
            "github" => assert!(host == "github.com" || host == "api.github.com"),
            "microsoft" => {
                assert!(host.ends_with(".microsoftonline.com") || host == "graph.microsoft.com")
            }
            "salesforce" => assert!(host.ends_with(".salesforce.com"), "{host}"),
            "gitlab" => assert_eq!(
                host,
                config.get("host").map_or("gitlab.com", String::as_str)
            ),
            _ => assert!(host.contains('.') || host.contains(':'), "{host}"),
        }
    }
}

/// An issuer's metadata: what makes a connector is that issuer's, and goes to hosts that may be
/// called (H-36).
pub fn metadata(data: &[u8]) {
    const ISSUER: &str = "https://as.example";
    let config = BTreeMap::from([("issuer".to_owned(), ISSUER.to_owned())]);
    let Ok(found) = catalogue::discovered(ISSUER, data, &config) else {
        return;
    };
    let document: serde_json::Value = serde_json::from_slice(data).expect("it was read");
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(found["issuer"], ISSUER);
    let custom = ProviderId::parse("custom").expect("an id");
    let Ok(provider) = catalogue::resolve(&custom, &found, AddressRules::PublicHttps) else {
        return;
    };
    assert_eq!(provider.issuer.as_deref(), Some(ISSUER));
    for endpoint in provider.endpoints().into_iter().flatten() {
        let url = Url::parse(endpoint).expect("an endpoint is a URL");
        assert_eq!(AddressRules::PublicHttps.check(&url), Ok(()), "{url}");
        assert!(url.scheme() == "https" && url.fragment().is_none(), "{url}");
    }
}

/// A `Retry-After`: an hour at most, and digits mean seconds (H-75).
pub fn retry_after_header(data: &[u8]) {
    let (now, text) = data.split_at(data.len().min(4));
    let seconds = now.iter().fold(0, |sum, byte| sum * 256 + i64::from(*byte));
    let Ok(value) = HeaderValue::from_bytes(text) else {
        return;
    };
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value)]);
    let after = retry_after(&headers, Timestamp::from_millis(seconds * 1000));
    assert!(after.is_none_or(|after| after <= MAX_PAUSE), "{after:?}");
    assert_eq!(MAX_PAUSE, Duration::from_secs(3600));
    let text = std::str::from_utf8(text).unwrap_or_default();
    let text = text.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let said = text.parse().map_or(MAX_PAUSE, Duration::from_secs);
        assert_eq!(after, Some(said.min(MAX_PAUSE)));
    }
}

fn provider_with_defaults(id: &str) -> Provider {
    let id = ProviderId::parse(id).expect("an id");
    catalogue::resolve(&id, &BTreeMap::new(), AddressRules::PublicHttps)
        .expect("its fields have defaults")
}

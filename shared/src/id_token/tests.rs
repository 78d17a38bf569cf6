//! The rules one by one, with keys of every kind. tests/it/id_tokens.rs has the same tokens come
//! from a provider.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use url::Url;

use super::key_set::KeySet;
use super::*;
use crate::crypto::hash::hash;
use crate::domain::time::Timestamp;

const NOW: i64 = 1_800_000_000;

struct Stopped(Mutex<Duration>);

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW * 1000).after(self.monotonic())
    }
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    async fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
    fn is_trusted(&self) -> bool {
        true
    }
}

/// Answers in turn, and the last for ever.
struct Shelf {
    answers: Mutex<VecDeque<Result<Value, DocumentError>>>,
    read: Mutex<usize>,
}

#[async_trait]
impl Documents for Shelf {
    async fn read(&self, _: &Url) -> Result<Vec<u8>, DocumentError> {
        *self.read.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        answer.unwrap().map(|value| value.to_string().into_bytes())
    }
}

struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    public: Jwk,
}

impl Signer {
    fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        Self::new(
            EncodingKey::from_ec_der(pkcs8.as_ref()),
            Algorithm::ES256,
            kid,
        )
    }

    fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        Self::new(
            EncodingKey::from_ec_der(pkcs8.as_ref()),
            Algorithm::ES384,
            kid,
        )
    }

    fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self::new(
            EncodingKey::from_ed_der(pkcs8.as_ref()),
            Algorithm::EdDSA,
            kid,
        )
    }

    fn new(key: EncodingKey, algorithm: Algorithm, kid: &str) -> Self {
        let mut public = Jwk::from_encoding_key(&key, algorithm).unwrap();
        public.common.key_id = Some(kid.to_owned());
        Self {
            key,
            algorithm,
            public,
        }
    }

    fn sign(&self, claims: &Value, kid: Option<&str>) -> Secret {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(self.algorithm)
        };
        Secret::new(jsonwebtoken::encode(&header, claims, &self.key).unwrap())
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://as.example", "sub": "u-1", "aud": "client",
        "iat": NOW, "exp": NOW + 60, "nonce": "n-1",
    })
}

fn profile(issuer: &str) -> IdTokenProfile {
    IdTokenProfile {
        issuer: issuer.to_owned(),
        jwks_url: Url::parse("https://as.example/keys").unwrap(),
    }
}

struct Bench {
    clock: Arc<Stopped>,
    shelf: Arc<Shelf>,
    tokens: IdTokens,
    profile: IdTokenProfile,
}

impl Bench {
    fn new(answers: impl IntoIterator<Item = Result<Value, DocumentError>>) -> Self {
        let clock = Arc::new(Stopped(Mutex::default()));
        let shelf = Arc::new(Shelf {
            answers: Mutex::new(answers.into_iter().collect()),
            read: Mutex::default(),
        });
        Self {
            tokens: IdTokens::new(Arc::clone(&shelf) as _, Arc::clone(&clock) as _),
            clock,
            shelf,
            profile: profile("https://as.example"),
        }
    }

    fn with(keys: &[&Signer]) -> Self {
        Self::new([Ok(set(keys))])
    }

    async fn validate(&self, token: &Secret) -> Result<Value, Refused> {
        let nonce = hash(&Secret::new("n-1"));
        let expected = Expected {
            profile: &self.profile,
            client_id: "client",
            nonce: Some(&nonce),
        };
        let keys = self.tokens.keys(&self.profile).await.unwrap();
        self.tokens.validate(token, &expected, &keys).await
    }

    fn reads(&self) -> usize {
        *self.shelf.read.lock().unwrap()
    }

    fn pass(&self, seconds: u64) {
        *self.clock.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

fn set(keys: &[&Signer]) -> Value {
    let keys: Vec<_> = keys.iter().map(|signer| &signer.public).collect();
    json!({ "keys": keys })
}

#[tokio::test]
async fn h17_tokens_of_every_elliptic_kind_of_key_are_validated_by_it() {
    let (a, b, c) = (Signer::p256("a"), Signer::p384("b"), Signer::ed25519("c"));
    let bench = Bench::with(&[&a, &b, &c]);
    for (signer, kid) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        let token = signer.sign(&claims(), Some(kid));
        assert_eq!(bench.validate(&token).await.unwrap()["sub"], "u-1");
        // Each kind has one key here, so a name is not needed.
        let unnamed = signer.sign(&claims(), None);
        bench.validate(&unnamed).await.unwrap();
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn h17_a_key_signs_for_its_own_name_kind_and_purpose_only() {
    let (a, b) = (Signer::p256("a"), Signer::p256("b"));
    let bench = Bench::with(&[&a, &b]);
    let under_anothers_name = a.sign(&claims(), Some("b"));
    let refused = bench.validate(&under_anothers_name).await;
    assert_eq!(refused, Err(Refused::Signature));
    let refused = bench.validate(&a.sign(&claims(), None)).await;
    assert_eq!(refused, Err(Refused::UnknownKey), "either could have");

    let mut sealing = Signer::p256("a");
    sealing.public.common.public_key_use = Some(PublicKeyUse::Encryption);
    let mut reserved = Signer::p256("b");
    reserved.public.common.key_algorithm = Some(Algorithm::ES384.into());
    let bench = Bench::with(&[&sealing, &reserved]);
    for (signer, kid) in [(&sealing, "a"), (&reserved, "b")] {
        let refused = bench.validate(&signer.sign(&claims(), Some(kid))).await;
        assert_eq!(refused, Err(Refused::UnknownKey), "{kid}");
    }
}

#[tokio::test]
async fn h17_a_shared_secret_in_the_key_set_verifies_nothing() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let oct = json!({"keys": [{"kty": "oct", "kid": "a", "alg": "HS256",
        "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]});
    let bench = Bench::new([Ok(oct)]);
    let signer = Header::new(Algorithm::HS256);
    let token = jsonwebtoken::encode(&signer, &claims(), &EncodingKey::from_secret(secret));
    let refused = bench.validate(&Secret::new(token.unwrap())).await;
    assert_eq!(refused, Err(Refused::Algorithm));
}

#[tokio::test]
async fn h17_each_claim_is_compared_to_the_letter() {
    let signer = Signer::p256("a");
    let bench = Bench::with(&[&signer]);
    let table = [
        ("iss", json!("https://as.example/"), Some(Refused::Issuer)),
        ("iss", json!("https://AS.example"), Some(Refused::Issuer)),
        (
            "iss",
            json!("https://as.example:443"),
            Some(Refused::Issuer),
        ),
        (
            "iss",
            json!(["https://as.example"]),
            Some(Refused::Malformed),
        ),
        ("iss", Value::Null, Some(Refused::Malformed)),
        ("aud", json!("other"), Some(Refused::Audience)),
        ("aud", json!(["client"]), None),
        ("aud", json!([]), Some(Refused::Audience)),
        ("aud", json!(["client", "other"]), Some(Refused::Audience)),
        ("aud", Value::Null, Some(Refused::Malformed)),
        ("azp", json!("client"), None),
        ("azp", json!("other"), Some(Refused::Audience)),
        ("exp", json!(NOW - 299), None),
        ("exp", json!(NOW - 300), Some(Refused::Expired)),
        ("exp", json!("tomorrow"), Some(Refused::Malformed)),
        ("exp", Value::Null, Some(Refused::Malformed)),
        ("iat", json!(NOW + 300), None),
        ("iat", json!(NOW + 301), Some(Refused::Early)),
        ("nbf", json!(NOW + 301), Some(Refused::Early)),
        ("nonce", json!("n-2"), Some(Refused::Nonce)),
        ("nonce", Value::Null, Some(Refused::Nonce)),
        ("sub", json!(""), Some(Refused::Subject)),
        ("sub", json!("x".repeat(256)), Some(Refused::Subject)),
        ("sub", json!(7), Some(Refused::Malformed)),
    ];
    for (name, value, refused) in table {
        let mut claims = claims();
        claims[name] = value.clone();
        let answer = bench.validate(&signer.sign(&claims, Some("a"))).await;
        assert_eq!(answer.err(), refused, "{name} {value}");
    }
    let mut several = claims();
    several["aud"] = json!(["other", "client"]);
    several["azp"] = json!("client");
    bench
        .validate(&signer.sign(&several, Some("a")))
        .await
        .unwrap();
}

#[tokio::test]
async fn h17_a_nonce_that_nobody_sent_is_of_another_flow() {
    let signer = Signer::p256("a");
    let bench = Bench::with(&[&signer]);
    let keys = bench.tokens.keys(&bench.profile).await.unwrap();
    let expected = Expected {
        profile: &bench.profile,
        client_id: "client",
        nonce: None,
    };
    let token = signer.sign(&claims(), Some("a"));
    let refused = bench.tokens.validate(&token, &expected, &keys).await;
    assert_eq!(refused, Err(Refused::Nonce));
}

#[tokio::test]
async fn h17_a_tenants_issuer_is_the_one_that_the_token_and_its_key_name() {
    let signer = Signer::p256("a");
    let with_key_of = |issuer: Option<&str>| {
        let mut keys = set(&[&signer]);
        if let Some(issuer) = issuer {
            keys["keys"][0]["issuer"] = json!(issuer);
        }
        Bench {
            profile: profile("https://as.example/{tenantid}/v2.0"),
            ..Bench::new([Ok(keys)])
        }
    };
    let token = |iss: &str, tid: Value| {
        let mut claims = claims();
        claims["iss"] = json!(iss);
        claims["tid"] = tid;
        signer.sign(&claims, Some("a"))
    };
    let right = token("https://as.example/t-1/v2.0", json!("t-1"));
    for issuer in [
        None,
        Some("https://as.example/{tenantid}/v2.0"),
        Some("https://as.example/t-1/v2.0"),
    ] {
        with_key_of(issuer).validate(&right).await.unwrap();
    }
    let another = with_key_of(Some("https://as.example/t-2/v2.0"));
    assert_eq!(another.validate(&right).await, Err(Refused::Issuer));
    for (iss, tid) in [
        ("https://as.example/t-1/v2.0", json!("t-2")),
        ("https://as.example/t-1/v2.0", Value::Null),
        ("https://as.example/{tenantid}/v2.0", json!("{tenantid}")),
        ("https://as.example/../x/v2.0", json!("../x")),
    ] {
        let refused = with_key_of(None).validate(&token(iss, tid)).await;
        assert_eq!(refused, Err(Refused::Issuer), "{iss}");
    }
}

#[tokio::test]
async fn h17_what_is_no_signed_token_is_refused() {
    let signer = Signer::p256("a");
    let bench = Bench::with(&[&signer]);
    let token = signer.sign(&claims(), Some("a"));
    let (message, _) = token.expose().rsplit_once('.').unwrap();
    for text in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        message,
        &format!("{}.x", token.expose()),
    ] {
        let refused = bench.validate(&Secret::new(text)).await;
        assert_eq!(refused, Err(Refused::Malformed), "{text}");
    }
    let unsigned = bench.validate(&Secret::new(format!("{message}."))).await;
    assert_eq!(unsigned, Err(Refused::Signature));

    // An extension that must be understood (RFC 7515 section 4.1.11).
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("a".into());
    header.extras.insert("crit", json!(["b64"]));
    let token = jsonwebtoken::encode(&header, &claims(), &signer.key).unwrap();
    let refused = bench.validate(&Secret::new(token)).await;
    assert_eq!(refused, Err(Refused::Malformed));
}

#[tokio::test]
async fn h17_keys_are_read_once_in_ten_minutes_and_when_they_are_away_it_is_told() {
    let signer = Signer::p256("a");
    let down = Err(DocumentError::NoAnswer);
    let bench = Bench::new([Ok(set(&[&signer])), down, Ok(json!("nonsense"))]);
    let token = signer.sign(&claims(), Some("a"));
    for _ in 0..3 {
        bench.validate(&token).await.unwrap();
        bench.pass(59);
    }
    assert_eq!(bench.reads(), 1);
    bench.pass(600);
    let away = bench.tokens.keys(&bench.profile).await;
    assert!(matches!(away.err(), Some(NoKeys::Unread(_))));
    let nonsense = bench.tokens.keys(&bench.profile).await;
    assert!(matches!(nonsense.err(), Some(NoKeys::Unreadable)));
}

#[tokio::test]
async fn h17_keys_that_changed_are_read_again_but_not_twice_in_a_minute() {
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let bench = Bench::new([Ok(set(&[&old])), Ok(set(&[&old, &new]))]);
    let stranger = Signer::p256("stranger");
    let token = new.sign(&claims(), Some("new"));
    bench
        .validate(&old.sign(&claims(), Some("old")))
        .await
        .unwrap();
    bench.pass(59);
    assert_eq!(bench.validate(&token).await, Err(Refused::UnknownKey));
    assert_eq!(bench.reads(), 1);
    bench.pass(1);
    let claims_of_new = bench.validate(&token).await;
    assert_eq!(claims_of_new.unwrap()["sub"], "u-1");
    for _ in 0..5 {
        let token = stranger.sign(&claims(), Some("stranger"));
        assert_eq!(bench.validate(&token).await, Err(Refused::UnknownKey));
    }
    assert_eq!(bench.reads(), 2);
}

#[test]
fn keys_of_unknown_kinds_do_not_spoil_a_set() {
    let signer = Signer::p256("a");
    let mut keys = set(&[&signer]);
    let others = [
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}),
        json!({"kty": "EC", "crv": "P-521", "x": "x", "y": "y"}),
        json!({"kty": "RSA"}),
        json!(7),
    ];
    keys["keys"].as_array_mut().unwrap().extend(others);
    let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    let token = signer.sign(&claims(), Some("a"));
    let jwt = Jwt::parse(token.expose()).unwrap();
    assert_eq!(set.verify(&jwt), Ok(None));
    for text in ["", "{}", r#"{"keys":{}}"#, "[]"] {
        assert!(KeySet::parse(text.as_bytes()).is_none(), "{text}");
    }
}

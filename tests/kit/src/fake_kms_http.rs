//! KMS as its SDK sees it, on loopback: what stands behind the adapter in tests.
//!
//! It keeps the promises the vault rests on, so that breaking one is noticed: the encryption
//! context authenticates a ciphertext, a ciphertext names its key, a named key must be the right
//! one, nobody gets more than 4,096 bytes sealed. Policies, grants, aliases and signatures are
//! left out. It remembers every call with its context.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Config, Credentials, Region};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::ports::Entropy;

use crate::entropy::SeededEntropy;
use crate::loopback::{Line, Port, Serving};

/// The most that KMS seals at once.
pub const ENCRYPT_LIMIT: usize = 4096;
const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/";
/// Hexadecimal digits of a key's id.
const ID: usize = 32;

/// What is authenticated with a ciphertext, in an order of its own.
pub type Context = BTreeMap<String, String>;

/// What the service answers instead of doing what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The key is disabled.
    Disabled,
    /// The key waits for its deletion.
    PendingDeletion,
    /// No policy allows the call.
    Denied,
    /// The key cannot be reached just now.
    KeyUnavailable,
    /// Too many calls.
    Throttled,
    /// The service is broken.
    Broken,
    /// Nothing: the connection breaks.
    Silent,
    /// What was asked for, in an answer that cannot be read to its end.
    Garbled,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// `GenerateDataKey`, `Encrypt` or `Decrypt`.
    pub operation: String,
    /// Its encryption context.
    pub context: Context,
}

/// The service. Frees its port when dropped.
#[derive(Debug)]
pub struct FakeKms {
    state: Arc<Mutex<Service>>,
    url: String,
    _serving: Serving,
}

#[derive(Debug)]
struct Service {
    keys: BTreeMap<String, RandomizedNonceKey>,
    entropy: SeededEntropy,
    fault: Option<(Fault, usize)>,
    calls: Vec<Called>,
}

impl FakeKms {
    /// A service without keys. Needs a Tokio runtime.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        let port = Port::bind((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .expect("loopback has a free port");
        let state = Arc::new(Mutex::new(Service {
            keys: BTreeMap::new(),
            entropy: SeededEntropy::new(0),
            fault: None,
            calls: Vec::new(),
        }));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        Self {
            url: port.url(),
            _serving: port.serve(router),
            state,
        }
    }

    /// A client of this service that tries as often as by default, without waiting in between.
    pub fn client(&self) -> Client {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "testkit"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::ZERO))
            .build();
        Client::from_conf(config)
    }

    /// Makes a key and answers its ARN.
    pub fn create_key(&self) -> String {
        let mut service = self.service();
        let mut key = [0; 32];
        service.entropy.fill(&mut key);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes are a key");
        let id = format!("{:0ID$x}", service.keys.len() + 1);
        let arn = format!("{ARN}{id}");
        service.keys.insert(id, key);
        arn
    }

    /// Answers the next `calls` with `fault`; `usize::MAX` is for good.
    pub fn fail(&self, fault: Fault, calls: usize) {
        self.service().fault = Some((fault, calls));
    }

    /// Every call so far, also those that failed and those that a client repeated by itself.
    pub fn calls(&self) -> Vec<Called> {
        self.service().calls.clone()
    }

    /// How often an operation was called.
    pub fn count(&self, operation: &str) -> usize {
        let service = self.service();
        let of_it = service.calls.iter();
        of_it.filter(|call| call.operation == operation).count()
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<Service>) -> MutexGuard<'_, Service> {
    state.lock().expect("no holder of the service panics")
}

/// The members of the three operations' requests that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    key_id: Option<String>,
    #[serde(default)]
    encryption_context: Context,
    plaintext: Option<String>,
    ciphertext_blob: Option<String>,
}

/// An error's type in the protocol, and its status.
#[derive(Debug)]
struct Refusal(&'static str, StatusCode);

const INVALID_CIPHERTEXT: Refusal = bad_request("InvalidCiphertextException");
const INCORRECT_KEY: Refusal = bad_request("IncorrectKeyException");
const NOT_FOUND: Refusal = bad_request("NotFoundException");
const INVALID: Refusal = bad_request("ValidationException");

const fn bad_request(kind: &'static str) -> Refusal {
    Refusal(kind, StatusCode::BAD_REQUEST)
}

const fn broken(kind: &'static str) -> Refusal {
    Refusal(kind, StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"__type": self.0, "message": "refused by the fake"});
        respond(self.1, body.to_string())
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, content_type, body).into_response()
}

async fn answer(
    State(state): State<Arc<Mutex<Service>>>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    let operation = target.and_then(|it| it.strip_prefix("TrentService."));
    let (Some(operation), Ok(asked)) = (operation, serde_json::from_slice::<Asked>(&body)) else {
        return INVALID.into_response();
    };
    let (fault, done) = lock(&state).call(operation, &asked);
    let body = match done {
        Ok(body) => body.to_string(),
        Err(refusal) => return refusal.into_response(),
    };
    match fault {
        None => respond(StatusCode::OK, body),
        Some(Fault::Disabled) => bad_request("DisabledException").into_response(),
        Some(Fault::PendingDeletion) => bad_request("KMSInvalidStateException").into_response(),
        Some(Fault::Denied) => bad_request("AccessDeniedException").into_response(),
        Some(Fault::Throttled) => bad_request("ThrottlingException").into_response(),
        Some(Fault::KeyUnavailable) => broken("KeyUnavailableException").into_response(),
        Some(Fault::Broken) => broken("KMSInternalException").into_response(),
        Some(Fault::Silent) => {
            line.cut();
            pending().await
        }
        Some(Fault::Garbled) => respond(StatusCode::OK, body.replace('}', "")),
    }
}

impl Service {
    /// Counts the call and works out its answer, and says what goes wrong with it.
    fn call(&mut self, operation: &str, asked: &Asked) -> (Option<Fault>, Result<Value, Refusal>) {
        self.calls.push(Called {
            operation: operation.into(),
            context: asked.encryption_context.clone(),
        });
        let fault = self.fault.map(|(fault, _)| fault);
        self.fault = self
            .fault
            .map(|(fault, left)| (fault, left.saturating_sub(1)))
            .filter(|(_, left)| *left > 0);
        let done = match operation {
            "GenerateDataKey" => self.generate_data_key(asked),
            "Encrypt" => self.encrypt(asked),
            "Decrypt" => self.decrypt(asked),
            _ => Err(bad_request("UnknownOperationException")),
        };
        (fault, done)
    }

    fn generate_data_key(&self, asked: &Asked) -> Result<Value, Refusal> {
        let id = named_key(asked)?.ok_or(INVALID)?;
        let mut plain = [0; 32];
        self.entropy.fill(&mut plain);
        let blob = self.seal(id, &asked.encryption_context, &plain)?;
        Ok(
            json!({"KeyId": format!("{ARN}{id}"), "CiphertextBlob": blob, "Plaintext": STANDARD.encode(plain)}),
        )
    }

    fn encrypt(&self, asked: &Asked) -> Result<Value, Refusal> {
        let id = named_key(asked)?.ok_or(INVALID)?;
        let plain = decoded(asked.plaintext.as_deref())?;
        if !(1..=ENCRYPT_LIMIT).contains(&plain.len()) {
            return Err(INVALID);
        }
        let blob = self.seal(id, &asked.encryption_context, &plain)?;
        Ok(json!({"KeyId": format!("{ARN}{id}"), "CiphertextBlob": blob}))
    }

    fn decrypt(&self, asked: &Asked) -> Result<Value, Refusal> {
        let blob = decoded(asked.ciphertext_blob.as_deref())?;
        let (id, rest) = blob.split_at_checked(ID).ok_or(INVALID_CIPHERTEXT)?;
        let id = std::str::from_utf8(id).map_err(|_| INVALID_CIPHERTEXT)?;
        let key = self.keys.get(id).ok_or(INVALID_CIPHERTEXT)?;
        if named_key(asked)?.is_some_and(|named| named != id) {
            return Err(INCORRECT_KEY);
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(INVALID_CIPHERTEXT)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("12 bytes are a nonce");
        let mut plain = sealed.to_vec();
        let plain = key
            .open_in_place(nonce, aad(&asked.encryption_context), &mut plain)
            .map_err(|_| INVALID_CIPHERTEXT)?;
        Ok(json!({"KeyId": format!("{ARN}{id}"), "Plaintext": STANDARD.encode(plain)}))
    }

    /// The blob, as the protocol carries it: the key's id, a nonce, the ciphertext.
    fn seal(&self, id: &str, context: &Context, plain: &[u8]) -> Result<String, Refusal> {
        let key = self.keys.get(id).ok_or(NOT_FOUND)?;
        let mut sealed = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(aad(context), &mut sealed)
            .expect("a short message can be sealed");
        Ok(STANDARD.encode([id.as_bytes(), nonce.as_ref(), &sealed].concat()))
    }
}

/// The id of the key that a request names, by itself or in an ARN.
fn named_key(asked: &Asked) -> Result<Option<&str>, Refusal> {
    let named = asked.key_id.as_deref();
    let id = named.map(|named| named.strip_prefix(ARN).unwrap_or(named));
    match id {
        Some(id) if id.len() != ID => Err(NOT_FOUND),
        id => Ok(id),
    }
}

fn decoded(text: Option<&str>) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text.ok_or(INVALID)?).map_err(|_| INVALID)
}

/// JSON of a sorted map: one text for one context, whatever order its members came in.
fn aad(context: &Context) -> Aad<Vec<u8>> {
    Aad::from(serde_json::to_vec(context).expect("strings serialize"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::operation::decrypt::DecryptError;
    use aws_sdk_kms::primitives::Blob;

    use super::*;

    async fn seal(client: &Client, key: &str, plain: Vec<u8>) -> Result<Blob, String> {
        let call = client.encrypt().key_id(key).plaintext(Blob::new(plain));
        let answer = call
            .encryption_context("a", "1")
            .encryption_context("b", "2");
        match answer.send().await {
            Ok(answer) => Ok(answer.ciphertext_blob.unwrap()),
            Err(error) => Err(error.into_service_error().to_string()),
        }
    }

    async fn open(
        client: &Client,
        key: Option<&str>,
        context: &[(&str, &str)],
        blob: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let mut call = client.decrypt().ciphertext_blob(Blob::new(blob));
        for (name, value) in context {
            call = call.encryption_context(*name, *value);
        }
        let answer = call.set_key_id(key.map(str::to_owned)).send().await;
        answer
            .map(|answer| answer.plaintext.unwrap().into_inner())
            .map_err(|error| error.into_service_error())
    }

    #[tokio::test]
    async fn a_blob_opens_under_its_context_in_any_order_and_under_its_own_key_alone() {
        let kms = FakeKms::start().await;
        let (client, key, other) = (kms.client(), kms.create_key(), kms.create_key());
        let blob = seal(&client, &key, b"plain".to_vec()).await.unwrap();
        let blob = blob.as_ref();
        for named in [None, Some(key.as_str())] {
            let opened = open(&client, named, &[("b", "2"), ("a", "1")], blob).await;
            assert_eq!(opened.unwrap(), b"plain");
        }
        for context in [&[("a", "1")] as &[_], &[("a", "2"), ("b", "1")], &[]] {
            let refused = open(&client, None, context, blob).await.unwrap_err();
            assert!(refused.is_invalid_ciphertext_exception(), "{refused:?}");
        }
        let context = [("a", "1"), ("b", "2")];
        let refused = open(&client, Some(&other), &context, blob)
            .await
            .unwrap_err();
        assert!(refused.is_incorrect_key_exception(), "{refused:?}");
        for i in 0..blob.len() {
            let mut altered = blob.to_vec();
            altered[i] ^= 1;
            let refused = open(&client, None, &context, &altered).await.unwrap_err();
            assert!(refused.is_invalid_ciphertext_exception(), "byte {i}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sealed_beyond_the_limit_or_under_an_unknown_key() {
        let kms = FakeKms::start().await;
        let (client, key) = (kms.client(), kms.create_key());
        assert!(seal(&client, &key, vec![7; ENCRYPT_LIMIT]).await.is_ok());
        assert!(
            seal(&client, &key, vec![7; ENCRYPT_LIMIT + 1])
                .await
                .is_err()
        );
        let unknown = format!("{ARN}{:0ID$x}", 9);
        assert!(seal(&client, &unknown, vec![7]).await.is_err());
    }
}

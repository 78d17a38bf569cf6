//! ID tokens as a server issues them, and as none should.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::settings::IdTokenFlaw;
use crate::issuer::key::SigningKey;

/// The server's key, and one that it does not publish. Each is made when first asked for: most
/// tests never do, and a key takes a while.
#[derive(Default)]
pub(crate) struct Keys {
    own: OnceLock<SigningKey>,
    foreign: OnceLock<SigningKey>,
}

impl Keys {
    fn own(&self) -> &SigningKey {
        self.own.get_or_init(SigningKey::generate)
    }

    fn foreign(&self) -> &SigningKey {
        self.foreign.get_or_init(SigningKey::generate)
    }

    pub(crate) fn make(&self) {
        self.own();
        self.foreign();
    }

    /// The key set, as it is published.
    pub(crate) fn published(&self) -> Value {
        json!({ "keys": [self.own().public()] })
    }
}

/// What an ID token is to say.
pub(crate) struct Draft<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: &'a str,
    pub(crate) nonce: Option<&'a str>,
    /// What is known of the account.
    pub(crate) about: Map<String, Value>,
    /// In seconds.
    pub(crate) now: i64,
}

impl Draft<'_> {
    /// The token, with what is wrong about it.
    pub(crate) fn sign(self, keys: &Keys, flaw: Option<IdTokenFlaw>) -> String {
        let claims = Value::Object(self.claims(flaw));
        let kid = keys.own().kid();
        match flaw {
            Some(IdTokenFlaw::Text) => "not.a.token".to_owned(),
            Some(IdTokenFlaw::Unsigned) => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                let header = json!({ "alg": "none", "kid": kid });
                format!("{}.{}.", part(&header), part(&claims))
            }
            Some(IdTokenFlaw::PublicKeyAsSecret) => {
                let public = serde_json::to_vec(keys.own().public()).expect("a key is JSON");
                with_secret(&claims, kid, &public)
            }
            Some(IdTokenFlaw::ClientSecret) => {
                with_secret(&claims, kid, self.client_secret.as_bytes())
            }
            Some(IdTokenFlaw::ForeignKey) => keys.foreign().sign(&claims, kid),
            Some(IdTokenFlaw::UnknownKey) => keys.foreign().sign(&claims, keys.foreign().kid()),
            Some(IdTokenFlaw::NoKeyName) => keys.own().sign_named(&claims, None),
            Some(IdTokenFlaw::Altered) => {
                let token = keys.own().sign(&claims, kid);
                let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
                    unreachable!("a JWT has three parts")
                };
                let mut other = claims;
                other["sub"] = json!("somebody-else");
                let payload = URL_SAFE_NO_PAD.encode(other.to_string());
                format!("{header}.{payload}.{signature}")
            }
            _ => keys.own().sign(&claims, kid),
        }
    }

    fn claims(&self, flaw: Option<IdTokenFlaw>) -> Map<String, Value> {
        let mut claims = self.about.clone();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", json!(self.issuer));
        say("aud", json!(self.client_id));
        say("iat", json!(self.now));
        say("exp", json!(self.now + 3600));
        if let Some(nonce) = self.nonce {
            say("nonce", json!(nonce));
        }
        match flaw {
            Some(IdTokenFlaw::Issuer) => drop(say("iss", json!(format!("{}/", self.issuer)))),
            Some(IdTokenFlaw::Audience) => drop(say("aud", json!("another-client"))),
            Some(IdTokenFlaw::Audiences) => {
                drop(say("aud", json!([self.client_id, "another-client"])));
            }
            Some(IdTokenFlaw::AuthorizedParty) => drop(say("azp", json!("another-client"))),
            Some(IdTokenFlaw::Expired) => {
                say("iat", json!(self.now - 4200));
                say("exp", json!(self.now - 600));
            }
            Some(IdTokenFlaw::Early) => drop(say("iat", json!(self.now + 600))),
            Some(IdTokenFlaw::Nonce) => drop(say("nonce", json!("another-nonce"))),
            Some(IdTokenFlaw::NoNonce) => drop(claims.remove("nonce")),
            Some(IdTokenFlaw::Subject) => drop(say("sub", json!("somebody-else"))),
            Some(IdTokenFlaw::NoSubject) => drop(claims.remove("sub")),
            _ => {}
        }
        claims
    }
}

fn with_secret(claims: &Value, kid: &str, secret: &[u8]) -> String {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret))
        .expect("a secret signs HS256")
}

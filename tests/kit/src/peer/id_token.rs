//! ID tokens of the providers that are played: one key signs them all.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::pointer::put;
use super::role::{ACCOUNT, LABEL, Role, TENANT};
use crate::issuer::key::SigningKey;

/// Made when first asked for: few providers issue ID tokens, and a key takes a while.
#[derive(Default)]
pub(super) struct Keys(OnceLock<SigningKey>);

impl Keys {
    fn key(&self) -> &SigningKey {
        self.0.get_or_init(SigningKey::generate)
    }

    /// The key set, as it is published.
    pub(super) fn published(&self) -> Value {
        json!({ "keys": [self.key().public()] })
    }

    pub(super) fn sign(&self, role: &Role, issuer: &str, nonce: Option<&str>, now: i64) -> String {
        let seconds = now / 1000;
        let mut claims = json!({
            "iss": issuer.replace("{tenantid}", TENANT),
            "tid": TENANT,
            "aud": role.client_id,
            "iat": seconds,
            "exp": seconds + 3600,
            "nonce": nonce,
        });
        let identity = role.template.identity.as_ref();
        if let Some(identity) = identity.filter(|identity| identity.id_token) {
            put(&mut claims, &identity.id, json!(ACCOUNT));
            if let Some(label) = &identity.label {
                put(&mut claims, label, json!(LABEL));
            }
        }
        put(&mut claims, "/sub", json!(ACCOUNT));
        let key = self.key();
        key.sign(&claims, key.kid())
    }
}

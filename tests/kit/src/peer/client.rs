//! Whether a request comes from the client that was registered.

use std::collections::BTreeMap;

use aws_lc_rs::rsa;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalogue_format::RequestAuth;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::Value;

use super::call::{Call, Params, form_decoded};
use super::role::Role;
use crate::issuer::key::PKCS8_PREFIX;

/// The longest that a client's assertion may live, in seconds.
const ASSERTION_S: i64 = 300;

/// Takes the client's credentials out of a request, as `auth` has them.
pub(super) fn check(
    role: &mut Role,
    call: &Call,
    params: &mut Params,
    auth: RequestAuth,
    rename: &BTreeMap<String, String>,
    omit: &[String],
    now: i64,
) {
    let own = |name: &str| rename.get(name).map_or(name.to_owned(), Clone::clone);
    let (id, secret) = (role.client_id.clone(), role.client_secret.clone());
    let in_header = matches!(auth, RequestAuth::Basic | RequestAuth::SecretBasic);
    params.require(
        in_header == call.headers.contains_key(http::header::AUTHORIZATION),
        "Authorization is there and should not be, or the other way round",
    );
    match auth {
        RequestAuth::None => {}
        RequestAuth::Post => {
            if !omit.iter().any(|name| name == "client_id") {
                params.must_be(&own("client_id"), &id);
            }
            params.must_be(&own("client_secret"), &secret);
        }
        RequestAuth::Basic => {
            let pair = call.basic();
            let told = pair.map(|(user, password)| (form_decoded(&user), form_decoded(&password)));
            params.require(
                told == Some((id, secret)),
                "HTTP Basic names another client",
            );
        }
        RequestAuth::SecretBasic => {
            let told = call.basic();
            let fits = told.is_some_and(|(user, password)| {
                password.is_empty() && (user == secret || form_decoded(&user) == secret)
            });
            params.require(fits, "HTTP Basic does not carry the secret for a user name");
        }
        RequestAuth::Query => {
            let told = params.optional("client_id");
            params.require(
                told.is_none_or(|told| told == id),
                "the query names another client",
            );
            params.must_be("client_secret", &secret);
        }
        RequestAuth::PrivateKeyJwt => {
            let told = params.optional(&own("client_id"));
            params.require(
                told.is_none_or(|told| told == id),
                "the request names another client than its assertion",
            );
            params.must_be(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            );
            let assertion = params.take("client_assertion");
            if let Err(fault) = role.check_assertion(&assertion, now) {
                params.fault(fault);
            }
        }
    }
}

/// The key that a client signs with: RSA or P-256, as PKCS #8 in PEM (RFC 7468 section 10).
fn signing_key(pem: &str) -> Result<(EncodingKey, Algorithm), String> {
    let lines = pem.split_once("-----BEGIN PRIVATE KEY-----");
    let lines = lines.and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"));
    let (lines, _) = lines.ok_or("the client's key is no PEM")?;
    let text: String = lines.split_whitespace().collect();
    let der = STANDARD.decode(text);
    let der = der.map_err(|error| format!("the client's key: {error}"))?;
    Ok(match rsa::KeyPair::from_pkcs8(&der) {
        Ok(_) => (
            EncodingKey::from_rsa_der(&der[PKCS8_PREFIX..]),
            Algorithm::RS256,
        ),
        Err(_) => (EncodingKey::from_ec_der(&der), Algorithm::ES256),
    })
}

impl Role {
    /// RFC 7523 section 3, with the audience that is the issuer alone.
    fn check_assertion(&mut self, assertion: &str, now: i64) -> Result<(), String> {
        let (key, algorithm) = signing_key(&self.client_secret)?;
        let wrong = |error: jsonwebtoken::errors::Error| format!("the client's assertion: {error}");
        let public = Jwk::from_encoding_key(&key, algorithm).map_err(wrong)?;
        let public = DecodingKey::from_jwk(&public).map_err(wrong)?;
        // Its times are those of the tests' clock, and are looked at below.
        let mut rules = Validation::new(algorithm);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let token = jsonwebtoken::decode::<Value>(assertion, &public, &rules).map_err(wrong)?;
        let claims = token.claims;
        let issuer = self.template.issuer.clone().unwrap_or_default();
        let issuer = self.text(&issuer);
        for (name, value) in [
            ("iss", &self.client_id),
            ("sub", &self.client_id),
            ("aud", &issuer),
        ] {
            if claims[name] != *value.as_str() {
                return Err(format!("the assertion's {name} is {}", claims[name]));
            }
        }
        let (now, expiry) = (now / 1000, claims["exp"].as_i64().unwrap_or_default());
        if expiry <= now || expiry > now + ASSERTION_S {
            return Err(format!(
                "the assertion lives until {expiry}, and it is {now}"
            ));
        }
        let id = claims["jti"].as_str().unwrap_or_default();
        if id.is_empty() || !self.assertions.insert(id.to_owned()) {
            return Err("the assertion's jti is not its own".into());
        }
        Ok(())
    }
}

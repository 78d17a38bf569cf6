//! A signed JWT in its compact form (RFC 7515 section 7.1), taken apart and not believed yet.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Refused;

pub(super) struct Jwt<'a> {
    /// Made with a private key: neither `none` nor a shared secret comes this far.
    pub(super) algorithm: Algorithm,
    /// Which of the issuer's keys it names.
    pub(super) key_id: Option<String>,
    /// The claims.
    pub(super) payload: Value,
    /// What is signed.
    pub(super) message: &'a str,
    /// The signature, encoded.
    pub(super) signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11); none is.
    crit: Option<IgnoredAny>,
}

impl<'a> Jwt<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refused> {
        let (message, signature) = text.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refused::Malformed)?;
        let header: Header = decoded(header)?;
        let algorithm = Algorithm::from_str(&header.alg)
            .ok()
            .filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
            .ok_or(Refused::Algorithm)?;
        if header.crit.is_some() {
            return Err(Refused::Malformed);
        }
        Ok(Self {
            algorithm,
            key_id: header.kid,
            payload: decoded(payload)?,
            message,
            signature,
        })
    }
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refused> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part);
    let bytes = bytes.map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

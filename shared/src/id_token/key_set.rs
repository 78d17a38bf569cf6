//! An issuer's public keys (RFC 7517 section 5).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, crypto};
use serde_json::Value;

use super::Refused;
use super::jwt::Jwt;

/// The most keys that are looked at. The largest issuers have fewer than twenty.
const MAX_KEYS: usize = 100;

/// The keys of a set that sign. Keys of kinds unknown here are left out (section 5: they should
/// be ignored), and so are keys for encryption.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    jwk: Jwk,
    /// For whose tokens alone this key is good, where one set serves many tenants. No RFC has it;
    /// Microsoft's sets do.
    issuer: Option<String>,
}

impl KeySet {
    /// Reads a key set; `None` when it is none.
    pub(super) fn parse(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?;
        let keys = keys.iter().take(MAX_KEYS).filter_map(|key| {
            let issuer = key.get("issuer").and_then(Value::as_str);
            let jwk = serde_json::from_value::<Jwk>(key.clone()).ok()?;
            let signs = !matches!(
                jwk.common.public_key_use,
                Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
            );
            signs.then(|| Key {
                jwk,
                issuer: issuer.map(str::to_owned),
            })
        });
        Some(Self(keys.collect()))
    }

    /// Checks the signature; answers for whose tokens the key is, if it says so. A token that
    /// names no key is checked only where one key could have signed it (OpenID Connect Core
    /// section 10.1).
    pub(super) fn verify(&self, jwt: &Jwt<'_>) -> Result<Option<&str>, Refused> {
        let fits = |key: &&Key| key.fits(jwt.algorithm);
        let found: Vec<&Key> = match &jwt.key_id {
            Some(id) => {
                let named = |key: &&Key| key.jwk.common.key_id.as_ref() == Some(id);
                self.0.iter().filter(named).filter(fits).collect()
            }
            None => self.0.iter().filter(fits).collect(),
        };
        // Two keys of one name would be tried in an order that the issuer did not choose.
        let [key] = found[..] else {
            return Err(Refused::UnknownKey);
        };
        let decoding = DecodingKey::from_jwk(&key.jwk).map_err(|_| Refused::UnknownKey)?;
        let verified = crypto::verify(
            jwt.signature,
            jwt.message.as_bytes(),
            &decoding,
            jwt.algorithm,
        );
        match verified {
            Ok(true) => Ok(key.issuer.as_deref()),
            Ok(false) | Err(_) => Err(Refused::Signature),
        }
    }
}

impl Key {
    /// Whether the key is one for `algorithm`: of its family and, for elliptic curves, its curve,
    /// and not reserved for another algorithm.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match (&self.jwk.algorithm, algorithm) {
            (AlgorithmParameters::RSA(_), _) => algorithm.family() == AlgorithmFamily::Rsa,
            (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => {
                key.curve == EllipticCurve::P256
            }
            (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => {
                key.curve == EllipticCurve::P384
            }
            (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => {
                key.curve == EllipticCurve::Ed25519
            }
            _ => false,
        };
        let reserved = self.jwk.common.key_algorithm;
        kind && reserved.is_none_or(|only| only == algorithm.into())
    }
}

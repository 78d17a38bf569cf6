//! An RSA key that signs tokens and shows its public half as a JWK.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;

/// Length of what PKCS #8 (RFC 5208) puts before the RSA key of RFC 8017: a sequence header
/// of 4 bytes, the version (3), the algorithm identifier rsaEncryption (15), an octet string
/// header (4). Both lengths take two bytes for every key of 2048 bits.
pub(crate) const PKCS8_PREFIX: usize = 26;

pub(crate) struct SigningKey {
    signing: EncodingKey,
    public: Jwk,
    kid: String,
}

impl SigningKey {
    pub(crate) fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the system generates RSA keys");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written out");
        let signing = EncodingKey::from_rsa_der(&pkcs8.as_ref()[PKCS8_PREFIX..]);
        let mut public =
            Jwk::from_encoding_key(&signing, Algorithm::RS256).expect("the key is an RSA key");
        // RFC 7638: the name follows from the key, so a restarted issuer has another.
        let kid = public
            .thumbprint(ThumbprintHash::SHA256)
            .expect("the key has all its members");
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        debug_assert!(matches!(public.algorithm, AlgorithmParameters::RSA(_)));
        Self {
            signing,
            public,
            kid,
        }
    }

    /// A new key for somebody else, as PKCS #8 in PEM (RFC 7468 section 10).
    pub(crate) fn generate_pem() -> String {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the system generates RSA keys");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written out");
        let text = STANDARD.encode(pkcs8.as_ref());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
            .collect();
        let lines = lines.join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn public(&self) -> &Jwk {
        &self.public
    }

    pub(crate) fn sign(&self, claims: &Value, kid: &str) -> String {
        self.sign_named(claims, Some(kid))
    }

    /// The same with or without the name of a key in the header.
    pub(crate) fn sign_named(&self, claims: &Value, kid: Option<&str>) -> String {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.signing).expect("an RSA key signs RS256")
    }
}

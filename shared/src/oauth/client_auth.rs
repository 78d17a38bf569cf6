//! How a client proves itself to a provider, in every way that providers know (RFC 6749 section
//! 2.3, RFC 7523 section 2.2).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::request::{self, Unbuildable};
use crate::domain::provider::RequestAuth;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::ports::{ClientCredentials, Entropy};

/// RFC 7523 section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// For how many seconds an assertion is good.
const ASSERTION_LIFETIME: i64 = 60;

/// What a request says of its client.
pub(super) struct Proof {
    /// What authorizes the request.
    pub(super) header: Option<HeaderValue>,
    /// Members of the body, or of the query where the client is named there.
    pub(super) members: Vec<(&'static str, Secret)>,
}

/// What a proof is made with besides the client's credentials.
pub(super) struct Prover<'a> {
    /// The issuer that an assertion is for.
    pub(super) issuer: Option<&'a str>,
    /// For the name of an assertion.
    pub(super) entropy: &'a dyn Entropy,
    /// When it is made.
    pub(super) now: Timestamp,
}

impl Prover<'_> {
    /// The proof of `client`, for one request.
    ///
    /// # Errors
    /// When the credentials cannot stand where they would have to, or sign nothing.
    pub(super) fn prove(
        &self,
        auth: RequestAuth,
        client: &ClientCredentials,
    ) -> Result<Proof, Unbuildable> {
        let id = || ("client_id", Secret::new(client.client_id.as_str()));
        let (header, members) = match auth {
            RequestAuth::None => (None, Vec::new()),
            RequestAuth::Post | RequestAuth::Query => (
                None,
                vec![id(), ("client_secret", client.client_secret.clone())],
            ),
            RequestAuth::Basic => (Some(request::basic(client)?), Vec::new()),
            RequestAuth::SecretBasic => (
                Some(request::secret_basic(&client.client_secret)?),
                Vec::new(),
            ),
            RequestAuth::PrivateKeyJwt => {
                let assertion = self.assertion(client)?;
                let kind = ("client_assertion_type", Secret::new(ASSERTION_TYPE));
                (None, vec![id(), kind, ("client_assertion", assertion)])
            }
        };
        Ok(Proof { header, members })
    }

    /// A JWT that only the client can have signed. It is for the issuer and nobody else, so that
    /// no other server that is shown it can use it there (H-23).
    fn assertion(&self, client: &ClientCredentials) -> Result<Secret, Unbuildable> {
        let (algorithm, key) = signing_key(&client.client_secret).ok_or(Unbuildable)?;
        let mut name = [0; 16];
        self.entropy.fill(&mut name);
        let issued = self.now.millis().div_euclid(1000);
        let claims = Claims {
            iss: &client.client_id,
            sub: &client.client_id,
            aud: self.issuer.ok_or(Unbuildable)?,
            jti: BASE64_URL_SAFE_NO_PAD.encode(name),
            iat: issued,
            exp: issued + ASSERTION_LIFETIME,
        };
        let jwt = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key);
        jwt.map(Secret::new).map_err(|_| Unbuildable)
    }
}

/// RFC 7523 section 3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

/// Whether a client secret is a private key that assertions can be signed with: RSA or P-256, in
/// PEM (RFC 7468) as PKCS #8, or as PKCS #1 for RSA.
pub fn is_signing_key(secret: &Secret) -> bool {
    let signs = |(algorithm, key)| {
        let nothing = serde_json::json!({});
        jsonwebtoken::encode(&Header::new(algorithm), &nothing, &key).is_ok()
    };
    signing_key(secret).is_some_and(signs)
}

fn signing_key(secret: &Secret) -> Option<(Algorithm, EncodingKey)> {
    let (label, der) = pem(secret)?;
    match label {
        "RSA PRIVATE KEY" => Some((Algorithm::RS256, EncodingKey::from_rsa_der(&der))),
        "PRIVATE KEY" => {
            // RFC 5208 section 5: version, algorithm, key.
            let (info, _) = Der::read(&der)?;
            let (_version, rest) = Der::read(info.content)?;
            let (algorithm, rest) = Der::read(rest)?;
            let (key, _) = Der::read(rest)?;
            match algorithm.content {
                RSA => Some((Algorithm::RS256, EncodingKey::from_rsa_der(key.content))),
                P256 => Some((Algorithm::ES256, EncodingKey::from_ec_der(&der))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// rsaEncryption with no parameters (RFC 8017 appendix A.1).
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// id-ecPublicKey on secp256r1 (RFC 5480 section 2.1.1).
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];

/// The label and the bytes of a PEM text.
fn pem(secret: &Secret) -> Option<(&str, zeroize::Zeroizing<Vec<u8>>)> {
    let text = secret.expose().trim().strip_prefix("-----BEGIN ")?;
    let (label, rest) = text.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    (end == format!("{label}-----")).then_some(())?;
    let body: zeroize::Zeroizing<String> =
        zeroize::Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let der = BASE64_STANDARD.decode(body.as_bytes()).ok()?;
    Some((label, zeroize::Zeroizing::new(der)))
}

/// A value of the distinguished encoding rules (X.690 section 8.1).
struct Der<'a> {
    content: &'a [u8],
}

impl<'a> Der<'a> {
    /// The first value, and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [_tag, first, rest @ ..] = bytes else {
            return None;
        };
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self { content }, rest))
    }
}

#[cfg(test)]
mod tests;

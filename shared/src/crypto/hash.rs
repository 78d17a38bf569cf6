//! Random secrets and the hashes under which they are stored.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::secret::Secret;
use crate::domain::session::SecretHash;
use crate::ports::Entropy;

/// 256 random bits as 43 characters of base64url: states, tickets, cookies, completion codes,
/// the secret part of API keys (RFC 6749 section 10.10 asks for 160).
pub fn random_secret(entropy: &dyn Entropy) -> Secret {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(*bytes))
}

/// 128 random bits as 22 characters of base64url, for ids (H-24).
pub fn random_id(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A fraction from 0 up to 1, to spread retries and due times.
pub fn random_fraction(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// The SHA-256 of a secret. Enough without salt or stretching: what is hashed has 256 random
/// bits.
pub fn hash(secret: &Secret) -> SecretHash {
    digest_of(secret.expose().as_bytes())
}

/// The SHA-256 of bytes.
pub fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// The SHA-256 of a list, each part after its length, so that no two lists have the same bytes.
pub fn digest_of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Whether `secret` has the stored hash; takes the same time whatever the answer (H-49).
pub fn matches(secret: &Secret, stored: &SecretHash) -> bool {
    verify_slices_are_equal(&hash(secret), stored).is_ok()
}

//! The envelope: one sealed message, bound to the row it is stored in.
//!
//! ```text
//! salt        32 random bytes
//! key, commit = HKDF-SHA-512(ikm = workspace key, salt, info = "ucx1" || alg || SHA-256(aad)), 32 bytes each
//! ciphertext  = AES-256-GCM(key, nonce, aad, plaintext)
//! envelope    = format(1) alg(1) key version(4) salt(32) commit(32) nonce(12) ciphertext || tag(16)
//! aad         = LP("ucx1") LP(alg) LP(stack) LP(workspace) LP(record type) LP(record id)
//!               LP(field) LP(key version) LP(generation)
//! ```
//!
//! `LP` prefixes a value with its length (four bytes, big-endian), so no two bindings have the
//! same bytes. Every message has a key of its own (H-41), so a repeated nonce would be harmless;
//! it is random all the same. `commit` is compared before decryption: a ciphertext made to open
//! under two keys is refused (H-43). 98 bytes longer than the plaintext. `tests/vectors` has
//! envelopes to test another implementation with, and one in Python.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::hash::digest_of;
use crate::domain::secret::SecretBytes;
use crate::ports::Entropy;

const LABEL: &[u8] = b"ucx1";
const FORMAT: u8 = 1;
const AES_256_GCM_HKDF_SHA_512: u8 = 1;
const SALT: std::ops::Range<usize> = 6..38;
const COMMIT: std::ops::Range<usize> = 38..70;
const NONCE: std::ops::Range<usize> = 70..82;
const HEADER: usize = 82;
const TAG: usize = 16;

/// What a message is bound to: where it is stored and which one of its row it is. A ciphertext
/// that is moved to another row, field or generation does not open (H-42).
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The deployed stack.
    pub stack: &'a str,
    /// The tenant.
    pub workspace: &'a str,
    /// The kind of row.
    pub record_type: &'a str,
    /// The row.
    pub record_id: &'a str,
    /// The field of the row.
    pub field: &'a str,
    /// Which of the row's successive values.
    pub generation: u64,
}

/// A 256-bit key with its version.
pub struct SealingKey {
    version: u32,
    key: Zeroizing<[u8; 32]>,
}

impl ZeroizeOnDrop for SealingKey {}

/// Why an envelope does not open. The message is kept and reported, never overwritten (H-52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short to be an envelope.
    #[error("sealed message is truncated")]
    Truncated,
    /// A format or algorithm this version does not know.
    #[error("sealed message has an unknown format")]
    UnknownFormat,
    /// Sealed under a key version that is not at hand.
    #[error("sealed message needs key version {0}")]
    OtherKeyVersion(u32),
    /// Altered, or sealed under another key or for another row.
    #[error("sealed message is not authentic here")]
    NotAuthentic,
}

impl SealingKey {
    /// A key from 256 bits; `None` when there are more or fewer.
    pub fn new(version: u32, bytes: &SecretBytes) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.expose().len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes.expose());
        Some(Self { version, key })
    }

    /// The version written into what this key seals.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals `plaintext` for `binding`.
    pub fn seal(&self, entropy: &dyn Entropy, binding: Binding<'_>, plaintext: &[u8]) -> Vec<u8> {
        let mut envelope = vec![FORMAT, AES_256_GCM_HKDF_SHA_512];
        envelope.extend(self.version.to_be_bytes());
        envelope.resize(HEADER, 0);
        entropy.fill(&mut envelope[SALT]);
        entropy.fill(&mut envelope[NONCE]);

        let aad = associated_data(binding, self.version);
        let derived = self.derive(&envelope[SALT], &aad);
        envelope[COMMIT].copy_from_slice(&derived[32..]);
        let nonce = nonce_of(&envelope);
        let mut sealed = plaintext.to_vec();
        let tag = message_key(&derived)
            .seal_in_place_separate_tag(nonce, Aad::from(&aad), &mut sealed)
            .expect("AES-256-GCM seals any message that fits in memory");
        envelope.extend(sealed);
        envelope.extend(tag.as_ref());
        envelope
    }

    /// Opens what was sealed for the same binding under this key.
    ///
    /// # Errors
    /// [`OpenError`]; a wrong key, row or byte all read as [`OpenError::NotAuthentic`].
    pub fn open(&self, binding: Binding<'_>, envelope: &[u8]) -> Result<SecretBytes, OpenError> {
        let version = key_version(envelope)?;
        if version != self.version {
            return Err(OpenError::OtherKeyVersion(version));
        }
        let aad = associated_data(binding, version);
        let derived = self.derive(&envelope[SALT], &aad);
        verify_slices_are_equal(&derived[32..], &envelope[COMMIT])
            .map_err(|_| OpenError::NotAuthentic)?;
        let mut message = envelope[HEADER..].to_vec();
        let length = message_key(&derived)
            .open_in_place(nonce_of(envelope), Aad::from(&aad), &mut message)
            .map_err(|_| OpenError::NotAuthentic)?
            .len();
        message.truncate(length);
        Ok(SecretBytes::new(message))
    }

    /// The message's own key, then its commitment.
    fn derive(&self, salt: &[u8], aad: &[u8]) -> Zeroizing<[u8; 64]> {
        let aad_hash = digest_of(aad);
        let info = [LABEL, &[AES_256_GCM_HKDF_SHA_512], &aad_hash];
        let mut derived = Zeroizing::new([0; 64]);
        hkdf::Salt::new(hkdf::HKDF_SHA512, salt)
            .extract(&*self.key)
            .expand(&info, hkdf::HKDF_SHA512)
            .and_then(|okm| okm.fill(&mut *derived))
            .expect("64 bytes are one block of HKDF-SHA-512");
        derived
    }
}

/// The key version an envelope was sealed under.
///
/// # Errors
/// When it is not an envelope of a known format.
pub fn key_version(envelope: &[u8]) -> Result<u32, OpenError> {
    if envelope.len() < HEADER + TAG {
        return Err(OpenError::Truncated);
    }
    if envelope[..2] != [FORMAT, AES_256_GCM_HKDF_SHA_512] {
        return Err(OpenError::UnknownFormat);
    }
    let version = envelope[2..6].try_into().expect("four bytes");
    Ok(u32::from_be_bytes(version))
}

fn message_key(derived: &[u8; 64]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &derived[..32]).expect("32 bytes are a key");
    LessSafeKey::new(key)
}

fn nonce_of(envelope: &[u8]) -> Nonce {
    Nonce::try_assume_unique_for_key(&envelope[NONCE]).expect("12 bytes are a nonce")
}

fn associated_data(binding: Binding<'_>, version: u32) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [
        LABEL,
        &[AES_256_GCM_HKDF_SHA_512],
        binding.stack.as_bytes(),
        binding.workspace.as_bytes(),
        binding.record_type.as_bytes(),
        binding.record_id.as_bytes(),
        binding.field.as_bytes(),
        &version.to_be_bytes(),
        &binding.generation.to_be_bytes(),
    ] {
        let length = u32::try_from(part.len()).expect("ids are short");
        aad.extend(length.to_be_bytes());
        aad.extend(part);
    }
    aad
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashSet;

    use super::*;

    /// Counts up: deterministic, and no two calls alike.
    struct Counting(std::sync::atomic::AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let block = digest_of(&n.to_be_bytes());
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = block[i % 32];
            }
        }
    }

    fn entropy() -> Counting {
        Counting(0.into())
    }

    fn key(fill: u8, version: u32) -> SealingKey {
        SealingKey::new(version, &SecretBytes::new(vec![fill; 32])).unwrap()
    }

    const ROW: Binding<'static> = Binding {
        stack: "s",
        workspace: "w",
        record_type: "connection",
        record_id: "c",
        field: "tokens",
        generation: 7,
    };

    #[test]
    fn what_was_sealed_for_a_row_opens_there() {
        let envelope = key(1, 3).seal(&entropy(), ROW, b"tokens");
        assert_eq!(envelope.len(), 6 + 98);
        assert_eq!(key_version(&envelope), Ok(3));
        assert_eq!(key(1, 3).open(ROW, &envelope).unwrap().expose(), b"tokens");
    }

    #[test]
    fn h42_an_envelope_opens_in_no_other_row_field_or_generation() {
        let envelope = key(1, 1).seal(&entropy(), ROW, b"tokens");
        for moved in [
            Binding { stack: "t", ..ROW },
            Binding {
                workspace: "x",
                ..ROW
            },
            Binding {
                record_type: "connector",
                ..ROW
            },
            Binding {
                record_id: "d",
                ..ROW
            },
            Binding {
                field: "client_secret",
                ..ROW
            },
            Binding {
                generation: 6,
                ..ROW
            },
            // The same characters, cut differently.
            Binding {
                stack: "sw",
                workspace: "",
                ..ROW
            },
        ] {
            assert_eq!(
                key(1, 1).open(moved, &envelope).unwrap_err(),
                OpenError::NotAuthentic,
                "{moved:?}"
            );
        }
    }

    #[test]
    fn h42_an_envelope_with_any_byte_flipped_does_not_open() {
        let envelope = key(1, 1).seal(&entropy(), ROW, b"tokens");
        for i in 0..envelope.len() {
            let mut altered = envelope.clone();
            altered[i] ^= 1;
            assert!(key(1, 1).open(ROW, &altered).is_err(), "byte {i}");
        }
    }

    #[test]
    fn h43_the_commitment_refuses_a_key_before_decryption() {
        let mut envelope = key(1, 1).seal(&entropy(), ROW, b"tokens");
        assert_eq!(
            key(2, 1).open(ROW, &envelope).unwrap_err(),
            OpenError::NotAuthentic
        );
        // Even under the right key: a ciphertext whose commitment is another key's.
        let other = key(2, 1).seal(&entropy(), ROW, b"tokens");
        envelope[COMMIT].copy_from_slice(&other[COMMIT]);
        assert_eq!(
            key(1, 1).open(ROW, &envelope).unwrap_err(),
            OpenError::NotAuthentic
        );
    }

    #[test]
    fn h52_truncated_and_future_envelopes_are_typed_errors() {
        let envelope = key(1, 1).seal(&entropy(), ROW, b"");
        for length in 0..envelope.len() {
            assert_eq!(key_version(&envelope[..length]), Err(OpenError::Truncated));
        }
        for (byte, value) in [(0, 2), (1, 9)] {
            let mut future = envelope.clone();
            future[byte] = value;
            assert_eq!(
                key(1, 1).open(ROW, &future).unwrap_err(),
                OpenError::UnknownFormat
            );
        }
        assert_eq!(
            key(1, 2).open(ROW, &envelope).unwrap_err(),
            OpenError::OtherKeyVersion(1)
        );
    }

    #[test]
    fn h41_no_two_messages_share_a_salt_or_nonce() {
        let entropy = entropy();
        let (mut salts, mut nonces) = (HashSet::new(), HashSet::new());
        let key = key(1, 1);
        let repeated = Cell::new(0);
        for _ in 0..10_000 {
            let envelope = key.seal(&entropy, ROW, b"x");
            let fresh =
                salts.insert(envelope[SALT].to_vec()) & nonces.insert(envelope[NONCE].to_vec());
            repeated.set(repeated.get() + usize::from(!fresh));
        }
        assert_eq!(repeated.get(), 0);
    }

    #[test]
    fn h41_the_format_does_not_drift() {
        let envelope = key(7, 1).seal(&entropy(), ROW, b"drift");
        assert_eq!(
            digest_of(&envelope)
                .map(|byte| format!("{byte:02x}"))
                .concat(),
            DRIFT,
            "a change here makes every stored token unreadable"
        );
    }

    const DRIFT: &str = "037df33172ccde0669767bc318fce1e9716c2cce3119873d9ee428685d9ccb16";
}

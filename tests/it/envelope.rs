//! The envelope as others read it: `tests/vectors/envelope.json` is opened here and, from the
//! layout alone and with another library, by `tests/vectors/open_envelope.py`.

use serde::Deserialize;
use shared::crypto::envelope::{Binding, SealingKey};
use shared::domain::secret::SecretBytes;
use testkit::entropy::SeededEntropy;

#[derive(Deserialize)]
struct Vector {
    key: String,
    key_version: u32,
    binding: Row,
    plaintext: String,
    envelope: String,
}

#[derive(Deserialize)]
struct Row {
    stack: String,
    workspace: String,
    record_type: String,
    record_id: String,
    field: String,
    generation: u64,
}

impl Vector {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../vectors/envelope.json")).unwrap()
    }

    fn key(&self) -> SealingKey {
        SealingKey::new(self.key_version, &SecretBytes::new(bytes(&self.key))).unwrap()
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            stack: &self.binding.stack,
            workspace: &self.binding.workspace,
            record_type: &self.binding.record_type,
            record_id: &self.binding.record_id,
            field: &self.binding.field,
            generation: self.binding.generation,
        }
    }
}

#[test]
fn h41_the_published_vectors_open() {
    for vector in Vector::all() {
        let opened = vector
            .key()
            .open(vector.binding(), &bytes(&vector.envelope));
        assert_eq!(opened.unwrap().expose(), vector.plaintext.as_bytes());
    }
}

/// The n-th vector was sealed with the n-th seed: should the two ever differ, tokens that are
/// stored by then are at stake, not the file.
#[test]
fn h41_the_published_vectors_are_what_is_sealed_today() {
    for (seed, vector) in (0..).zip(Vector::all()) {
        let sealed = vector.key().seal(
            &SeededEntropy::new(seed),
            vector.binding(),
            vector.plaintext.as_bytes(),
        );
        assert_eq!(hex(&sealed), vector.envelope, "vector {seed}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

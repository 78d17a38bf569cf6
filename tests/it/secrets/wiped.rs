//! What is left in memory of a secret that has been dropped. Linux shows a process its own memory
//! as a file, so that nothing here needs a pointer to what is gone.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use shared::crypto::envelope::SealingKey;
use shared::domain::secret::{Secret, SecretBytes};

/// What stands at an address of this process, whoever owns it by now.
fn memory(address: usize, length: usize) -> Vec<u8> {
    let mut process = File::open("/proc/self/mem").unwrap();
    let mut bytes = vec![0; length];
    process.seek(SeekFrom::Start(address as u64)).unwrap();
    process.read_exact(&mut bytes).unwrap();
    bytes
}

/// An allocator writes into what it gets back, at its beginning: the canary is longer.
const CANARY: &str = "canary-canary-canary-canary-canary-canary-canary-canary-canary-canary";

fn is_there(address: usize, length: usize) -> bool {
    let bytes = memory(address, length);
    bytes.windows(6).any(|window| window == b"canary")
}

#[test]
fn h50_what_a_secret_was_is_not_in_memory_after_it() {
    let secret = Secret::new(CANARY);
    let copy = secret.clone();
    let address = |secret: &Secret| secret.expose().as_ptr() as usize;
    let (one, other) = (address(&secret), address(&copy));
    assert!(is_there(one, CANARY.len()) && is_there(other, CANARY.len()));
    drop(secret);
    assert!(!is_there(one, CANARY.len()));
    assert!(
        is_there(other, CANARY.len()),
        "a copy has a life of its own"
    );
    drop(copy);
    assert!(!is_there(other, CANARY.len()));

    let bytes = SecretBytes::new(CANARY.as_bytes().to_vec());
    let at = bytes.expose().as_ptr() as usize;
    assert!(is_there(at, CANARY.len()));
    drop(bytes);
    assert!(!is_there(at, CANARY.len()));
}

/// H-45: a key that leaves the cache leaves nothing.
#[test]
fn h50_what_a_key_was_is_not_in_memory_after_it() {
    let bytes = SecretBytes::new(CANARY.as_bytes()[..32].to_vec());
    let key = Box::new(SealingKey::new(1, &bytes).unwrap());
    let (at, length) = (&raw const *key as usize, size_of::<SealingKey>());
    assert!(is_there(at, length));
    drop(key);
    assert!(!is_there(at, length));
}

/// That the two above would see what is left behind.
#[test]
fn what_is_not_wiped_is_found_in_memory() {
    let text = CANARY.to_owned();
    let at = text.as_ptr() as usize;
    drop(text);
    assert!(is_there(at, CANARY.len()));
}

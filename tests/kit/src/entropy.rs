//! Randomness that is the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use shared::ports::Entropy;

/// SHA-256 of a seed and a counter. Two of one seed give the same bytes; one never gives the
/// same block twice.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    blocks: AtomicU64,
}

impl SeededEntropy {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            blocks: AtomicU64::new(0),
        }
    }

    /// A number below `bound`, for tests that choose.
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound.max(1)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, Ordering::Relaxed);
            let input = [self.seed.to_le_bytes(), block.to_le_bytes()].concat();
            chunk.copy_from_slice(&digest(&SHA256, &input).as_ref()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence_and_no_part_of_it_repeats() {
        let draw = |entropy: &SeededEntropy| {
            let mut bytes = [0; 80];
            entropy.fill(&mut bytes);
            bytes
        };
        let (one, other) = (SeededEntropy::new(7), SeededEntropy::new(7));
        let first = draw(&one);
        assert_eq!(first, draw(&other));
        assert_ne!(first, draw(&one));
        assert_ne!(first, draw(&SeededEntropy::new(8)));
        assert_ne!(first[..32], first[32..64]);
    }
}

//! The corpus of `make fuzz`, replayed: what was found once stays found, in every test run.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::properties;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let corpus = folder().join("corpus").join(target);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{corpus:?}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

#[test]
fn a30_every_input_of_the_corpus_has_its_property() {
    for (target, property) in properties::ALL {
        let inputs = inputs(target);
        assert!(inputs.len() >= 4, "{target}: {} inputs", inputs.len());
        for (path, bytes) in inputs {
            // Named before, because a property that fails panics.
            println!("{}", path.display());
            property(&bytes);
        }
    }
}

/// Inputs grow from what is there: where a corpus reaches, its neighbourhood is searched too.
#[test]
fn a30_every_cut_and_every_doubled_byte_of_the_corpus_has_its_property() {
    for (target, property) in properties::ALL {
        for (path, bytes) in inputs(target) {
            println!("{}", path.display());
            // Some ninety places of a longer input.
            for at in (0..bytes.len()).step_by(bytes.len() / 90 + 1) {
                property(&bytes[..at]);
                property(&[&bytes[..=at], &bytes[at..]].concat());
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                property(&flipped);
            }
        }
    }
}

#[test]
fn every_property_has_a_fuzz_target_and_the_corpus_fits_a_repository() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let mut size = 0;
    for (target, _) in properties::ALL {
        let path = format!("targets/{target}.rs");
        let text = fs::read_to_string(folder().join(&path)).expect(target);
        assert!(text.contains("testkit::properties::"), "{path}");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path}");
        size += inputs(target)
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>();
    }
    assert_eq!(
        manifest.matches("[[bin]]").count(),
        properties::ALL.len(),
        "targets without a property"
    );
    assert!(size < 200_000, "{size} bytes");
}

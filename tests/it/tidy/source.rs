//! The repository as text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct Source {
    /// From the root of the repository, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A file of the repository, whole.
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below some folders, whole.
pub(crate) fn files(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "nothing to read in {folders:?}");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What the functions are built from: Rust files below some folders without tests and comments.
/// Lines keep their numbers.
pub(crate) fn code(folders: &[&str]) -> Vec<Source> {
    let files = files(folders);
    let tests: BTreeSet<String> = files.iter().flat_map(modules_of_tests).collect();
    let is_test = |path: &str| {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let mut above = Path::new(module).ancestors();
        above.any(|module| tests.contains(module.to_str().expect("paths are UTF-8")))
    };
    let built = files.into_iter().filter(|file| !is_test(&file.path));
    built
        .map(|file| Source {
            text: without_tests_and_comments(&file.text),
            ..file
        })
        .collect()
}

/// The places, as `path:line: text`, whose line is `wanted`.
pub(crate) fn lines_where(
    files: &[Source],
    wanted: impl Fn(&Source, &str) -> bool,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        for (number, line) in (1..).zip(file.text.lines()) {
            if wanted(file, line) {
                found.insert(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// Fails when a rule is broken anywhere.
#[track_caller]
pub(crate) fn nowhere(rule: &str, places: impl IntoIterator<Item = String>) {
    let places: Vec<_> = places.into_iter().collect();
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

/// Whether a line has `name` as a word of its own, or as the beginning of a path.
pub(crate) fn mentions(line: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        !line[..at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word)
    })
}

/// The words that follow `prefix` in a text.
pub(crate) fn words_after<'a>(text: &'a str, prefix: &str) -> impl Iterator<Item = &'a str> {
    text.split(prefix).skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests has a parent").to_owned()
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let path = path.strip_prefix(root()).expect("it was found there");
            let path = path.to_str().expect("paths are UTF-8").replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

/// The modules that a file declares for tests alone, as paths without `.rs`.
fn modules_of_tests(file: &Source) -> Vec<String> {
    let lines: Vec<_> = file.text.lines().collect();
    let folder = match file.path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
        _ => file.path.trim_end_matches(".rs"),
    };
    let pairs = lines.windows(2).filter(|pair| pair[0] == TESTS_ONLY);
    pairs
        .filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'))
        .map(|module| format!("{folder}/{module}"))
        .collect()
}

const TESTS_ONLY: &str = "#[cfg(test)]";

fn without_tests_and_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == TESTS_ONLY {
            // The item is one line, or goes on to the brace under its beginning.
            kept.push('\n');
            for line in lines.by_ref() {
                kept.push('\n');
                if line.ends_with(';') && !line.starts_with(' ') || line == "}" {
                    break;
                }
            }
        } else {
            let is_comment = line.trim_start().starts_with("//");
            kept.push_str(if is_comment { "" } else { line });
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn what_is_read_as_code_has_its_tests_and_comments_left_out() {
    let text = "/// Why.\nfn a() {} // b\n#[cfg(test)]\nmod t;\nuse c;\n#[cfg(test)]\nmod u {\n    d;\n}\n";
    let code = without_tests_and_comments(text);
    assert_eq!(code, "\nfn a() {} // b\n\n\nuse c;\n\n\n\n\n");
    let file = Source {
        path: "x/y.rs".into(),
        text: text.into(),
    };
    assert_eq!(modules_of_tests(&file), ["x/y/t"]);
    assert!(mentions("use tokio::sync;", "tokio") && !mentions("tokio_rustls::x", "tokio"));
    assert_eq!(
        words_after("crate::a::b + crate::c", "crate::").collect::<Vec<_>>(),
        ["a", "c"]
    );
}

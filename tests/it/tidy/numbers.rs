//! Which faults and known bugs a test is about: `f12_` or `b6_` at the head of its name, or F12 or
//! B6 in its doc comment.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, files, words_after};

/// The rows of the tables of faults and of known bugs.
const TABLES: [(char, u32); 2] = [('F', 47), ('B', 15)];

/// A fault's letter and number.
type Number = (char, u32);

/// The tests of a file by name, each with its doc comment. A fact of a store has its attribute in
/// a macro, which is told its name in a line of its own.
pub(super) fn tests(file: &Source) -> BTreeMap<&str, String> {
    let mut tests = BTreeMap::new();
    let (mut doc, mut is_test) = (String::new(), false);
    let has_facts = file.text.contains("\nfacts! {");
    let listed = |name: &str| has_facts && file.text.contains(&format!("\n    {name}\n"));
    for line in file.text.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with("#[") {
            is_test |= line.ends_with("test]");
        } else {
            if let Some(name) = words_after(line, "fn ").next()
                && (is_test || listed(name))
            {
                tests.insert(name, doc);
            }
            (doc, is_test) = (String::new(), false);
        }
    }
    tests
}

/// The numbers at the head of a test's name: `f4_f8_one_fault` has two.
fn named(test: &str) -> impl Iterator<Item = Number> {
    test.split('_').map_while(number)
}

/// The numbers among the words of a doc comment.
fn documented(doc: &str) -> impl Iterator<Item = Number> {
    let words = doc.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(number)
}

fn number(word: &str) -> Option<Number> {
    let mut chars = word.chars();
    let letter = chars.next()?.to_ascii_uppercase();
    Some((letter, chars.as_str().parse().ok()?))
}

#[test]
fn every_fault_and_every_known_bug_has_a_test_that_carries_its_number() {
    let mut proven = BTreeSet::new();
    for file in files(&["shared", "functions", "tests"]) {
        for (test, doc) in tests(&file) {
            proven.extend(named(test).chain(documented(&doc)));
        }
    }
    let rows = TABLES
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(|n| (*letter, n)));
    let missing: Vec<_> = rows.filter(|row| !proven.contains(row)).collect();
    assert_eq!(missing, [], "no test has these numbers");
}

#[test]
fn a_number_counts_where_a_test_has_it() {
    let text = "/// F1.\n#[test]\nfn f04_b2_x_f9() {}\n/// F3.\nfn helper() {}\n\nfacts! {\n    \
                f7_fact\n}\n\nasync fn f7_fact(s: &S) {}\nfn f8_no_fact() {}\n";
    let file = Source {
        path: "x.rs".into(),
        text: text.into(),
    };
    let found: BTreeSet<_> = tests(&file)
        .iter()
        .flat_map(|(test, doc)| named(test).chain(documented(doc)).collect::<Vec<_>>())
        .collect();
    let expected = [('B', 2), ('F', 1), ('F', 4), ('F', 7)];
    assert_eq!(found, BTreeSet::from(expected));
}

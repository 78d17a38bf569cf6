//! docs/SECURITY.md, "The proofs": a row for everything that must hold and every attack, and a
//! test that exists behind each.

use std::collections::{BTreeMap, BTreeSet};

use super::numbers::tests;
use super::source::{files, read};

/// The numbers of the table: letter, first, last.
const ROWS: [(char, u32, u32); 5] = [
    ('H', 1, 17),  // connecting
    ('H', 20, 26), // isolation
    ('H', 30, 39), // requests to providers
    ('H', 80, 90), // API, logs, operations
    ('A', 1, 30),  // attacks
];

/// The rows of the table by their first cell: the last one.
fn table() -> BTreeMap<String, String> {
    let text = read("docs/SECURITY.md");
    let (_, text) = text.split_once("\n## The proofs\n").expect("the table");
    let text = text.split("\n## ").next().unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("| H-") || line.starts_with("| A-"));
    let mut table = BTreeMap::new();
    for line in lines {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, what, proof] = cells[..] else {
            panic!("three cells: {line}");
        };
        assert!(!what.is_empty(), "{line}");
        let known = table.insert(row.to_owned(), proof.to_owned());
        assert!(known.is_none(), "two rows for {row}");
    }
    table
}

#[test]
fn the_table_has_every_row_and_no_other() {
    let rows = ROWS.iter().flat_map(|(letter, first, last)| {
        (*first..=*last).map(move |n| format!("{letter}-{n:02}"))
    });
    let table: BTreeSet<_> = table().into_keys().collect();
    assert_eq!(table, rows.collect());
}

#[test]
fn every_row_names_tests_and_each_of_them_exists() {
    let mut known = BTreeSet::new();
    for file in files(&["shared", "functions", "tests"]) {
        for (test, _) in tests(&file) {
            known.insert(format!("{}::{test}", file.path));
        }
    }
    for (row, proof) in table() {
        let named: Vec<_> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row} has no proof");
        for test in named {
            assert!(known.contains(test), "{row}: there is no test {test}");
        }
    }
}

//! docs/SECURITY.md, "The proofs": a row for everything that must hold and every attack, and a
//! test that exists behind each.

use std::collections::{BTreeMap, BTreeSet};

use super::numbers::{Number, named, tests};
use super::source::{files, read};

/// The numbers of the table: letter, first, last.
const ROWS: [(char, u32, u32); 5] = [
    ('H', 1, 17),  // connecting
    ('H', 20, 26), // isolation
    ('H', 30, 39), // requests to providers
    ('H', 80, 90), // API, logs, operations
    ('A', 1, 30),  // attacks
];

/// Rows about what Grantry does not do.
const NOT_OFFERED: [(&str, &str); 2] = [
    (
        "H-87",
        "webhooks are an example, with a key and no signature",
    ),
    (
        "A-27",
        "webhooks are an example; repeated events have their `id`",
    ),
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

fn number(row: &str) -> Number {
    let (letter, number) = row.split_once('-').expect("a letter and a number");
    (letter.chars().next().unwrap(), number.parse().unwrap())
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
fn every_test_of_the_table_exists_and_every_row_has_one_or_says_why_not() {
    let mut known = BTreeSet::new();
    for file in files(&["shared", "functions", "tests"]) {
        for (test, _) in tests(&file) {
            known.insert(format!("{}::{test}", file.path));
        }
    }
    let not_offered = BTreeMap::from(NOT_OFFERED);
    for (row, proof) in table() {
        if let Some(reason) = not_offered.get(row.as_str()) {
            assert_eq!(proof, format!("not offered: {reason}"), "{row}");
        } else {
            let named: Vec<_> = proof.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty(), "{row} has no proof");
            for test in named {
                assert!(known.contains(test), "{row}: there is no test {test}");
            }
        }
    }
}

/// Where a number is in a test's name, the table has it for that test or for others.
#[test]
fn no_test_carries_the_number_of_a_row_that_is_not_offered() {
    for file in files(&["shared", "functions", "tests"]) {
        for (test, _) in tests(&file) {
            for (row, reason) in NOT_OFFERED {
                let carries = named(test).any(|it| it == number(row));
                assert!(!carries, "{}::{test}: {row}, {reason}", file.path);
            }
        }
    }
}

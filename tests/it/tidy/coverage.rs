//! docs/COVERAGE.md: a row for every route and rule of the product, and a test behind each.

use std::collections::BTreeSet;

use super::numbers::tests;
use super::source::{files, read};
use crate::template::Template;

/// The rows of a table of the page: what it is about, and what shows it.
fn table(name: &str) -> Vec<(String, String)> {
    let text = read("docs/COVERAGE.md");
    let (_, text) = text.split_once(&format!("\n## {name}\n")).expect(name);
    let text = text.split("\n## ").next().unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let (what, shown) = line.trim_matches('|').split_once(" | ").expect("two cells");
        (what.trim().to_owned(), shown.trim().to_owned())
    })
    .collect()
}

#[test]
fn every_route_of_the_gateway_has_a_row_and_no_other() {
    let rows: BTreeSet<_> = table("Routes")
        .into_iter()
        .map(|(route, _)| route.trim_matches('`').to_owned())
        .collect();
    let routes = Template::read().routes().into_keys();
    assert_eq!(rows, routes.map(|(route, _)| route).collect());
}

#[test]
fn what_a_row_names_is_a_test() {
    let mut known = BTreeSet::new();
    for file in files(&["tests"]) {
        known.extend(
            tests(&file)
                .keys()
                .map(|test| format!("{}::{test}", file.path)),
        );
    }
    for (what, shown) in table("Routes").into_iter().chain(table("Rules")) {
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{what}: shown by nothing");
        for test in named {
            assert!(known.contains(test), "{what}: there is no test {test}");
        }
    }
}

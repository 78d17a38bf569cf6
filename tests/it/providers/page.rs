//! docs/PROVIDERS.md, which is made from the catalogue.

use std::fs;

use testkit::catalogue::loaded;
use testkit::providers_page::providers_page;

#[test]
fn the_page_of_providers_is_the_one_that_the_catalogue_makes() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROVIDERS.md");
    let there = fs::read_to_string(page).expect("docs/PROVIDERS.md");
    assert!(there == providers_page(&loaded()), "run `make reference`");
}

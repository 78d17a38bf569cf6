//! Prints docs/API.md: `make reference`. With the argument `document` the OpenAPI document itself:
//! `make client`.

use testkit::contract::Contract;
use testkit::reference::reference;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("document") => println!("{}", connector_admin::OPENAPI),
        _ => print!("{}", reference(&Contract::new(connector_admin::OPENAPI))),
    }
}

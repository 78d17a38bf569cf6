//! Prints docs/API.md, or with the argument `providers` docs/PROVIDERS.md: `make reference`. With the
//! argument `document` the OpenAPI document itself: `make client`.

use testkit::catalogue::loaded;
use testkit::contract::Contract;
use testkit::providers_page::providers_page;
use testkit::reference::reference;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("document") => println!("{}", connector_admin::OPENAPI),
        Some("providers") => print!("{}", providers_page(&loaded())),
        _ => print!("{}", reference(&Contract::new(connector_admin::OPENAPI))),
    }
}

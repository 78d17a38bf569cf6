//! Prints docs/API.md: `make reference`.

use testkit::contract::Contract;
use testkit::reference::reference;

fn main() {
    print!("{}", reference(&Contract::new(connector_admin::OPENAPI)));
}

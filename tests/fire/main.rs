//! What `make fire` needs of Rust: the providers, and connections by the thousand.
//!
//! `fire providers` plays three authorization servers until it is ended. `fire connect` redeems
//! a code for every user of a plan through the router of oauth-complete, in this process and
//! against the stack's own tables and keys: the product's code without the seconds that a
//! thousand browsers would take. `infra/local/fire.py` runs both and does the rest.

mod connect;
mod providers;

use std::path::Path;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["providers", description] => providers::serve(Path::new(description)).await,
        ["connect", plan] => connect::all(Path::new(plan)).await,
        _ => {
            eprintln!("usage: fire providers DESCRIPTION | fire connect PLAN");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A JSON file that `infra/local/fire.py` has written.
fn read<T: serde::de::DeserializeOwned>(file: &Path) -> T {
    let bytes = std::fs::read(file).expect("the file can be read");
    serde_json::from_slice(&bytes).expect("the file is as fire.py writes it")
}

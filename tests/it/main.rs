//! The integration tests in one binary, a file a capability.

mod admin;
mod breakers;
mod clock;
mod connect;
mod disconnect;
mod envelope;
mod escrow;
mod faults;
mod isolation;
mod keep_alive;
mod kms;
mod lookup;
mod profiles;
mod refresh;
mod requests;
mod secrets;
mod sim;
mod store;
mod sweep;
mod telemetry;
mod template;
mod tidy;
mod vault;
mod world;

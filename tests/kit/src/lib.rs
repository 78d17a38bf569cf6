//! What the tests and the local demo stand on, in place of the world outside Grantry.

pub mod clock;
pub mod dynamo;
pub mod entropy;
pub mod fake_kms;
pub mod faults;
pub mod memory_store;

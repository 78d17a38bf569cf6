//! What the tests and the local demo stand on, in place of the world outside Grantry.

pub mod catalogue;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod demo_app;
#[cfg(feature = "dynamo")]
pub mod dynamo;
pub mod dynamo_meter;
pub mod entropy;
pub mod fake_as;
pub mod fake_kms;
pub mod fake_kms_http;
pub mod faults;
pub mod issuer;
pub mod job_queue;
pub mod loopback;
pub mod memory_store;
pub mod peer;
pub mod properties;
pub mod providers_page;
#[cfg(feature = "contract")]
pub mod reference;

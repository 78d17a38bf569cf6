//! What the tests and the local demo stand on, in place of the world outside Grantry.

pub mod demo_app;
pub mod fake_as;
pub mod issuer;
pub mod loopback;

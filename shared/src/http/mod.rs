//! The HTTP edge: who calls, what they sent, and how a refusal reads.

pub mod idempotency;
pub mod identity;
pub mod on_behalf_of;
pub mod page;
pub mod problem;
pub mod request;
pub mod respond;

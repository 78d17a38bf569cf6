//! What the kit's servers share: a port whose connections can be cut, a client that speaks
//! only to this machine, and the HTML every page is set in.
//!
//! The servers are for tests and the local demo. They hold secrets in clear and trust
//! whoever can reach them, so they bind to loopback unless told otherwise.

mod client;
pub(crate) mod html;
mod port;

pub use client::client;
pub use port::{Line, Port, Serving};

use std::sync::Arc;

/// The present, in milliseconds since the Unix epoch. An argument of every server, so that a
/// test moves time by hand and the demo passes the system's.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

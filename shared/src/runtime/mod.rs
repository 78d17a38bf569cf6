//! Running on Lambda: configuration, wiring, telemetry, and serving a router or a job.

pub mod config;
pub mod lambda;
pub mod queue;
pub mod system;
pub mod telemetry;
pub mod wiring;

//! The model: what a connector, an authorization session and a connection are, and which
//! moves between their states are allowed. Pure data and decisions; no I/O, no clock, no AWS.

pub mod address;
pub mod app;
pub mod audit;
pub mod census;
pub mod connection;
pub mod connector;
pub mod ending;
pub mod event;
pub mod handout;
pub mod health;
pub mod idempotency;
pub mod ids;
pub mod job;
pub mod plan;
pub mod provider;
pub mod provider_hosts;
pub mod rate;
pub mod refresh_policy;
pub mod refresh_protocol;
pub mod scopes;
pub mod secret;
pub mod session;
pub mod shown;
pub mod subject;
pub mod time;
pub mod token;

//! What every Grantry function shares.
//!
//! Modules import only to the left of this line, and less than that: docs/ARCHITECTURE.md has
//! the map, and a test that reads it.
//! `domain <- ports <- catalogue, crypto, oauth, storage <- events, connector_client <- refresh <-
//! http <- runtime`.
//! The domain knows no clock, network, AWS or HTTP; only the adapters (`crypto::kms`,
//! `events::eventbridge`, `oauth::http_client`, `storage::dynamodb`, `runtime`) do.

pub mod catalogue;
pub mod connector_client;
pub mod crypto;
pub mod domain;
pub mod events;
pub mod http;
pub mod id_token;
pub mod oauth;
pub mod ports;
pub mod refresh;
pub mod runtime;
pub mod storage;

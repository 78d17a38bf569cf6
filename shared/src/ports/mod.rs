//! The outside world, a file for each part of it.
//!
//! Ports speak the domain's verbs. "Not found" is `Ok(None)`. Each write says what it is
//! atomic with. To add one: a method here, one in `storage::dynamodb`, one in the reference
//! store of the test kit, and its facts in the store suite that runs against both.

mod audit;
mod bus;
mod connections;
mod due;
mod health;
mod idempotency;
mod keys;
mod lookup;
mod provider;
mod registry;
mod sessions;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::time::Timestamp;

pub use audit::Audit;
pub use bus::{EventSink, JobQueue, QueueError};
pub use connections::{
    ConnectAnswer, ConnectWrite, Connections, EscrowWrite, LeaseAnswer, LeaseWrite, RefreshedTokens,
};
pub use due::{Doomed, DueTable, DueWork, Revocation};
pub use health::ConnectorHealth;
pub use idempotency::Idempotency;
pub use keys::{
    AnswerOf, KeyService, KeyTable, KmsError, SessionField, WrappedRootKey, WrappedWorkspaceKeys,
};
pub use lookup::{Lookup, LookupKeys, LookupRows, ReadCounts};
pub use provider::{ClientCredentials, CodeGrant, DocumentError, Documents, ProviderApi};
pub use registry::Registry;
pub use sessions::Sessions;

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, for instants that are stored and compared with stored ones.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment that no clock adjustment moves, for durations.
    fn monotonic(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// Whether the wall clock is within a second of everybody else's, as far as is known. Who
    /// cannot trust it takes no lease (F38).
    fn is_trusted(&self) -> bool;
}

/// Randomness from a cryptographically secure generator.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// A store could not answer. Nothing is known about a write that ended so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out or down: worth another try.
    #[error("the store did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An item that is not what this version writes.
    #[error("stored {0} cannot be read")]
    Corrupt(&'static str),
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last. Opaque to callers.
    pub next: Option<String>,
}

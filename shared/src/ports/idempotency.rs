//! Requests that are done once.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::idempotency::{Run, SealedAnswer};
use crate::domain::time::Timestamp;

/// Runs of requests that carry an `Idempotency-Key`: one stands for each request.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Adds a run unless one of the same request stands; answers the one that stands.
    async fn begin(&self, run: &Run) -> Result<Run, StoreError>;
    /// Puts `run` into the place of `earlier`, if that still stands there at the same stage. Of
    /// any number of concurrent calls one gets `true`; an earlier try of the same call is
    /// recognised by the run's id.
    async fn take_over(&self, run: &Run, earlier: &Run) -> Result<bool, StoreError>;
    /// Keeps the answer of a run. `false` when another one stands in its place.
    async fn finish(&self, run: &Run, answer: &SealedAnswer) -> Result<bool, StoreError>;
    /// Ends a run without an answer, so that the next one may begin at `now`. Does nothing when
    /// it is answered, or another one stands in its place.
    async fn give_up(&self, run: &Run, now: Timestamp) -> Result<(), StoreError>;
}

//! The bus and the queues behind it.

use async_trait::async_trait;

use crate::domain::event::Event;
use crate::domain::job::Job;

/// The queues behind the stack's bus.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Hands jobs over. What was taken is delivered at least once: a
    /// [`Job::RetryRefresh`] when a lease taken now is over, everything else at once.
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError>;
}

/// Not all jobs were taken; which ones is not known.
#[derive(Debug, thiserror::Error)]
#[error("the bus did not take every job")]
pub struct QueueError;

/// The stack's event bus.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Publishes events. Answers the ids of those the bus took.
    async fn publish(&self, events: &[Event]) -> Vec<crate::domain::ids::EventId>;
}

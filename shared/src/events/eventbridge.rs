//! The stack's EventBridge bus: what happened, for whoever wants to know, and the work that the
//! template's rules pass on to queues.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::domain::event::Event;
use crate::domain::ids::EventId;
use crate::domain::job::Job;
use crate::ports::{EventSink, JobQueue, QueueError};

/// What one `PutEvents` call takes.
const BATCH: usize = 10;
/// The `source` of every event.
pub const SOURCE: &str = "grantry";
/// The `source` of every job; the template's rules match it and a [detail type](detail_type).
pub const JOB_SOURCE: &str = "grantry.job";

/// The EventBridge detail type of a job, which decides its queue.
pub fn detail_type(job: &Job) -> &'static str {
    match job {
        Job::RefreshShard { .. } => "refresh_shard",
        Job::RetryRefresh { .. } => "retry_refresh",
        Job::StoreTokens(_) | Job::StoreConnection(_) => "store_tokens",
    }
}

/// Publishes to one bus.
pub struct EventBridgeSink {
    client: Client,
    bus: String,
}

impl EventBridgeSink {
    /// The bus named `bus`.
    pub fn new(client: Client, bus: String) -> Self {
        Self { client, bus }
    }

    fn entry(&self, event: &Event) -> PutEventsRequestEntry {
        let detail = serde_json::to_string(event).expect("an event serializes");
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(SOURCE)
            .detail_type(event.change.detail_type())
            .time(DateTime::from_millis(event.time.millis()))
            .detail(detail)
            .build()
    }
}

#[async_trait]
impl EventSink for EventBridgeSink {
    async fn publish(&self, events: &[Event]) -> Vec<EventId> {
        let mut taken = Vec::new();
        for batch in events.chunks(BATCH) {
            let entries = batch.iter().map(|event| self.entry(event)).collect();
            match self
                .client
                .put_events()
                .set_entries(Some(entries))
                .send()
                .await
            {
                Ok(answer) => {
                    // Entries answer one by one, in order; one without an id was not taken.
                    let results = answer.entries.unwrap_or_default();
                    let sent = batch.iter().zip(results);
                    taken.extend(
                        sent.filter(|(_, result)| result.event_id.is_some())
                            .map(|(event, _)| event.id.clone()),
                    );
                }
                Err(error) => {
                    let error = DisplayErrorContext(&error);
                    tracing::warn!(%error, "the event bus did not take a batch");
                }
            }
        }
        taken
    }
}

#[async_trait]
impl JobQueue for EventBridgeSink {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        for batch in jobs.chunks(BATCH) {
            let entries = batch.iter().map(|job| {
                let detail = serde_json::to_string(job).expect("a job serializes");
                PutEventsRequestEntry::builder()
                    .event_bus_name(&self.bus)
                    .source(JOB_SOURCE)
                    .detail_type(detail_type(job))
                    .detail(detail)
                    .build()
            });
            let answer = self
                .client
                .put_events()
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| {
                    let error = DisplayErrorContext(&error);
                    tracing::warn!(%error, "the event bus did not take a batch of jobs");
                    QueueError
                })?;
            if answer.failed_entry_count > 0 {
                tracing::warn!(
                    failed = answer.failed_entry_count,
                    "the event bus did not take every job"
                );
                return Err(QueueError);
            }
        }
        Ok(())
    }
}

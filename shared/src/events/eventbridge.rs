//! The stack's EventBridge bus.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::domain::event::Event;
use crate::domain::ids::EventId;
use crate::ports::EventSink;

/// What one `PutEvents` call takes.
const BATCH: usize = 10;
/// The `source` of every event.
pub const SOURCE: &str = "grantry";

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

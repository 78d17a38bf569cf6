//! The bus of the stories.

use std::sync::Mutex;

use async_trait::async_trait;
use shared::domain::event::Event;
use shared::domain::ids::EventId;
use shared::ports::EventSink;

use super::contract;

/// A bus that remembers what it took, and can be down.
#[derive(Default)]
pub(crate) struct RecordingBus {
    taken: Mutex<Vec<Event>>,
    down: Mutex<bool>,
}

impl RecordingBus {
    /// The types of the events it took, oldest first.
    pub(crate) fn types(&self) -> Vec<&'static str> {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.change.detail_type())
            .collect()
    }

    /// The events it took, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.taken.lock().unwrap().clone()
    }

    /// Takes nothing from now on, or everything again.
    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }
}

#[async_trait]
impl EventSink for RecordingBus {
    async fn publish(&self, events: &[Event]) -> Vec<EventId> {
        if *self.down.lock().unwrap() {
            return Vec::new();
        }
        events.iter().for_each(contract::check_event);
        self.taken.lock().unwrap().extend_from_slice(events);
        events.iter().map(|event| event.id.clone()).collect()
    }
}

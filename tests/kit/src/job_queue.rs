//! A queue in memory: whoever holds it decides when a job is delivered, and how often.

use std::sync::Mutex;

use async_trait::async_trait;
use shared::domain::job::Job;
use shared::ports::{JobQueue, QueueError};

/// Jobs in the order they were handed over.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    jobs: Mutex<Vec<Job>>,
}

impl MemoryQueue {
    /// Takes everything out.
    pub fn drain(&self) -> Vec<Job> {
        std::mem::take(&mut *self.jobs.lock().expect("no holder panics"))
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        let mut queue = self.jobs.lock().expect("no holder panics");
        queue.extend_from_slice(jobs);
        Ok(())
    }
}

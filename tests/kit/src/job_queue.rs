//! A queue in memory: whoever holds it decides when a job is delivered, and how often.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use shared::domain::job::Job;
use shared::ports::{JobQueue, QueueError};

/// Jobs in the order they were handed over.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    jobs: Mutex<Vec<Job>>,
    away: AtomicBool,
}

impl MemoryQueue {
    /// Takes everything out.
    pub fn drain(&self) -> Vec<Job> {
        std::mem::take(&mut *self.jobs.lock().expect("no holder panics"))
    }

    /// Takes nothing from now on, or everything again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(QueueError);
        }
        let mut queue = self.jobs.lock().expect("no holder panics");
        queue.extend_from_slice(jobs);
        Ok(())
    }
}

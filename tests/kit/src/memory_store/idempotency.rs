//! Requests that are done once.

use async_trait::async_trait;
use shared::domain::idempotency::{Run, RunStage, SealedAnswer};
use shared::domain::time::Timestamp;
use shared::ports::{Idempotency, StoreError};

use super::{MemoryStore, State};

#[async_trait]
impl Idempotency for MemoryStore {
    async fn begin(&self, run: &Run) -> Result<Run, StoreError> {
        let mut state = self.state();
        let standing = state.runs.entry(run.request);
        Ok(standing.or_insert_with(|| run.clone()).clone())
    }

    async fn take_over(&self, run: &Run, earlier: &Run) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(standing) = state.runs.get_mut(&run.request) else {
            return Ok(false);
        };
        let same =
            std::mem::discriminant(&standing.stage) == std::mem::discriminant(&earlier.stage);
        if standing.id == earlier.id && same {
            *standing = run.clone();
        }
        Ok(standing.id == run.id)
    }

    async fn finish(&self, run: &Run, answer: &SealedAnswer) -> Result<bool, StoreError> {
        let mut state = self.state();
        let standing = state.standing(run);
        Ok(standing.is_some_and(|standing| {
            standing.stage = RunStage::Answered(answer.clone());
            true
        }))
    }

    async fn give_up(&self, run: &Run, now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(standing) = state.standing(run)
            && let RunStage::Running { until } = &mut standing.stage
        {
            *until = now;
        }
        Ok(())
    }
}

impl State {
    fn standing(&mut self, run: &Run) -> Option<&mut Run> {
        let standing = self.runs.get_mut(&run.request);
        standing.filter(|standing| standing.id == run.id)
    }
}

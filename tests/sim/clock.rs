//! The clocks of a machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::time::Timestamp;
use shared::ports::Clock;

use super::executor::Sim;

/// The clock of one machine, ahead of the true time by `skew` milliseconds, which may change.
#[derive(Clone)]
pub(super) struct SkewedClock {
    pub(super) sim: Sim,
    pub(super) skew: Arc<AtomicI64>,
}

impl SkewedClock {
    fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.sim.timestamp().millis() + self.skew())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.sim.monotonic())
    }

    async fn sleep(&self, time: Duration) {
        self.sim.sleep(time.as_micros().div_ceil(1000) as u64).await;
    }

    fn is_trusted(&self) -> bool {
        self.skew().abs() <= 1_000
    }
}

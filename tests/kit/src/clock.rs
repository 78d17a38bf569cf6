//! Time that stands still until it is told otherwise.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::time::Timestamp;
use shared::ports::Clock;

/// A clock set by hand. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    now: Timestamp,
    monotonic: Duration,
    trusted: bool,
}

impl ManualClock {
    /// A clock at 2026-11-22 17:00 UTC: late enough that nothing subtracted from it is negative.
    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(1_795_366_800_000))
    }

    /// A clock at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Time {
            now,
            monotonic: Duration::ZERO,
            trusted: true,
        })))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        time.now = time.now.after(by);
        time.monotonic += by;
    }

    /// Adjusts the wall clock, as an operator or NTP would: durations do not notice (F39).
    pub fn set(&self, now: Timestamp) {
        self.time().now = now;
    }

    /// Makes the clock one that is known to be off (F38), or right again.
    pub fn distrust(&self, off: bool) {
        self.time().trusted = !off;
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().expect("no holder of the clock panics")
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time().now
    }

    fn monotonic(&self) -> Duration {
        self.time().monotonic
    }

    /// Gives way to every other task that can run, then makes it as late as it was to become.
    /// Two tasks that sleep a second at once wake one second later, not two.
    async fn sleep(&self, time: Duration) {
        let end = self.monotonic() + time;
        tokio::task::yield_now().await;
        let left = end.saturating_sub(self.monotonic());
        self.advance(left);
    }

    fn is_trusted(&self) -> bool {
        self.time().trusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_time_has_passed_and_time_passes_once() {
        let clock = ManualClock::new();
        let begun = clock.now();
        let second = Duration::from_secs(1);
        futures_util::join!(clock.sleep(second), clock.sleep(2 * second));
        assert_eq!(clock.now().since(begun), 2 * second);
        assert_eq!(clock.monotonic(), 2 * second);
    }

    #[test]
    fn f39_setting_the_wall_clock_back_moves_no_duration() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::from_millis(0));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}

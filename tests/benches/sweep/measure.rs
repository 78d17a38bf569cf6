//! What measuring needs: two runtimes, a clock that runs, the processor time of a thread, medians.

use std::fs;
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::time::Timestamp;
use shared::ports::Clock;
use shared::runtime::system::SystemClock;
use testkit::clock::ManualClock;
use tokio::runtime::{Builder, Runtime};

/// The product's runtime is that of a function, one thread. What plays the outside world has a
/// thread of its own, so that its processor time is not the product's.
pub(crate) struct Runtimes {
    pub(crate) product: Runtime,
    pub(crate) outside: Runtime,
}

impl Runtimes {
    pub(crate) fn start() -> Self {
        let product = Builder::new_current_thread().enable_all().build();
        let outside = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self {
            product: product.expect("a runtime"),
            outside: outside.expect("a runtime"),
        }
    }

    /// Runs what is measured.
    pub(crate) fn measured<T>(&self, work: impl Future<Output = T>) -> (T, Spent) {
        let clock = SystemClock::start();
        let before = processor_time();
        let result = self.product.block_on(work);
        let spent = Spent {
            time: clock.monotonic(),
            processor: processor_time().saturating_sub(before),
        };
        (result, spent)
    }
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) time: Duration,
    /// Of this thread, in user and system mode.
    pub(crate) processor: Duration,
}

/// How long this thread has run on a processor (Linux; proc(5), `schedstat`).
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.expect("a number of nanoseconds"))
}

/// The real time, from a beginning and with leaps that a manual clock says.
#[derive(Clone)]
pub(crate) struct Running {
    start: ManualClock,
    system: SystemClock,
}

impl Running {
    pub(crate) fn from(start: ManualClock) -> Self {
        Self {
            start,
            system: SystemClock::start(),
        }
    }
}

#[async_trait]
impl Clock for Running {
    fn now(&self) -> Timestamp {
        self.start.now().after(self.system.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.start.monotonic() + self.system.monotonic()
    }

    async fn sleep(&self, time: Duration) {
        self.system.sleep(time).await;
    }

    fn is_trusted(&self) -> bool {
        true
    }
}

/// The median of several rounds, and the least and the greatest of them.
pub(crate) fn spread(rounds: impl IntoIterator<Item = f64>) -> String {
    let (median, least, greatest) = ordered(rounds);
    format!("{median:.1} ({least:.1} to {greatest:.1})")
}

/// The median of several rounds.
pub(crate) fn median(rounds: impl IntoIterator<Item = f64>) -> f64 {
    ordered(rounds).0
}

fn ordered(rounds: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut rounds: Vec<_> = rounds.into_iter().collect();
    rounds.sort_by(f64::total_cmp);
    let last = rounds.len().checked_sub(1).expect("at least one round");
    (rounds[last.div_ceil(2)], rounds[0], rounds[last])
}

/// A bar and whether it is met.
pub(crate) fn bar(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

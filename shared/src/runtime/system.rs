//! The real clock and the real source of randomness. The only file that may ask for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::rand;

use crate::domain::time::Timestamp;
use crate::ports::{Clock, Entropy};

/// The system's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
    /// Set by whoever compares the wall clock with others.
    off: Arc<AtomicBool>,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one real clock")]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            off: Arc::default(),
        }
    }

    /// Where it is noted that the wall clock is off.
    pub fn off(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.off)
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one real clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one real clock")]
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn is_trusted(&self) -> bool {
        !self.off.load(Ordering::Relaxed)
    }
}

/// The generator of aws-lc, seeded by the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one real source of randomness"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        // Fails only if the operating system has no randomness; then nothing here is safe to do.
        rand::fill(bytes).expect("the operating system provides randomness");
    }
}

//! How far this machine's clock is off, as DynamoDB's answers tell.
//!
//! A lease is an agreement about time. A machine whose clock is minutes ahead would take over a
//! lease that still runs, and at a strict provider no fence can undo the second request that
//! follows (F38). So each answer is a measurement: it says when the server wrote it (`Date`,
//! RFC 9110 section 6.6.1, in whole seconds), which was between the request and the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use time::OffsetDateTime;

use crate::domain::time::Timestamp;
use crate::ports::Clock;

/// What a clock may be off. Leases allow for twice as much.
const TOLERATED: Duration = Duration::from_secs(1);
const RESOLUTION: Duration = Duration::from_secs(1);

/// Compares the local clock with the server's at every answer.
#[derive(Debug)]
pub struct ServerTime<C> {
    clock: C,
    off: Arc<AtomicBool>,
}

impl<C: Clock> ServerTime<C> {
    /// Notes in `off` whether `clock` is provably wrong.
    pub fn new(clock: C, off: Arc<AtomicBool>) -> Self {
        Self { clock, off }
    }
}

/// When a request was sent, by the local clock.
#[derive(Debug)]
struct Sent(Timestamp);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl<C: Clock + std::fmt::Debug> Intercept for ServerTime<C> {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let sent = Sent(self.clock.now());
        state.interceptor_state().store_put(sent);
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let written = context.response().headers().get("date");
        let sent = state.load::<Sent>();
        if let (Some(sent), Some(written)) = (sent, written.and_then(http_date)) {
            let off = is_off(sent.0, self.clock.now(), written);
            if off != self.off.swap(off, Ordering::Relaxed) {
                if off {
                    tracing::error!("this machine's clock is off: no lease is taken");
                } else {
                    tracing::warn!("this machine's clock is right again");
                }
            }
        }
        Ok(())
    }
}

/// Whether a local clock that said `sent` before a request and `received` after it must be
/// off by more than is [tolerated](TOLERATED), when the server's said `written` in between.
fn is_off(sent: Timestamp, received: Timestamp, written: Timestamp) -> bool {
    let ahead = sent > written.after(RESOLUTION + TOLERATED);
    let behind = received < written.before(TOLERATED);
    ahead || behind
}

fn http_date(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
    Some(Timestamp::from_millis(at.unix_timestamp() * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_795_366_800_000 + millis)
    }

    #[test]
    fn a_date_header_is_read() {
        assert_eq!(http_date("Sun, 22 Nov 2026 17:00:00 GMT"), Some(at(0)));
        assert_eq!(http_date("now"), None);
    }

    #[test]
    fn f38_a_clock_that_is_minutes_off_is_known_to_be() {
        assert!(is_off(at(300_000), at(300_020), at(0)));
        assert!(is_off(at(-300_000), at(-299_980), at(0)));
    }

    #[test]
    fn f38_a_right_clock_is_trusted_however_long_the_answer_took() {
        for (sent, took) in [(0, 5), (999, 1), (500, 3_000), (0, 600_000)] {
            // The server wrote somewhere between the two, and tells whole seconds.
            for written in [sent, sent + took] {
                let whole = written / 1000 * 1000;
                assert!(!is_off(at(sent), at(sent + took), at(whole)));
            }
        }
    }
}

//! A request that carries an `Idempotency-Key` is done once (H-85).
//!
//! A *run* is one try to do it. Of any number of runs of one request one goes on; the others are
//! told to wait, or get its answer. What a function that died has begun may be begun again once
//! it cannot be running any more.

use std::fmt;
use std::time::Duration;

use super::ids::RunId;
use super::time::Timestamp;

/// How long a run may take: twice what the slowest function has.
pub const RUN_LIMIT: Duration = Duration::from_secs(60);
/// How long an answer is kept, from the beginning of the run that gave it.
pub const ANSWER_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Which request: the SHA-256 of who calls, method, path and `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey(pub [u8; 32]);

/// As hexadecimal digits.
impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One try to do a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which request.
    pub request: RequestKey,
    /// The SHA-256 of everything else that it asks.
    pub asked: [u8; 32],
    /// Which try.
    pub id: RunId,
    /// How far it has come.
    pub stage: RunStage,
    /// When it is forgotten. Checked here; the table's TTL only collects garbage.
    pub expires_at: Timestamp,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStage {
    /// It has no answer yet.
    Running {
        /// From when on it is not under way any more.
        until: Timestamp,
    },
    /// It is over.
    Answered(SealedAnswer),
}

/// An answer as it is kept: it may hold a secret that is shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnswer {
    /// The key it is sealed under, wrapped by KMS.
    pub wrapped: Vec<u8>,
    /// The envelope.
    pub sealed: Vec<u8>,
}

/// What a new run finds where an earlier one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier<'a> {
    /// It is this very run, whose first answer was lost.
    Itself,
    /// Nobody is at it any more: the new one may take its place.
    Over,
    /// Another request has this key.
    OtherRequest,
    /// It is under way.
    Running,
    /// It is answered.
    Answered(&'a SealedAnswer),
}

impl Run {
    /// The run `id` of a request, beginning at `now`.
    pub fn begin(request: RequestKey, asked: [u8; 32], id: RunId, now: Timestamp) -> Self {
        Self {
            request,
            asked,
            id,
            stage: RunStage::Running {
                until: now.after(RUN_LIMIT),
            },
            expires_at: now.after(ANSWER_LIFETIME),
        }
    }

    /// What `new` finds at `now` where `self` stands.
    pub fn found_by(&self, new: &Self, now: Timestamp) -> Earlier<'_> {
        if self.id == new.id {
            return Earlier::Itself;
        }
        if now >= self.expires_at {
            return Earlier::Over;
        }
        // Also after a run that died: what it has done of the other request is not known.
        if self.asked != new.asked {
            return Earlier::OtherRequest;
        }
        match &self.stage {
            RunStage::Running { until } if now < *until => Earlier::Running,
            RunStage::Running { .. } => Earlier::Over,
            RunStage::Answered(answer) => Earlier::Answered(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, asked: u8, now: i64) -> Run {
        let (id, now) = (RunId::parse(id).unwrap(), Timestamp::from_millis(now));
        Run::begin(RequestKey([1; 32]), [asked; 32], id, now)
    }

    #[test]
    fn h85_a_run_is_waited_for_until_it_cannot_be_under_way_any_more() {
        let (first, second) = (run("a", 7, 0), run("b", 7, 1));
        let found = |now| first.found_by(&second, Timestamp::from_millis(now));
        assert_eq!(found(1), Earlier::Running);
        assert_eq!(found(59_999), Earlier::Running);
        assert_eq!(found(60_000), Earlier::Over);
        assert_eq!(first.found_by(&first, first.expires_at), Earlier::Itself);
    }

    #[test]
    fn h85_another_request_is_refused_whatever_became_of_the_first_until_that_is_forgotten() {
        let day = 24 * 3600 * 1000;
        let answer = SealedAnswer {
            wrapped: vec![1],
            sealed: vec![2],
        };
        let answered = Run {
            stage: RunStage::Answered(answer.clone()),
            ..run("a", 7, 0)
        };
        let (same, other) = (run("b", 7, 1), run("b", 8, 1));
        for first in [run("a", 7, 0), answered.clone()] {
            for (now, expected) in [
                (1, Earlier::OtherRequest),
                (60_000, Earlier::OtherRequest),
                (day, Earlier::Over),
            ] {
                let now = Timestamp::from_millis(now);
                assert_eq!(first.found_by(&other, now), expected, "{first:?}");
            }
        }
        let found = |now| answered.found_by(&same, Timestamp::from_millis(now));
        assert_eq!(found(day - 1), Earlier::Answered(&answer));
        assert_eq!(found(day), Earlier::Over);
    }
}

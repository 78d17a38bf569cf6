//! The rules of the refresh protocol that need no I/O: who may refresh, whose tokens are stored,
//! and what a failed attempt means. The engine decides by these functions, the reference store
//! is made of them, and `tests/it/protocol` checks every order in which they can be called.
//! docs/ARCHITECTURE.md, "Refresh", has the reasons.

use std::time::Duration;

use super::connection::{CLOCK_SKEW, Connection, ConnectionStatus, LEASE, ReconnectReason};
use super::provider::Rotation;
use super::time::Timestamp;
use super::token::TokenFailure;

/// How long a refused refresh token is suspect before it is tried once more.
pub const SUSPECT_SETTLE: Duration = Duration::from_secs(60);
/// How long refusals that come in masses are held against the provider and not the grants
/// (H-78). After this they are believed.
pub const MASS_REFUSAL_HELD: Duration = Duration::from_secs(24 * 3600);
/// The longest pause a provider's `Retry-After` or a backoff can impose.
pub const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// How late a [`Job::RetryRefresh`](super::job::Job) is delivered: when the lease of the attempt
/// that asked for it is over (`DelaySeconds` of the template's `RetryQueue`).
/// Two clocks may differ by the skew, and a retry that came before the pause it waits for is over
/// would be dropped.
pub const RETRY_DELAY: Duration = Duration::from_secs(22);
/// The longest a token request may take: a lease waits for it (refresh.md section 3).
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long an attempt that never reported is given for its tokens to come out of escrow,
/// counted from the moment the table is known to be writable again.
const ESCROW_SETTLE: Duration = RETRY_DELAY;

/// What must be left of a lease when the provider is asked: [`TOKEN_TIMEOUT`], and time for a
/// request that lies about on its way to arrive before anybody else may ask (F9).
const REQUEST_LIFE: Duration = Duration::from_secs(14);

/// A misconfigured connector is asked again no sooner than this.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);
/// The pause between two looks at a grant whose refusals come in masses.
const HELD_PAUSE: Duration = Duration::from_secs(10 * 60);
/// A refusal that names no known reason is taken for one of the grant after so many in a row.
const UNEXPLAINED: u32 = 3;
/// The bounds of the pause after each failure in a row, in seconds; the last one repeats. Any
/// seven attempts in a row span an hour or more (H-75), and the first two come quickly.
const BACKOFF: [(u64, u64); 7] = [
    (0, 5),
    (0, 60),
    (300, 600),
    (600, 1200),
    (1200, 1800),
    (1500, 1800),
    (1200, 1800),
];

/// How a refresh that brought no tokens ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailedAttempt {
    /// The lease is released and no attempt is made before `next_attempt_at`.
    Pause {
        /// Earliest next attempt.
        next_attempt_at: Timestamp,
    },
    /// As `Pause`, and the connection is `Suspect` from `since` on.
    Suspect {
        /// When the provider first refused.
        since: Timestamp,
        /// Earliest next attempt.
        next_attempt_at: Timestamp,
    },
    /// The provider may have rotated the token: the lease is kept to its end, and nothing may
    /// try before `next_attempt_at`.
    Unknown {
        /// Earliest next attempt.
        next_attempt_at: Timestamp,
    },
    /// Nothing was asked, because an earlier attempt never reported how it ended: its tokens may
    /// be on their way. The lease is released.
    Settle {
        /// Earliest next attempt.
        next_attempt_at: Timestamp,
    },
}

impl FailedAttempt {
    /// The earliest next attempt.
    pub fn next_attempt_at(&self) -> Timestamp {
        match self {
            Self::Pause { next_attempt_at }
            | Self::Suspect {
                next_attempt_at, ..
            }
            | Self::Unknown { next_attempt_at }
            | Self::Settle { next_attempt_at } => *next_attempt_at,
        }
    }

    /// What a connection becomes whose attempt ended so. The lease itself is the store's.
    pub fn apply(&self, leased: &Connection) -> Connection {
        let mut after = Connection {
            next_attempt_at: Some(self.next_attempt_at()),
            open_attempts: 0,
            open_since: None,
            outcome_lost: leased.has_lost_outcome(),
            ..leased.clone()
        };
        match self {
            Self::Pause { .. } => after.failures += 1,
            Self::Suspect { since, .. } => {
                after.failures += 1;
                after.status = ConnectionStatus::Suspect { since: *since };
            }
            Self::Unknown { .. } => {
                after.failures += 1;
                after.outcome_lost = true;
            }
            Self::Settle { .. } => after.outcome_lost = true,
        }
        after
    }

    /// Whether the lease runs on to its end, so that a request that is still under way is not
    /// followed by another.
    pub fn keeps_lease(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Whether an attempt may take the lease at `now`, when the one that stands runs until `held`.
pub fn may_lease(connection: &Connection, held: Option<Timestamp>, now: Timestamp) -> bool {
    connection.status.is_live()
        && connection.sealed.is_some()
        && is_lease_over(held, now)
        && connection.next_attempt_at.is_none_or(|at| at <= now)
}

/// Whether the lease that stands until `held` is over by everybody's clock. Tokens come out of
/// escrow only when that of any other attempt is: it may be asking the provider, and storing them
/// would let a third attempt ask beside it (H-60, H-69).
pub fn is_lease_over(held: Option<Timestamp>, now: Timestamp) -> bool {
    held.is_none_or(|until| until < now.before(CLOCK_SKEW))
}

/// Whether tokens that replace generation `leased` may be stored (H-62, H-63): whoever holds
/// the lease by then.
pub fn may_store(current: &Connection, leased: u64) -> bool {
    current.status.is_live() && current.generation == leased
}

/// Whether what is stored is known to be the last that the provider issued. After the connections
/// were restored from a backup, only what was granted or refreshed since `restored_at` is: what was
/// stored before may have been rotated, revoked or disconnected between backup and restore (H-90).
pub fn is_proven(connection: &Connection, restored_at: Option<Timestamp>) -> bool {
    let stored_at = connection.refreshed_at.max(Some(connection.connected_at));
    restored_at.is_none_or(|restored_at| stored_at >= Some(restored_at))
}

/// The first instant at which a lease that was taken at or before `now` may be taken over.
pub fn lease_end(now: Timestamp) -> Timestamp {
    now.after(LEASE + CLOCK_SKEW + Duration::from_millis(1))
}

/// Whether a lease that ends at `until` still entitles to ask the provider. A sandbox may have
/// stood still since it was granted (F37), and the lease may be another's by now.
pub fn may_ask(until: Timestamp, now: Timestamp) -> bool {
    now.after(REQUEST_LIFE) <= until
}

/// What is to be done before the provider is asked at all, because the attempt before this one
/// never reported: it may have left rotated tokens in escrow, and asking with the old one could
/// kill those. Where the provider takes the old token again for a while it is asked at once, as
/// long as it would still take it from a request that begins now: a crash is likelier than a table
/// that is away, and asking in time makes good either.
pub fn before_asking(
    leased: &Connection,
    rotation: Rotation,
    now: Timestamp,
) -> Option<FailedAttempt> {
    let waits = match rotation {
        Rotation::None | Rotation::Sliding => false,
        Rotation::Strict => true,
        Rotation::Grace(grace) => is_grace_over(grace, leased.open_since, now),
    };
    (waits && leased.open_attempts > 1).then(|| FailedAttempt::Settle {
        next_attempt_at: now.after(ESCROW_SETTLE),
    })
}

/// Whether a token that was first spent after `since` is refused by the time a request that
/// begins now is answered. An attempt that is followed by another began a lease ago or more: an
/// instant after that is not its own, because it is of a version that wrote none.
fn is_grace_over(grace: Duration, since: Option<Timestamp>, now: Timestamp) -> bool {
    let open_for = since.map(|since| now.since(since));
    open_for
        .filter(|open_for| *open_for >= LEASE)
        .is_none_or(|open_for| open_for + TOKEN_TIMEOUT >= grace)
}

/// What a failed attempt means for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded, and tried again later.
    Record(FailedAttempt),
    /// The grant is proven dead.
    Dead(ReconnectReason),
}

/// Judges the failure of the attempt that holds the lease on `leased`.
///
/// `jitter` is a fraction from 0 to 1. `refused_in_masses`: the connector's grants are being
/// refused by the dozen, which is rather the provider's fault (H-78).
pub fn after_failure(
    leased: &Connection,
    failure: &TokenFailure,
    now: Timestamp,
    jitter: f64,
    refused_in_masses: bool,
) -> Verdict {
    let wait = |least: Duration| {
        let pause = backoff(leased.failures + 1, jitter);
        now.after(pause.max(least).min(MAX_PAUSE))
    };
    let pause = |least| {
        Verdict::Record(FailedAttempt::Pause {
            next_attempt_at: wait(least),
        })
    };
    match failure {
        TokenFailure::GrantRefused => after_refusal(leased, now, refused_in_masses),
        TokenFailure::InteractionRequired => Verdict::Dead(ReconnectReason::GrantRevoked),
        // A type of token we cannot use still came with a rotation. The first time, the same
        // token is tried as soon as the request has settled (F10).
        TokenFailure::OutcomeUnknown | TokenFailure::UnknownTokenType => {
            let settled = lease_end(now);
            let next_attempt_at = match leased.failures {
                0 => settled,
                _ => settled.max(wait(Duration::ZERO)),
            };
            Verdict::Record(FailedAttempt::Unknown { next_attempt_at })
        }
        TokenFailure::NotSent => pause(Duration::from_secs(1)),
        TokenFailure::TryLater { after } => pause(after.unwrap_or(Duration::from_secs(1))),
        TokenFailure::Unexpected { .. } if leased.failures + 1 >= UNEXPLAINED => {
            Verdict::Record(FailedAttempt::Suspect {
                since: suspect_since(leased).unwrap_or(now),
                next_attempt_at: wait(CONFIG_PAUSE),
            })
        }
        TokenFailure::ClientRefused
        | TokenFailure::RequestRefused
        | TokenFailure::Redirected
        | TokenFailure::AddressRefused
        | TokenFailure::Unexpected { .. } => pause(CONFIG_PAUSE),
    }
}

/// One refusal may be the provider's own fault, and after a lost answer it may be the refusal of
/// a token whose successor is in escrow: no grant is dead before the second one, a minute later
/// (H-64).
fn after_refusal(leased: &Connection, now: Timestamp, in_masses: bool) -> Verdict {
    let Some(since) = suspect_since(leased) else {
        return Verdict::Record(FailedAttempt::Suspect {
            since: now,
            next_attempt_at: now.after(SUSPECT_SETTLE),
        });
    };
    let suspected_for = now.since(since);
    if suspected_for < SUSPECT_SETTLE {
        return Verdict::Record(FailedAttempt::Suspect {
            since,
            next_attempt_at: since.after(SUSPECT_SETTLE),
        });
    }
    if in_masses && suspected_for < MASS_REFUSAL_HELD {
        return Verdict::Record(FailedAttempt::Suspect {
            since,
            next_attempt_at: now.after(HELD_PAUSE),
        });
    }
    Verdict::Dead(if leased.has_lost_outcome() {
        ReconnectReason::RefreshOutcomeLost
    } else {
        ReconnectReason::GrantRevoked
    })
}

fn suspect_since(connection: &Connection) -> Option<Timestamp> {
    match connection.status {
        ConnectionStatus::Suspect { since } => Some(since),
        ConnectionStatus::Active
        | ConnectionStatus::ReconnectRequired { .. }
        | ConnectionStatus::Revoking { .. }
        | ConnectionStatus::Disconnected { .. } => None,
    }
}

/// How long to wait after the `failures`-th failure in a row: jitter over the whole range of
/// growing bounds. `jitter` is a fraction from 0 to 1.
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let step = (failures.saturating_sub(1) as usize).min(BACKOFF.len() - 1);
    let (least, most) = BACKOFF[step];
    let range = Duration::from_secs(most - least);
    Duration::from_secs(least) + range.mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
#[path = "refresh_protocol_tests.rs"]
mod tests;

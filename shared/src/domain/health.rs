//! How a connector is doing at its provider, and whether to go on asking: the breakers.
//!
//! What token requests come to is counted by the minute, and only from the first trouble on (see
//! [`Health::is_calm`]): healthy refreshes cost no write. So every ratio here is one of the calls
//! since trouble began, which makes it higher than that of all calls, never lower.
//!
//! A connector has one breaker at a time. It belongs to the version of the connector that it was
//! opened for: what an admin has changed since is tried at once.

mod tally;

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use tally::{Seen, Tally};

use super::ids::BreakerId;
use super::time::Timestamp;

/// How many minutes are remembered, the one that runs included. A grant that is held against its
/// provider is looked at every ten minutes, later if the sweep is late; whoever is first must
/// still find what all were held for (F25).
pub const MEMORY_MINUTES: i64 = 15;
/// How long whoever claimed a probe has for it before somebody else may: longer than a function
/// that refreshes can run.
pub const PROBE_PERIOD: Duration = Duration::from_secs(30);

const MINUTE_MILLIS: i64 = 60_000;
/// Fewer calls than this a minute say nothing about a provider.
const LEAST_CALLS: u64 = 20;
/// Fewer refused grants than this are people who changed their mind (H-78).
const LEAST_REFUSALS: u64 = 20;
/// More refused grants than this are the provider's mistake until proven otherwise (H-78).
const MOST_REFUSALS_PERCENT: u64 = 5;
/// One request refused as malformed may be one grant's; this many and no success are all of them.
const LEAST_MALFORMED: u64 = 3;
const FIRST_PAUSE_FAILING: Duration = Duration::from_secs(30);
const FIRST_PAUSE_MISCONFIGURED: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The minute of an instant, counted from the epoch.
pub const fn minute_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(MINUTE_MILLIS)
}

/// What an admin has to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misconfiguration {
    /// The provider does not accept the client (H-77).
    ClientRefused,
    /// The provider calls every request invalid.
    RequestRefused,
    /// The token endpoint redirects (H-33).
    Redirected,
}

impl Misconfiguration {
    /// The fault as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientRefused => "client_refused",
            Self::RequestRefused => "request_refused",
            Self::Redirected => "redirected",
        }
    }
}

/// Why a breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Half of its answers or more are failures.
    ProviderFailing,
    /// It asked to be left alone for a while.
    Throttled,
    /// It cannot work before the connector is changed.
    Misconfigured(Misconfiguration),
}

impl Cause {
    const ALL: [Self; 5] = [
        Self::ProviderFailing,
        Self::Throttled,
        Self::Misconfigured(Misconfiguration::ClientRefused),
        Self::Misconfigured(Misconfiguration::RequestRefused),
        Self::Misconfigured(Misconfiguration::Redirected),
    ];

    /// The cause's name in the API, in events and in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderFailing => "provider_failing",
            Self::Throttled => "throttled",
            Self::Misconfigured(Misconfiguration::ClientRefused) => "client_refused",
            Self::Misconfigured(Misconfiguration::RequestRefused) => "request_refused",
            Self::Misconfigured(Misconfiguration::Redirected) => "redirected",
        }
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// The pause of the `openings`-th opening in a row: doubling. A throttle's is what the
    /// provider asked for.
    fn pause(self, openings: u32) -> Duration {
        let first = match self {
            Self::ProviderFailing => FIRST_PAUSE_FAILING,
            Self::Throttled => Duration::ZERO,
            Self::Misconfigured(_) => FIRST_PAUSE_MISCONFIGURED,
        };
        first.saturating_mul(1 << openings.saturating_sub(1).min(16))
    }
}

/// A connector's open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Random, and another with each move: who replaces a breaker names the one it read.
    pub id: BreakerId,
    /// Why it is open.
    pub cause: Cause,
    /// When it opened for this cause.
    pub since: Timestamp,
    /// Nobody asks the provider before; then one may try.
    pub open_until: Timestamp,
    /// How many times in a row it opened for this cause.
    pub openings: u32,
    /// The version of the connector that it is about.
    pub connector_version: u64,
}

impl Breaker {
    /// The breaker while somebody probes: closed to everybody else for [`PROBE_PERIOD`].
    #[must_use]
    pub fn claimed(&self, id: BreakerId, now: Timestamp) -> Self {
        Self {
            id,
            open_until: now.after(PROBE_PERIOD),
            ..self.clone()
        }
    }

    /// What there is to tell of, once a fault: the misconfiguration that has just shown.
    pub fn news(&self) -> Option<Misconfiguration> {
        match self.cause {
            Cause::Misconfigured(what) if self.openings == 1 => Some(what),
            Cause::Misconfigured(_) | Cause::ProviderFailing | Cause::Throttled => None,
        }
    }

    /// Whether it stands for a connector of this version. An earlier version has been changed
    /// since; a later one is the truth that the caller has yet to read.
    pub fn binds(&self, connector_version: u64) -> bool {
        self.connector_version >= connector_version
    }
}

/// Whether the provider may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes: no breaker, or one of an earlier version of the connector.
    Open,
    /// By one caller, to see whether it works again: who replaces this breaker by
    /// [`Breaker::claimed`].
    Probe(Breaker),
    /// No.
    Paused {
        /// Until when.
        until: Timestamp,
    },
}

/// What some requests showed.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The version of the connector they were made with.
    pub connector_version: u64,
    /// When the connector became that.
    pub configured_at: Timestamp,
    /// What they came to, already counted.
    pub seen: &'a [Seen],
    /// When the last one was answered.
    pub at: Timestamp,
}

/// What follows from an observation. Each move names by [`Health::breaker`] what it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stay,
    /// This breaker opens, or stays open for longer.
    Trip(Breaker),
    /// This breaker closes.
    Close(Breaker),
}

/// What is known of one connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The tallies of the last [`MEMORY_MINUTES`], by [`minute_of`].
    pub minutes: BTreeMap<i64, Tally>,
    /// The breaker that stands.
    pub breaker: Option<Breaker>,
    /// When the last one closed, if that is remembered.
    pub closed_at: Option<Timestamp>,
    /// When client secrets were last seen to be accepted, by when they were set.
    pub secrets: BTreeMap<Timestamp, Timestamp>,
}

/// What makes a breaker open.
struct Fault {
    cause: Cause,
    /// For how long at least.
    pause: Duration,
}

impl Health {
    /// Whether successes need not be counted: nothing else is remembered, and no
    /// breaker stands.
    pub fn is_calm(&self) -> bool {
        self.breaker.is_none() && self.minutes.values().all(Tally::is_clean)
    }

    /// Whether a connector of this version may ask its provider at `now`.
    pub fn admission(&self, connector_version: u64, now: Timestamp) -> Admission {
        match self.binding(connector_version) {
            None => Admission::Open,
            Some(breaker) if breaker.open_until > now => Admission::Paused {
                until: breaker.open_until,
            },
            Some(breaker) => Admission::Probe(breaker.clone()),
        }
    }

    /// Whether nobody may be declared dead (H-78, F25): so many grants are refused that the
    /// provider is more likely wrong than its users gone.
    pub fn holds_flips(&self) -> bool {
        let all: Tally = self.minutes.values().copied().sum();
        all.refusals >= LEAST_REFUSALS
            && all.refusals.saturating_mul(100) > all.calls.saturating_mul(MOST_REFUSALS_PERCENT)
    }

    /// The breaker that stands for a connector of this version.
    pub fn binding(&self, connector_version: u64) -> Option<&Breaker> {
        let breaker = self.breaker.as_ref();
        breaker.filter(|breaker| breaker.binds(connector_version))
    }

    /// What follows from `observed`; a breaker that comes of it is called `id`.
    ///
    /// Where a breaker binds, the observer was the one let through to probe: one failure keeps
    /// it open, one answer closes it.
    pub fn verdict(&self, observed: &Observation<'_>, id: BreakerId) -> Verdict {
        let standing = self.breaker.as_ref();
        if standing.is_some_and(|it| it.connector_version > observed.connector_version) {
            // The requests were made with a connector that an admin has changed since.
            return Verdict::Stay;
        }
        let probed = self.binding(observed.connector_version);
        match (self.fault(observed, probed), standing) {
            (Some(fault), _) => Verdict::Trip(opened(probed, &fault, observed, id)),
            (None, Some(standing)) if observed.seen.iter().any(|seen| *seen != Seen::Failed) => {
                Verdict::Close(standing.clone())
            }
            (None, _) => Verdict::Stay,
        }
    }

    /// What is wrong, the worst first.
    fn fault(&self, observed: &Observation<'_>, probed: Option<&Breaker>) -> Option<Fault> {
        let saw = |kind| observed.seen.contains(&kind);
        let fault = |cause, pause| Some(Fault { cause, pause });
        let misconfigured = |what| fault(Cause::Misconfigured(what), Duration::ZERO);
        if saw(Seen::ClientRefused) {
            return misconfigured(Misconfiguration::ClientRefused);
        }
        if saw(Seen::Redirected) {
            return misconfigured(Misconfiguration::Redirected);
        }
        let malformed = Misconfiguration::RequestRefused;
        let known = probed.is_some_and(|it| it.cause == Cause::Misconfigured(malformed));
        if saw(Seen::RequestRefused) && (known || self.all_is_malformed(observed)) {
            return misconfigured(malformed);
        }
        let pauses = observed.seen.iter().filter_map(Seen::pause);
        if let Some(pause) = pauses.max() {
            return fault(Cause::Throttled, pause);
        }
        if saw(Seen::Failed) && (probed.is_some() || self.provider_fails(observed)) {
            return fault(Cause::ProviderFailing, Duration::ZERO);
        }
        None
    }

    fn all_is_malformed(&self, observed: &Observation<'_>) -> bool {
        let all = self.counted(.., observed);
        all.malformed >= LEAST_MALFORMED && all.successes == 0
    }

    /// Half and more of at least 20 calls in the last 60 seconds. Minutes are all that is
    /// counted, so of the minute before as much is taken as of its seconds lies within the last
    /// 60, as if its calls had come evenly.
    fn provider_fails(&self, observed: &Observation<'_>) -> bool {
        let minute = minute_of(observed.at);
        // Another worker's clock may be ahead: its minute is part of this one.
        let running = self.counted(minute.., observed);
        let before = self.counted(minute - 1..minute, observed);
        let whole = MINUTE_MILLIS.unsigned_abs();
        let left = whole
            - observed
                .at
                .millis()
                .rem_euclid(MINUTE_MILLIS)
                .unsigned_abs();
        let weighed = |running: u64, before: u64| {
            let before = before.saturating_mul(left);
            running.saturating_mul(whole).saturating_add(before)
        };
        let calls = weighed(running.calls, before.calls);
        let failures = weighed(running.failures, before.failures);
        calls >= LEAST_CALLS * whole && failures.saturating_mul(2) >= calls
    }

    /// What was counted in these minutes and still speaks of how things are: nothing from before
    /// the last breaker closed or the connector was changed, or one stray failure after it would
    /// open the breaker again for what is over. The minute in which that was counts as before.
    fn counted(&self, minutes: impl RangeBounds<i64>, observed: &Observation<'_>) -> Tally {
        let over = self.closed_at.max(Some(observed.configured_at));
        let over = over.map_or(i64::MIN, minute_of);
        let counted = self.minutes.range(minutes);
        counted
            .filter(|(minute, _)| **minute > over)
            .map(|(_, tally)| *tally)
            .sum()
    }
}

/// The breaker that a fault opens, where `probed` stood.
fn opened(
    probed: Option<&Breaker>,
    fault: &Fault,
    observed: &Observation<'_>,
    id: BreakerId,
) -> Breaker {
    let cause = match (probed.map(|it| it.cause), fault.cause) {
        // A provider that fails or throttles does not say that the connector was mended.
        (Some(known @ Cause::Misconfigured(_)), Cause::ProviderFailing | Cause::Throttled) => known,
        (_, new) => new,
    };
    let same = probed.filter(|it| it.cause == cause);
    let openings = same.map_or(1, |it| it.openings.saturating_add(1));
    let pause = cause.pause(openings).max(fault.pause).min(LONGEST_PAUSE);
    Breaker {
        id,
        cause,
        since: same.map_or(observed.at, |it| it.since),
        open_until: observed.at.after(pause),
        openings,
        connector_version: observed.connector_version,
    }
}

#[cfg(test)]
mod tests;

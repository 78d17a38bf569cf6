//! What goes wrong, and when.

use super::executor::Sim;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Nothing,
    /// One thing, at one of the first so many opportunities.
    One {
        /// How many opportunities there are to choose from.
        among: u64,
    },
    /// Everything, again and again.
    Everything,
}

/// What happens to one side of a store call.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoreFault {
    /// Before: the call was not made. After: its answer is lost.
    Unavailable,
    /// The caller dies.
    Crash,
}

/// What happens to one token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Processed and answered.
    Answered,
    /// No connection could be made.
    NotSent,
    /// It never arrives; the caller waits in vain.
    LostOnTheWay,
    /// Processed, and the answer lost: by a reset, or by 8 s of silence.
    AnswerLost,
    /// Processed after the caller has given up.
    Late,
    /// 500 without a body, after or instead of processing.
    ServerError { processed: bool },
    /// Processed, and answered with a page of HTML.
    Garbage,
    /// 429.
    Throttled { retry_after: Option<u64> },
    /// `invalid_grant` for a grant that is fine.
    Mood,
    /// The caller dies while it waits.
    CallerCrashes,
}

/// Deals out the faults of a plan.
pub(super) struct Faults {
    plan: Plan,
    /// The opportunity at which [`Plan::One`] strikes.
    strikes_at: u64,
    opportunities: u64,
    /// Nothing goes wrong from this instant on.
    quiet_from: u64,
    /// How many were dealt out.
    pub(super) dealt: u64,
}

impl Faults {
    /// Faults of `plan` until `quiet_from`.
    pub(super) fn new(plan: Plan, quiet_from: u64, sim: &Sim) -> Self {
        let strikes_at = match plan {
            Plan::One { among } => 1 + sim.below(among),
            Plan::Nothing | Plan::Everything => 0,
        };
        Self {
            plan,
            strikes_at,
            opportunities: 0,
            quiet_from,
            dealt: 0,
        }
    }

    /// What happens on this side of this store call.
    pub(super) fn at_store(&mut self, method: &str, sim: &Sim) -> Option<StoreFault> {
        // A sweep that finds nothing reads its shards all the same: a single fault there would
        // be one of hundreds and prove nothing.
        let dull = matches!(method, "due_refreshes" | "connection");
        let single = matches!(self.plan, Plan::One { .. });
        if single && dull || !self.strike(2, sim) {
            return None;
        }
        Some(match sim.below(2) {
            0 => StoreFault::Unavailable,
            _ => StoreFault::Crash,
        })
    }

    /// What happens to this token request. `in_mood`: whether the provider may refuse a grant
    /// that is fine, which it does once and not again before it has issued tokens.
    pub(super) fn at_provider(&mut self, in_mood: bool, sim: &Sim) -> Fate {
        if !self.strike(25, sim) {
            return Fate::Answered;
        }
        match sim.below(10) {
            0 => Fate::NotSent,
            1 => Fate::LostOnTheWay,
            2 | 3 => Fate::AnswerLost,
            4 => Fate::Late,
            5 => Fate::ServerError {
                processed: sim.chance(50),
            },
            6 => Fate::Garbage,
            7 => Fate::Throttled {
                retry_after: sim.chance(50).then_some(120),
            },
            8 if in_mood => Fate::Mood,
            _ => Fate::CallerCrashes,
        }
    }

    fn strike(&mut self, percent: u64, sim: &Sim) -> bool {
        if sim.now() >= self.quiet_from {
            return false;
        }
        self.opportunities += 1;
        let strikes = match self.plan {
            Plan::Nothing => false,
            Plan::One { .. } => self.opportunities == self.strikes_at,
            Plan::Everything => sim.chance(percent),
        };
        self.dealt += u64::from(strikes);
        strikes
    }
}

//! What goes wrong, and when.

use super::executor::Sim;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Nothing,
    /// One thing, at one of the first so many opportunities.
    One {
        /// Of these.
        of: Menu,
        /// How many opportunities there are to choose from.
        among: u64,
    },
    /// Everything, again and again.
    Everything,
    /// Everything, now and then in a year.
    Seldom,
}

/// What there is to choose from for a single fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Menu {
    /// Crashes, calls to table, bus and keys that fail or whose answers are lost, everything that
    /// can happen to a token request, jobs and ticks that are lost.
    Anything,
    /// What can happen to a token request.
    Answer,
    /// The table goes away for up to a minute while rotated tokens are being stored.
    Outage,
    /// A sandbox stands still for minutes.
    Freeze,
}

/// What happens to one side of a store call.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoreFault {
    /// Before: the call was not made, as when the table throttles. After: its answer is lost.
    Unavailable,
    /// The table answers nobody for so many milliseconds.
    Away(u64),
    /// The caller dies.
    Crash,
    /// The caller's sandbox stands still for so many milliseconds.
    Freeze(u64),
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
    /// Processed after others have asked again (F9).
    TooLate,
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
    /// The caller's sandbox stands still for so many milliseconds while it waits.
    CallerFreezes(u64),
}

/// What happens when a job is handed over.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueueFault {
    /// The bus does not take it.
    NotTaken,
    /// It does, and the answer is lost.
    AnswerLost,
    /// The caller dies before.
    Crash,
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
            Plan::One { among, .. } => 1 + sim.below(among),
            Plan::Nothing | Plan::Everything | Plan::Seldom => 0,
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
        // What finds nothing to do reads all the same, every minute: a single fault there would
        // be one of hundreds and prove nothing.
        let reads = [
            "due_refreshes",
            "due_revocations",
            "due_deletions",
            "connection",
            "health",
        ];
        let telling = !reads.contains(&method);
        let on = match self.menu() {
            Some(Menu::Anything | Menu::Freeze) => telling,
            Some(Menu::Outage) => method == "store_tokens",
            Some(Menu::Answer) => false,
            None => true,
        };
        if !self.strike(on, 2, sim) {
            return None;
        }
        let choice = match self.menu() {
            Some(Menu::Outage) => 19,
            Some(Menu::Freeze) => 18,
            Some(Menu::Anything | Menu::Answer) => sim.below(17),
            None => sim.below(20),
        };
        Some(match choice {
            0..=8 => StoreFault::Unavailable,
            9..=16 => StoreFault::Crash,
            17 | 18 => StoreFault::Freeze(a_while(sim)),
            _ => StoreFault::Away(sim.below(60_000)),
        })
    }

    /// What happens to this token request. `in_mood`: whether the provider may refuse a grant
    /// that is fine, which it does once and not again before tokens of it were stored.
    pub(super) fn at_provider(&mut self, in_mood: bool, sim: &Sim) -> Fate {
        let menu = self.menu();
        if !self.strike(menu != Some(Menu::Outage), 25, sim) {
            return Fate::Answered;
        }
        let choice = match menu {
            Some(Menu::Freeze) => 12,
            Some(Menu::Answer | Menu::Outage) => sim.below(9),
            Some(Menu::Anything) => sim.below(11),
            None => sim.below(13),
        };
        match choice {
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
            8 => Fate::AnswerLost,
            9 | 10 => Fate::CallerCrashes,
            11 => Fate::TooLate,
            _ => Fate::CallerFreezes(a_while(sim)),
        }
    }

    /// What happens when a job is handed over.
    pub(super) fn at_bus(&mut self, sim: &Sim) -> Option<QueueFault> {
        let on = matches!(self.menu(), None | Some(Menu::Anything));
        self.strike(on, 5, sim).then(|| match sim.below(3) {
            0 => QueueFault::NotTaken,
            1 => QueueFault::AnswerLost,
            _ => QueueFault::Crash,
        })
    }

    /// Whether a job that a queue has taken is never delivered.
    pub(super) fn loses_job(&mut self, sim: &Sim) -> bool {
        let on = matches!(self.menu(), None | Some(Menu::Anything));
        self.strike(on, 3, sim)
    }

    /// Whether the schedule forgets a minute.
    pub(super) fn loses_tick(&mut self, sim: &Sim) -> bool {
        let on = matches!(self.menu(), None | Some(Menu::Anything));
        // A single fault is rather one that something depends on.
        let on = on && (self.menu().is_none() || sim.chance(20));
        self.strike(on, 30, sim)
    }

    /// Whether a call to the key service fails; and then as throttled (F32) or denied (F33).
    pub(super) fn at_keys(&mut self, sim: &Sim) -> Option<bool> {
        let on = matches!(self.menu(), None | Some(Menu::Anything));
        self.strike(on, 10, sim).then(|| sim.chance(50))
    }

    fn menu(&self) -> Option<Menu> {
        match self.plan {
            Plan::One { of, .. } => Some(of),
            Plan::Nothing | Plan::Everything | Plan::Seldom => None,
        }
    }

    fn strike(&mut self, on_the_menu: bool, percent: u64, sim: &Sim) -> bool {
        if !on_the_menu || sim.now() >= self.quiet_from {
            return false;
        }
        self.opportunities += 1;
        let strikes = match self.plan {
            Plan::Nothing => false,
            Plan::One { .. } => self.opportunities == self.strikes_at,
            Plan::Everything => sim.chance(percent),
            Plan::Seldom => sim.below(2_000) < percent,
        };
        self.dealt += u64::from(strikes);
        strikes
    }
}

/// How long a sandbox stands still: past the lease, past the grace.
fn a_while(sim: &Sim) -> u64 {
    5_000 + sim.below(295_000)
}

//! Every kind of story by its name.

use super::faults::{Menu, Plan};
use super::provider::Rotation;

/// What kind of story is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    /// How the provider treats refresh tokens.
    pub(super) rotation: Rotation,
    /// What goes wrong.
    pub(super) faults: Plan,
    /// Whether the scheduled refresh runs.
    pub(super) sweeps: bool,
    /// Whether the protocol promises that nothing is lost.
    pub(super) loses_nothing: bool,
    /// Whether it is the long story of grants that die of disuse.
    pub(super) year: bool,
}

/// A lost answer is found by the queue's retry: 8 s, 22 s, and some for its delivery.
const GRACE_FOR_AN_ANSWER: Rotation = Rotation::Grace(45);
/// A crash is found by a tick: a lease that is over just after one waits for the next.
const GRACE_FOR_A_CRASH: Rotation = Rotation::Grace(100);

/// All of them.
pub(super) const MODES: [(&str, Mode); 19] = [
    ("calm-strict", calm(Rotation::Strict)),
    ("calm-grace", calm(Rotation::Grace(60))),
    ("calm-sliding", calm(Rotation::Sliding)),
    ("calm-fixed", calm(Rotation::Fixed)),
    ("one-answer", one(Menu::Answer, GRACE_FOR_AN_ANSWER)),
    ("one-fault-asked", asked(Rotation::Grace(60))),
    ("one-fault-swept", one(Menu::Anything, GRACE_FOR_A_CRASH)),
    ("one-fault-sliding", one(Menu::Anything, Rotation::Sliding)),
    ("one-fault-fixed", one(Menu::Anything, Rotation::Fixed)),
    ("one-fault-strict", one_at_strict(Menu::Anything)),
    ("outage-strict", one(Menu::Outage, Rotation::Strict)),
    ("outage-grace", one(Menu::Outage, Rotation::Grace(60))),
    ("outage-fixed", one(Menu::Outage, Rotation::Fixed)),
    ("freeze-fixed", one(Menu::Freeze, Rotation::Fixed)),
    ("everything-strict", everything(Rotation::Strict)),
    ("everything-grace", everything(Rotation::Grace(60))),
    ("everything-sliding", everything(Rotation::Sliding)),
    ("everything-fixed", everything(Rotation::Fixed)),
    ("year", year()),
];

/// The mode of a name.
pub(super) fn mode(name: &str) -> Mode {
    let found = MODES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no mode {name}")).1
}

const fn calm(rotation: Rotation) -> Mode {
    Mode {
        rotation,
        faults: Plan::Nothing,
        sweeps: true,
        loses_nothing: true,
        year: false,
    }
}

/// One fault, after which nothing may be lost.
pub(super) const fn one(of: Menu, rotation: Rotation) -> Mode {
    let among = match of {
        Menu::Anything => 60,
        Menu::Freeze => 20,
        Menu::Answer | Menu::Outage => 8,
    };
    Mode {
        faults: Plan::One { of, among },
        ..calm(rotation)
    }
}

/// Without ticks: who asks is who retries.
const fn asked(rotation: Rotation) -> Mode {
    Mode {
        sweeps: false,
        ..one(Menu::Anything, rotation)
    }
}

/// A strict provider's answer that is lost is lost for good (F4, F8).
const fn one_at_strict(of: Menu) -> Mode {
    Mode {
        loses_nothing: false,
        ..one(of, Rotation::Strict)
    }
}

const fn everything(rotation: Rotation) -> Mode {
    Mode {
        faults: Plan::Everything,
        loses_nothing: false,
        ..calm(rotation)
    }
}

const fn year() -> Mode {
    Mode {
        faults: Plan::Seldom,
        year: true,
        ..calm(Rotation::Sliding)
    }
}

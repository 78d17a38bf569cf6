//! The rules a game is played by: those of the engine, and those that fail elsewhere.

use std::time::Duration;

use shared::domain::connection::LEASE;
use shared::domain::provider::Rotation;

/// Which rules hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// For how long a lease is taken; `None` when there is no lease at all.
    pub(super) lease: Option<Duration>,
    /// Whether only its owner ends a lease (B3).
    pub(super) owned: bool,
    /// Whether a worker that is refused the lease never asks the provider (B4).
    pub(super) patient: bool,
    /// Whether what is sent comes with the lease and was not read before (B5).
    pub(super) read_under_lease: bool,
    /// Whether writes name the generation they replace, and require a live connection.
    pub(super) fenced: bool,
    /// Whether a lost answer is given the time to settle before the next request.
    pub(super) settles: bool,
    /// Whether one refusal is not believed (B6, B9).
    pub(super) doubts: bool,
    /// Whether tokens that may be in escrow are waited for before the old ones are sent.
    pub(super) waits_for_escrow: bool,
    /// Whether tokens come out of escrow only while no other attempt holds the lease.
    pub(super) escrow_yields: bool,
}

/// The engine's.
pub(super) const ENGINE: Rules = Rules {
    lease: Some(LEASE),
    owned: true,
    patient: true,
    read_under_lease: true,
    fenced: true,
    settles: true,
    doubts: true,
    waits_for_escrow: true,
    escrow_yields: true,
};

/// How often each thing may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// The user disconnects.
    pub(super) disconnect: bool,
    /// A worker dies.
    pub(super) crash: bool,
    /// A request or its answer is lost, or the request arrives after its sender gave up.
    pub(super) answer: bool,
    /// The table goes away just after the provider has answered.
    pub(super) table: bool,
    /// The provider refuses without a reason.
    pub(super) refusal: bool,
}

/// One game.
#[derive(Clone, Copy, Debug)]
pub(super) struct Game {
    pub(super) rules: Rules,
    pub(super) rotation: Rotation,
    pub(super) faults: Faults,
    /// How many attempts are made.
    pub(super) workers: usize,
}

//! What can happen, and what must not.

use super::model::State;

/// What must not happen; of [`Wrong::LostUnheard`] see there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrong {
    /// The stored refresh token is dead, and whatever the provider issued was heard.
    Lost,
    /// As `Lost`, but tokens were issued that nobody heard of. Inherent where a spent token dies.
    LostUnheard,
    /// Two token requests at a time (H-60).
    TwoRequests,
    /// An older generation or token set over a newer one (H-62).
    Regressed,
    /// Tokens for a connection that was disconnected (H-63).
    Resurrected,
    /// `reconnect_required` while the stored token is good (H-64).
    FalselyDead,
    /// A token is spent again while its successor is in escrow (H-69).
    EscrowOvertaken,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    TimePasses,
    Disconnects,
    TableComesBack,
    Reads,
    IsRefusedTheLease,
    TakesTheLease,
    TakesTheLeaseForARetry,
    GoesAheadWithoutTheLease,
    ReleasesTheLease,
    LetsItSettle,
    Asks,
    RequestIsLost,
    RequestIsLate,
    IsProcessed,
    IsProcessedUnheard,
    IsRefusedWithoutAReason,
    LearnsNothing,
    Stores,
    StoresNothing,
    PutsIntoEscrow,
    RecordsFailure,
    RecordsNothing,
    DeclaresDead,
    ComesOutOfEscrow,
    EscrowIsNotNeeded,
    Crashes,
}

impl What {
    pub(super) const ALL: [Self; 26] = [
        Self::TimePasses,
        Self::Disconnects,
        Self::TableComesBack,
        Self::Reads,
        Self::IsRefusedTheLease,
        Self::TakesTheLease,
        Self::TakesTheLeaseForARetry,
        Self::GoesAheadWithoutTheLease,
        Self::ReleasesTheLease,
        Self::LetsItSettle,
        Self::Asks,
        Self::RequestIsLost,
        Self::RequestIsLate,
        Self::IsProcessed,
        Self::IsProcessedUnheard,
        Self::IsRefusedWithoutAReason,
        Self::LearnsNothing,
        Self::Stores,
        Self::StoresNothing,
        Self::PutsIntoEscrow,
        Self::RecordsFailure,
        Self::RecordsNothing,
        Self::DeclaresDead,
        Self::ComesOutOfEscrow,
        Self::EscrowIsNotNeeded,
        Self::Crashes,
    ];
}

/// One thing that can happen next.
pub(super) struct Turn {
    pub(super) what: What,
    pub(super) worker: Option<usize>,
    pub(super) state: State,
    pub(super) wrong: Option<Wrong>,
}

impl Turn {
    pub(super) fn of(what: What, state: State) -> Self {
        Self {
            what,
            worker: None,
            state,
            wrong: None,
        }
    }

    pub(super) fn by(self, worker: usize) -> Self {
        Self {
            worker: Some(worker),
            ..self
        }
    }

    pub(super) fn wrong_if(self, wrong: Option<Wrong>) -> Self {
        Self { wrong, ..self }
    }
}

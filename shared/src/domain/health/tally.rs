//! What token requests come to, seen from their connector, and how many came to what.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use crate::domain::token::{TokenAnswer, TokenFailure};

/// What one token request says about its connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Tokens.
    Tokens,
    /// Tokens, for the client's previous secret: the current one was refused.
    TokensByPrevious,
    /// No answer, or one that blames the provider: unknown outcome, not sent, 5xx, 429 without a
    /// date (F10, F12, F13).
    Failed,
    /// An answer that names when to come back, for the whole client (F11).
    Throttled {
        /// From `Retry-After`.
        after: Duration,
    },
    /// `invalid_grant`.
    GrantRefused,
    /// `invalid_request`, `invalid_scope`, `unsupported_grant_type`.
    RequestRefused,
    /// `invalid_client`, `unauthorized_client` (F26).
    ClientRefused,
    /// A redirect (F17).
    Redirected,
    /// Any other answer: about one grant, or nothing in particular.
    Other,
}

impl Seen {
    /// What the result of a token request says.
    pub fn of(result: Result<&TokenAnswer, &TokenFailure>) -> Self {
        let failure = match result {
            Ok(answer) if answer.by_previous_secret => return Self::TokensByPrevious,
            Ok(_) => return Self::Tokens,
            Err(failure) => failure,
        };
        match failure {
            // A date that has passed asks for no pause.
            TokenFailure::TryLater { after: Some(after) } if !after.is_zero() => {
                Self::Throttled { after: *after }
            }
            TokenFailure::TryLater { .. }
            | TokenFailure::NotSent
            | TokenFailure::OutcomeUnknown
            | TokenFailure::AddressRefused => Self::Failed,
            TokenFailure::GrantRefused => Self::GrantRefused,
            TokenFailure::RequestRefused => Self::RequestRefused,
            TokenFailure::ClientRefused => Self::ClientRefused,
            TokenFailure::Redirected => Self::Redirected,
            TokenFailure::InteractionRequired
            | TokenFailure::UnknownTokenType
            | TokenFailure::Unexpected { .. } => Self::Other,
        }
    }

    /// Whether it brought tokens.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Tokens | Self::TokensByPrevious => true,
            Self::Throttled { .. }
            | Self::Failed
            | Self::GrantRefused
            | Self::RequestRefused
            | Self::ClientRefused
            | Self::Redirected
            | Self::Other => false,
        }
    }

    /// The pause that was asked for.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after } => Some(*after),
            Self::Tokens
            | Self::TokensByPrevious
            | Self::Failed
            | Self::GrantRefused
            | Self::RequestRefused
            | Self::ClientRefused
            | Self::Redirected
            | Self::Other => None,
        }
    }
}

/// What token requests came to. Not each is counted in one of the parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub calls: u64,
    /// Those that brought tokens.
    pub successes: u64,
    /// [`Seen::Failed`].
    pub failures: u64,
    /// [`Seen::GrantRefused`].
    pub refusals: u64,
    /// [`Seen::RequestRefused`].
    pub malformed: u64,
}

impl Tally {
    /// The tally of some requests.
    pub fn of(seen: &[Seen]) -> Self {
        let count = |kind| seen.iter().filter(|one| **one == kind).count() as u64;
        Self {
            calls: seen.len() as u64,
            successes: count(Seen::Tokens) + count(Seen::TokensByPrevious),
            failures: count(Seen::Failed),
            refusals: count(Seen::GrantRefused),
            malformed: count(Seen::RequestRefused),
        }
    }

    /// Whether every request brought tokens.
    pub fn is_clean(&self) -> bool {
        self.successes == self.calls
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            successes: self.successes.saturating_add(other.successes),
            failures: self.failures.saturating_add(other.failures),
            refusals: self.refusals.saturating_add(other.refusals),
            malformed: self.malformed.saturating_add(other.malformed),
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

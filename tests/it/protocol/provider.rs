//! One grant at a provider, in the three ways that providers treat refresh tokens.

use std::time::Duration;

use shared::domain::provider::Rotation;

use super::row::millis;

/// More tokens than the model's attempts can make.
pub(super) const TOKENS: usize = 8;

/// One consent. Tokens are numbered in the order they are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) live: bool,
    pub(super) latest: u8,
    /// For how many more milliseconds each spent token is taken again.
    again: [u32; TOKENS],
}

impl Grant {
    pub(super) fn new() -> Self {
        Self {
            live: true,
            latest: 0,
            again: [0; TOKENS],
        }
    }

    /// Whether a refresh token would be taken.
    pub(super) fn honours(&self, token: u8) -> bool {
        self.live && (token == self.latest || self.again[usize::from(token)] > 0)
    }

    /// How much longer a token is taken that has been spent; `None` for one that has not.
    pub(super) fn left(&self, token: u8) -> Option<u32> {
        (token != self.latest).then_some(self.again[usize::from(token)])
    }

    /// A token is presented. Answers the one that replaces it, or the same where none does;
    /// `None` is a refusal, and the end of the grant: a token that is replayed was stolen, for
    /// all that a provider knows.
    pub(super) fn present(&mut self, token: u8, rotation: Rotation) -> Option<u8> {
        if !self.honours(token) {
            self.live = false;
            return None;
        }
        match rotation {
            Rotation::None | Rotation::Sliding => return Some(token),
            Rotation::Strict => {}
            // The time runs from the first use on, and of the tokens that further uses bring
            // only the latest is good.
            Rotation::Grace(grace) if token == self.latest => {
                self.again[usize::from(token)] = millis(grace);
            }
            Rotation::Grace(_) => {}
        }
        self.latest += 1;
        Some(self.latest)
    }

    /// Nobody has these tokens any more.
    pub(super) fn forget(&mut self, held: &[bool; TOKENS]) {
        for (left, held) in self.again.iter_mut().zip(held) {
            *left = if *held { *left } else { 0 };
        }
    }

    /// The same grant so much later.
    pub(super) fn later(mut self, time: Duration) -> Self {
        for left in &mut self.again {
            *left = left.saturating_sub(millis(time));
        }
        self
    }
}

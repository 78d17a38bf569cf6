//! The invariants.

use std::collections::BTreeSet;

use shared::domain::connection::{ConnectionKey, ReconnectReason};
use shared::domain::ids::ConnectionId;
use shared::domain::refresh_protocol::MAX_PAUSE;
use shared::refresh::FreshTokens;

use super::provider::Pair;
use super::world::World;

impl World {
    /// I1: one token request at a time for a grant, counting those that are still under way
    /// though their sender has given up, died or stands still.
    pub(super) fn sends(&self, grant: usize) {
        let alone = {
            let mut book = self.book();
            book.counts.requests += 1;
            book.under_way.insert(grant)
        };
        if !alone {
            self.sim
                .violate(format!("I1: two token requests at once for grant {grant}"));
        }
    }

    /// The end of a token request.
    pub(super) fn arrives(&self, grant: usize) {
        self.book().under_way.remove(&grant);
    }

    /// I4 and I5, after each write of tokens: they are newer than what stood there, and nothing
    /// is live that was disconnected.
    pub(super) fn judge_stored(&self, key: &ConnectionKey) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(pair) = self.held_by(&connection, |tokens| Some(tokens.access_token)) else {
            return;
        };
        let (before, ended) = {
            let mut book = self.book();
            let ended = book.ended.contains(&connection.id);
            (book.stored.insert(key.clone(), pair), ended)
        };
        self.grants().stored(pair.grant);
        self.sim.tell(|| format!("stored {pair:?}"));
        if before.is_some_and(|before| before > pair) {
            self.sim.violate(format!("I4: {pair:?} over {before:?}"));
        }
        if ended && connection.status.is_live() {
            self.sim.violate(format!(
                "I5: {} was disconnected and is live",
                connection.id
            ));
        }
    }

    /// I2, I3 and I6, after a connection was declared dead: where nothing may be lost nothing
    /// is, and elsewhere the refresh token really is dead.
    pub(super) fn judge_dead(&self, key: &ConnectionKey, reason: ReconnectReason) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(refresh) = self.held_by(&connection, |tokens| tokens.refresh_token) else {
            return;
        };
        self.book().counts.lost += 1;
        if self.mode.loses_nothing {
            self.sim.violate(format!("I2/I3: lost as {reason:?}"));
        }
        let honoured = self.grants().honours(refresh, self.sim.now());
        if honoured {
            self.sim.violate(format!(
                "I6: declared dead as {reason:?}, but {refresh:?} is good"
            ));
        }
    }

    /// At the end: the sweep still finds what it has to keep alive (F6, F31).
    pub(super) fn judge_due(&self, key: &ConnectionKey) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(due_at) = connection.due_at.filter(|_| connection.status.is_live()) else {
            return;
        };
        // A pause may have moved it, by an hour at most.
        let latest = due_at.max(self.sim.timestamp().after(MAX_PAUSE));
        let mut entries = self.entries().into_iter();
        let found =
            entries.any(|(work, _)| work.due_at <= latest && work.id == connection.id.as_str());
        if !found {
            self.sim.violate(format!(
                "I7: {} is due at {due_at} and no sweep will find it",
                connection.id
            ));
        }
    }

    /// I5 and H-70, at each hand-out: no token of a connection that was gone before it was asked
    /// for, and none that has expired.
    ///
    /// Not of a process that could not know: its clock is known to be wrong, or it stood still
    /// between its look at the clock and its answer.
    pub(super) fn judge_hand_out(
        &self,
        fresh: &FreshTokens,
        ended: &BTreeSet<ConnectionId>,
        knows_the_time: bool,
    ) {
        self.book().counts.hand_outs += 1;
        let id = &fresh.connection.id;
        if ended.contains(id) {
            self.sim
                .violate(format!("I5: a token of {id}, which was disconnected"));
        }
        let pair = Pair::of(&fresh.tokens.access_token).expect("a token of ours");
        let expiry = self.grants().expiry(pair);
        if knows_the_time && expiry <= self.sim.now() {
            self.sim
                .violate(format!("H-70: {pair:?} expired at {expiry} ms"));
        }
    }

    /// At the end, F30: no grant is live at the provider that no connection knows of, but for one
    /// a fault.
    pub(super) fn judge_orphans(&self) -> Result<(), String> {
        let live: Vec<_> = {
            let grants = self.grants();
            let live = grants.live();
            live.map(|(grant, user)| (grant, user.clone())).collect()
        };
        let orphans: Vec<_> = live
            .into_iter()
            .filter(|(grant, user)| {
                let stored = self.stored(user);
                let held = stored.and_then(|it| self.held_by(&it, |tokens| tokens.refresh_token));
                held.is_none_or(|held| held.grant != *grant)
            })
            .collect();
        if orphans.len() as u64 > self.counts().faults {
            return Err(format!(
                "F30: nobody knows of {orphans:?} and they are live"
            ));
        }
        Ok(())
    }
}

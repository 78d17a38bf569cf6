//! The rules that a process can break on purpose, to see whether the simulator notices.

use std::time::Duration;

use shared::domain::connection::{Connection, ConnectionKey, Lease, ReconnectReason};
use shared::domain::event::{Change, Event};
use shared::domain::ids::{AttemptId, ConnectionId};
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::time::Timestamp;
use shared::events::{connection_event, reconnect_required};
use shared::ports::{
    ConnectWrite, Connections as _, DueTable as _, EscrowWrite, LeaseAnswer, LeaseWrite,
    RefreshedTokens, StoreError,
};

use super::store::SimStore;
use super::user;

/// A rule of the protocol that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Everybody gets the lease.
    LeaseForEverybody,
    /// Who is refused the lease waits a while, and goes ahead without it (B4).
    LeaseAfterAWait,
    /// The lease ends after a second, long before the request does (B2).
    LeaseOfASecond,
    /// Who is refused the lease ends the one that stands, as who ends a lock by its name does (B3).
    LeaseEndedByAnybody,
    /// The lease comes with what was read before it was granted (B5).
    SnapshotBeforeLease,
    /// Tokens are stored over whatever generation stands there.
    GenerationIgnored,
    /// Tokens are stored for a connection that is gone.
    StatusIgnored,
    /// Tokens out of escrow are stored while another attempt holds the lease.
    EscrowYieldsToNobody,
    /// The first `invalid_grant` makes the user reconnect (B9).
    FirstRefusalIsFinal,
    /// The due entry that stands is removed before the next one is added (F31).
    DueEntryRemovedFirst,
}

impl SimStore {
    pub(super) async fn lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let (sim, store) = (&self.0.sim, &self.0.store);
        let before = match self.0.sabotage {
            Some(Sabotage::SnapshotBeforeLease) => {
                let before = store.connection(key).await?;
                sim.sleep(sim.below(5_000)).await;
                before
            }
            _ => None,
        };
        let promised = until;
        let until = match self.0.sabotage {
            Some(Sabotage::LeaseOfASecond) => now.after(Duration::from_secs(1)),
            _ => until,
        };
        let anyway = |connection: Connection| {
            let attempt = attempt.clone();
            LeaseAnswer::Granted(Box::new(Lease {
                attempt,
                until,
                connection,
            }))
        };
        let answer = store.acquire_lease(key, attempt, now, until).await?;
        Ok(match (self.0.sabotage, answer) {
            (Some(Sabotage::LeaseForEverybody), LeaseAnswer::NotNow(current)) => anyway(*current),
            (Some(Sabotage::LeaseAfterAWait), LeaseAnswer::NotNow(_)) => {
                sim.sleep(1_000).await;
                let current = store.connection(key).await?;
                current.map_or(LeaseAnswer::Gone, anyway)
            }
            (Some(Sabotage::LeaseEndedByAnybody), LeaseAnswer::NotNow(current)) => {
                if let Some(attempt) = self.0.holder(key) {
                    let standing = Lease {
                        attempt,
                        until,
                        connection: *current.clone(),
                    };
                    store.release_lease(&standing).await?;
                }
                LeaseAnswer::NotNow(current)
            }
            (Some(Sabotage::SnapshotBeforeLease), LeaseAnswer::Granted(_)) => {
                before.map_or(LeaseAnswer::Gone, anyway)
            }
            (_, LeaseAnswer::Granted(mut lease)) => {
                self.0.hold(&lease);
                // Who is cheated does not know.
                lease.until = promised;
                LeaseAnswer::Granted(lease)
            }
            (_, answer) => answer,
        })
    }

    pub(super) async fn keep(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        let (world, key) = (&self.0, &lease.connection.key);
        let current = world.stored(key);
        let answer = match (world.sabotage, current) {
            (Some(Sabotage::GenerationIgnored), Some(current)) => {
                self.keep_over(&current, lease, tokens, now).await
            }
            (Some(Sabotage::StatusIgnored), Some(current)) if current.status.is_gone() => {
                self.resurrect(current, lease, tokens).await
            }
            _ => world.store.store_tokens(lease, tokens, now).await,
        };
        world.judge_stored(key);
        answer
    }

    pub(super) async fn keep_escrowed(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<EscrowWrite, StoreError> {
        if self.0.sabotage == Some(Sabotage::EscrowYieldsToNobody) {
            return self.keep(lease, tokens, now).await.map(EscrowWrite::Ended);
        }
        let answer = self.0.store.store_escrowed(lease, tokens, now).await;
        self.0.judge_stored(&lease.connection.key);
        answer
    }

    async fn keep_over(
        &self,
        current: &Connection,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        // The seal names the generation too and would give the game away.
        let (world, keys) = (&self.0, &self.0.keys);
        let next = lease.connection.generation + 1;
        let opened = keys
            .open_tokens_of(&lease.connection.id, next, &tokens.sealed)
            .expect("just sealed");
        let next = current.generation + 1;
        let tokens = RefreshedTokens {
            sealed: keys.seal_tokens(&*world.entropy, &current.id, next, &opened),
            ..tokens.clone()
        };
        let lease = Lease {
            connection: current.clone(),
            ..lease.clone()
        };
        world.store.store_tokens(&lease, &tokens, now).await
    }

    async fn resurrect(
        &self,
        current: Connection,
        lease: &Lease,
        tokens: &RefreshedTokens,
    ) -> Result<LeaseWrite, StoreError> {
        let connection = Connection {
            sealed: Some(tokens.sealed.clone()),
            generation: lease.connection.generation + 1,
            validity: tokens.validity,
            ..lease.connection.clone()
        };
        let (world, now) = (&self.0, self.0.sim.timestamp());
        let write = ConnectWrite {
            session: user::session(world, &connection.key).await,
            event: connection_event(&*world.entropy, &connection, Change::Connected, now),
            connection,
            replaces: Some(current),
        };
        world.store.connect(&write).await?;
        Ok(LeaseWrite::Written)
    }

    pub(super) async fn fail(
        &self,
        lease: &Lease,
        failure: &FailedAttempt,
    ) -> Result<LeaseWrite, StoreError> {
        if let FailedAttempt::Suspect { .. } = failure
            && self.0.sabotage == Some(Sabotage::FirstRefusalIsFinal)
        {
            let (reason, now) = (ReconnectReason::GrantRevoked, self.0.sim.timestamp());
            let change = reconnect_required(reason);
            let event = connection_event(&*self.0.entropy, &lease.connection, change, now);
            return self.give_up(lease, reason, now, &event).await;
        }
        self.0.store.record_failure(lease, failure).await
    }

    pub(super) async fn give_up(
        &self,
        lease: &Lease,
        reason: ReconnectReason,
        since: Timestamp,
        event: &Event,
    ) -> Result<LeaseWrite, StoreError> {
        let store = &self.0.store;
        let answer = store.require_reconnect(lease, reason, since, event).await;
        if matches!(answer, Ok(LeaseWrite::Written)) {
            self.0.sim.tell(|| format!("declared dead as {reason:?}"));
            self.0.judge_dead(&lease.connection.key, reason);
        }
        answer
    }

    /// Before a due entry is added; the next request goes its own way, and may fail on it.
    pub(super) async fn clear_way(&self, id: &ConnectionId) -> Result<(), StoreError> {
        if self.0.sabotage != Some(Sabotage::DueEntryRemovedFirst) {
            return Ok(());
        }
        for (work, _) in self.0.entries() {
            if work.id == id.as_str() {
                self.0.store.remove_found_refresh(&work).await?;
            }
        }
        self.leg("add_refresh").await
    }
}

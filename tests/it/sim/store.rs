//! The reference store as a process sees it over a network: each call takes time on its way
//! there and back, and can go wrong on either. Here too the rules of the store can be broken on
//! purpose, to see whether the simulator notices.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::connection::{
    Connection, ConnectionKey, Lease, ReconnectReason, RevocationOutcome,
};
use shared::domain::event::Event;
use shared::domain::health::{Breaker, Health, Tally};
use shared::domain::ids::{AppId, AttemptId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::time::Timestamp;
use shared::events::{connection_event, reconnect_required};
use shared::ports::{
    ConnectAnswer, ConnectWrite, Connections, ConnectorHealth, DueTable, DueWork, LeaseAnswer,
    LeaseWrite, Page, RefreshedTokens, Revocation, StoreError,
};

use super::faults::StoreFault;
use super::world::World;

/// A rule of the protocol that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Everybody gets the lease.
    LeaseForEverybody,
    /// Who is refused the lease waits a while, and goes ahead without it (B4).
    LeaseAfterAWait,
    /// The lease ends after a second, long before the request does (B2).
    LeaseOfASecond,
    /// The lease comes with what was read before it was granted (B5).
    SnapshotBeforeLease,
    /// Tokens are stored over whatever generation stands there.
    GenerationIgnored,
    /// The first `invalid_grant` makes the user reconnect (B9).
    FirstRefusalIsFinal,
}

/// The store, seen from one process.
pub(super) struct SimStore(pub(super) Arc<World>);

impl SimStore {
    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.leg(method).await?;
        let answer = call.await;
        self.leg(method).await?;
        answer
    }

    /// The way to the store or back.
    async fn leg(&self, method: &'static str) -> Result<(), StoreError> {
        let sim = &self.0.sim;
        let takes = match sim.below(10) {
            0 => sim.below(400),
            _ => sim.below(20),
        };
        sim.sleep(takes).await;
        if !sim.in_invocation() {
            return Ok(());
        }
        let fault = self.0.faults().at_store(method, sim);
        if let Some(fault) = fault {
            sim.tell(|| format!("{method}: {fault:?}"));
        }
        match fault {
            None => Ok(()),
            Some(StoreFault::Unavailable) => Err(StoreError::Unavailable("simulated".into())),
            Some(StoreFault::Crash) => sim.crash().await,
        }
    }

    async fn lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let store = &self.0.store;
        let anyway = |connection: Connection| {
            let attempt = attempt.clone();
            LeaseAnswer::Granted(Box::new(Lease {
                attempt,
                until,
                connection,
            }))
        };
        match self.0.sabotage {
            Some(Sabotage::LeaseForEverybody) => {
                match store.acquire_lease(key, attempt, now, until).await? {
                    LeaseAnswer::NotNow(current) => Ok(anyway(*current)),
                    answer => Ok(answer),
                }
            }
            Some(Sabotage::LeaseAfterAWait) => {
                match store.acquire_lease(key, attempt, now, until).await? {
                    LeaseAnswer::NotNow(_) => {
                        self.0.sim.sleep(1_000).await;
                        let current = store.connection(key).await?;
                        Ok(current.map_or(LeaseAnswer::Gone, anyway))
                    }
                    answer => Ok(answer),
                }
            }
            Some(Sabotage::LeaseOfASecond) => {
                let until = now.after(Duration::from_secs(1));
                store.acquire_lease(key, attempt, now, until).await
            }
            Some(Sabotage::SnapshotBeforeLease) => {
                let before = store.connection(key).await?;
                self.0.sim.sleep(self.0.sim.below(5_000)).await;
                match store.acquire_lease(key, attempt, now, until).await? {
                    LeaseAnswer::Granted(lease) => {
                        Ok(before.map_or(LeaseAnswer::Gone, anyway)).inspect(|_| drop(lease))
                    }
                    answer => Ok(answer),
                }
            }
            Some(Sabotage::GenerationIgnored | Sabotage::FirstRefusalIsFinal) | None => {
                store.acquire_lease(key, attempt, now, until).await
            }
        }
    }

    async fn keep(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        let (world, key) = (&self.0, &lease.connection.key);
        let current = world.stored(key);
        let answer = match current.filter(|_| world.sabotage == Some(Sabotage::GenerationIgnored)) {
            Some(current) => {
                // The seal names the generation too and would give the game away.
                let keys = &world.keys;
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
                    attempt: lease.attempt.clone(),
                    until: lease.until,
                    connection: current,
                };
                world.store.store_tokens(&lease, &tokens, now).await
            }
            None => world.store.store_tokens(lease, tokens, now).await,
        };
        world.judge_stored(key);
        answer
    }

    async fn fail(&self, lease: &Lease, failure: &FailedAttempt) -> Result<LeaseWrite, StoreError> {
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

    async fn give_up(
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
}

/// Every method of a port: passed on to the reference store, or to a method of ours.
macro_rules! over_the_network {
    (
        $port:ident {
            $($method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
        }
        ours { $($own:ident($($a:ident: $t:ty),*) -> $r:ty = $ours:ident;)* }
        at_once { $($fixed:ident($($b:ident: $u:ty),*) -> $s:ty;)* }
    ) => {
        #[async_trait]
        impl $port for SimStore {
            $(fn $fixed(&self, $($b: $u),*) -> $s {
                self.0.store.$fixed($($b),*)
            })*
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.around(stringify!($method), self.0.store.$method($($argument),*)).await
            })*
            $(async fn $own(&self, $($a: $t),*) -> Result<$r, StoreError> {
                self.around(stringify!($own), self.$ours($($a),*)).await
            })*
        }
    };
}

over_the_network! {
    Connections {
        connection(key: &ConnectionKey) -> Option<Connection>;
        of_user(workspace: &WorkspaceId, app: &AppId, user: &UserId) -> Vec<Connection>;
        of_connector(
            workspace: &WorkspaceId, connector: &ConnectorId, after: Option<&str>, limit: u32
        ) -> Page<Connection>;
        by_id(workspace: &WorkspaceId, connector: &ConnectorId, id: &ConnectionId)
            -> Option<Connection>;
        connect(write: &ConnectWrite) -> ConnectAnswer;
        release_lease(lease: &Lease) -> ();
        disconnect(connection: &Connection, revocation: Option<&Revocation>, event: &Event)
            -> bool;
        settle_revocation(
            key: &ConnectionKey, id: &ConnectionId, outcome: RevocationOutcome, now: Timestamp
        ) -> ();
        record_read(key: &ConnectionKey, at: Timestamp) -> ();
    }
    ours {
        acquire_lease(key: &ConnectionKey, attempt: &AttemptId, now: Timestamp, until: Timestamp)
            -> LeaseAnswer = lease;
        store_tokens(lease: &Lease, tokens: &RefreshedTokens, now: Timestamp) -> LeaseWrite = keep;
        record_failure(lease: &Lease, failure: &FailedAttempt) -> LeaseWrite = fail;
        require_reconnect(lease: &Lease, reason: ReconnectReason, since: Timestamp, event: &Event)
            -> LeaseWrite = give_up;
    }
    at_once {}
}

over_the_network! {
    DueTable {
        add_refresh(key: &ConnectionKey, id: &ConnectionId, due_at: Timestamp) -> ();
        due_refreshes(shard: u32, now: Timestamp, after: Option<&str>, limit: u32)
            -> Page<(DueWork, ConnectionKey)>;
        remove_refresh(id: &ConnectionId, due_at: Timestamp) -> ();
        remove_found_refresh(work: &DueWork) -> ();
        add_revocation(revocation: &Revocation, due_at: Timestamp) -> DueWork;
        due_revocations(shard: u32, now: Timestamp, limit: u32) -> Vec<(DueWork, Revocation)>;
        postpone_revocation(work: &DueWork, revocation: &Revocation, due_at: Timestamp) -> ();
        remove_revocation(work: &DueWork) -> ();
        due_deletions(shard: u32, now: Timestamp, limit: u32)
            -> Vec<(DueWork, WorkspaceId, ConnectorId)>;
        add_event(event: &Event) -> ();
        unsent_events(shard: u32, before: Timestamp, limit: u32) -> Vec<(DueWork, Event)>;
        remove_event(event: &Event) -> ();
        remove_found_event(work: &DueWork) -> ();
    }
    ours {}
    at_once {
        shards() -> u32;
        revocation_work(revocation: &Revocation) -> DueWork;
    }
}

over_the_network! {
    ConnectorHealth {
        health(workspace: &WorkspaceId, connector: &ConnectorId, now: Timestamp) -> Health;
        count(workspace: &WorkspaceId, connector: &ConnectorId, now: Timestamp, tally: &Tally)
            -> Tally;
        trip(
            workspace: &WorkspaceId, connector: &ConnectorId, breaker: &Breaker,
            replacing: Option<&Breaker>, event: Option<&Event>
        ) -> bool;
        close(workspace: &WorkspaceId, connector: &ConnectorId, breaker: &Breaker, now: Timestamp)
            -> bool;
    }
    ours {}
    at_once {}
}

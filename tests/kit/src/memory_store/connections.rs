//! Connections and their leases.

use async_trait::async_trait;
use shared::domain::census::{Life, Listed};
use shared::domain::connection::{
    Connection, ConnectionKey, ConnectionStatus, Lease, Readers, ReconnectReason, RevocationOutcome,
};
use shared::domain::event::Event;
use shared::domain::ids::{AppId, AttemptId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use shared::domain::refresh_protocol::{FailedAttempt, is_lease_over, may_lease, may_store};
use shared::domain::scopes::ScopeList;
use shared::domain::session::Stage;
use shared::domain::time::Timestamp;
use shared::ports::{
    ConnectAnswer, ConnectWrite, Connections, EscrowWrite, LeaseAnswer, LeaseWrite, Page,
    RefreshedTokens, Revocation, StoreError,
};

use super::{Held, Kept, MemoryStore, State, page};

#[async_trait]
impl Connections for MemoryStore {
    async fn connection(&self, key: &ConnectionKey) -> Result<Option<Connection>, StoreError> {
        let state = self.state();
        Ok(state.connections.get(key).map(Kept::as_stored))
    }

    async fn of_user(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        user: &UserId,
    ) -> Result<Vec<Connection>, StoreError> {
        let state = self.state();
        let own = state.connections.iter().filter(|(key, _)| {
            (&key.workspace, &key.app, key.subject.user()) == (workspace, app, Some(user))
        });
        Ok(own.map(|(_, kept)| kept.as_stored()).collect())
    }

    async fn of_connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let state = self.state();
        let listed = state.listed(workspace, connector);
        let listed = listed.map(|kept| &kept.connection);
        Ok(page(listed, |found| found.id.as_str(), after, limit))
    }

    async fn of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let state = self.state();
        let of_app = state.of_app(workspace, app);
        Ok(page(of_app, |found| found.id.as_str(), after, limit))
    }

    async fn count_of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        most: u32,
    ) -> Result<(u64, bool), StoreError> {
        let count = self.state().of_app(workspace, app).count() as u64;
        let most = u64::from(most);
        Ok((count.min(most), count <= most))
    }

    async fn listed(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Listed>, StoreError> {
        let state = self.state();
        let listed = state.listed(workspace, connector);
        let page = page(listed, |kept| kept.connection.id.as_str(), after, limit);
        Ok(Page {
            items: page.items.iter().map(Kept::as_listed).collect(),
            next: page.next,
        })
    }

    async fn by_id(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let state = self.state();
        let mut listed = state.listed(workspace, connector);
        let found = listed.find(|kept| kept.connection.id == *id);
        Ok(found.map(Kept::as_stored))
    }

    async fn connect(&self, write: &ConnectWrite) -> Result<ConnectAnswer, StoreError> {
        let new = &write.connection;
        let mut state = self.state();
        let Some(completion) = state.exchanging(&write.session) else {
            return Ok(if state.was_completed_by(write) {
                ConnectAnswer::Connected
            } else {
                ConnectAnswer::SessionGone
            });
        };
        let connector = state.connector(&new.key.workspace, &new.key.connector);
        if !connector.is_some_and(|connector| {
            !connector.status.is_deleting() && connector.generation == new.connector_generation
        }) {
            return Ok(ConnectAnswer::ConnectorGone);
        }
        if state.is_deleting(&new.key.workspace, &new.key.app) {
            return Ok(ConnectAnswer::ConnectorGone);
        }
        let standing = state.connections.get(&new.key);
        let unchanged = match (&write.replaces, standing) {
            (None, None) => true,
            (Some(read), Some(kept)) => kept.is_as_read(read),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !unchanged {
            return Ok(ConnectAnswer::Changed);
        }

        if let Some(old) = &write.replaces
            && let Some(due_at) = old.due_at
        {
            state.refreshes.remove(&self.refresh_work(&old.id, due_at));
        }
        if let Some(due_at) = new.due_at {
            let work = self.refresh_work(&new.id, due_at);
            state.refreshes.insert(work, new.key.clone());
        }
        let kept = Kept {
            connection: new.clone(),
            lease: None,
            last_attempt: None,
            readers: Readers::new(),
            consented_scopes: new.granted_scopes.clone(),
        };
        state.connections.insert(new.key.clone(), kept);
        if let Some(session) = state.sessions.get_mut(&write.session) {
            session.stage = Stage::Completed {
                completion,
                connection: new.id.clone(),
            };
        }
        state.put_event(&write.event);
        Ok(ConnectAnswer::Connected)
    }

    async fn acquire_lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        let mut state = self.state();
        let Some(kept) = state.connections.get_mut(key) else {
            return Ok(LeaseAnswer::Gone);
        };
        let connection = &mut kept.connection;
        if !connection.status.is_live() || connection.sealed.is_none() {
            return Ok(LeaseAnswer::Gone);
        }
        let wanted = Held {
            owner: attempt.clone(),
            until,
        };
        let held = kept.lease.as_ref().map(|held| held.until);
        if may_lease(connection, held, now) {
            connection.open_attempts += 1;
            connection.open_since.get_or_insert(now);
            kept.lease = Some(wanted);
        } else if kept.lease.as_ref() != Some(&wanted) {
            return Ok(LeaseAnswer::NotNow(Box::new(kept.as_stored())));
        }
        Ok(LeaseAnswer::Granted(Box::new(Lease {
            attempt: attempt.clone(),
            until,
            connection: kept.as_stored(),
        })))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(kept) = state.held_by(lease) {
            kept.close_attempt();
        }
        Ok(())
    }

    async fn store_tokens(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        Ok(self.state().put_tokens(lease, tokens, now))
    }

    async fn store_escrowed(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<EscrowWrite, StoreError> {
        let mut state = self.state();
        let kept = state.connections.get_mut(&lease.connection.key);
        if let Some(kept) = kept.filter(|kept| kept.is_live_at(lease.connection.generation)) {
            let others = kept.lease.take_if(|held| held.owner != lease.attempt);
            if !is_lease_over(others.as_ref().map(|held| held.until), now) {
                kept.lease = others;
                return Ok(EscrowWrite::Yields);
            }
        }
        let ended = state.put_tokens(lease, tokens, now);
        Ok(EscrowWrite::Ended(ended))
    }

    async fn record_failure(
        &self,
        lease: &Lease,
        failure: &FailedAttempt,
    ) -> Result<LeaseWrite, StoreError> {
        let leased = lease.connection.generation;
        let mut state = self.state();
        let Some(kept) = state.held_by(lease).filter(|kept| kept.is_live_at(leased)) else {
            return Ok(state.refusal(lease, |kept| kept.is_live_at(leased)));
        };
        let after = failure.apply(&lease.connection);
        kept.last_attempt = Some(lease.attempt.clone());
        if !failure.keeps_lease() {
            kept.lease = None;
        }
        // Not the whole connection: readings were noted meanwhile.
        let connection = &mut kept.connection;
        connection.status = after.status;
        connection.failures = after.failures;
        connection.open_attempts = after.open_attempts;
        connection.open_since = after.open_since;
        connection.outcome_lost = after.outcome_lost;
        connection.next_attempt_at = after.next_attempt_at;
        Ok(LeaseWrite::Written)
    }

    async fn require_reconnect(
        &self,
        lease: &Lease,
        reason: ReconnectReason,
        since: Timestamp,
        event: &Event,
    ) -> Result<LeaseWrite, StoreError> {
        let leased = lease.connection.generation;
        let mut state = self.state();
        let Some(kept) = state.held_by(lease).filter(|kept| kept.is_live_at(leased)) else {
            return Ok(state.refusal(lease, |kept| {
                let status = &kept.connection.status;
                matches!(status, ConnectionStatus::ReconnectRequired { .. })
                    && kept.connection.generation == leased
            }));
        };
        kept.connection.status = ConnectionStatus::ReconnectRequired { reason, since };
        kept.connection.due_at = None;
        kept.forget_attempts();
        kept.last_attempt = Some(lease.attempt.clone());
        if let Some(due_at) = lease.connection.due_at {
            let work = self.refresh_work(&lease.connection.id, due_at);
            state.refreshes.remove(&work);
        }
        state.put_event(event);
        Ok(LeaseWrite::Written)
    }

    async fn disconnect(
        &self,
        connection: &Connection,
        revocation: Option<&Revocation>,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let kept = state.connections.get_mut(&connection.key);
        let Some(kept) =
            kept.filter(|kept| kept.is_as_read(connection) && !kept.connection.status.is_gone())
        else {
            return Ok(false);
        };
        let since = event.time;
        kept.connection.status = match revocation {
            Some(_) => ConnectionStatus::Revoking { since },
            None => ConnectionStatus::Disconnected {
                outcome: RevocationOutcome::Unsupported,
                since,
            },
        };
        kept.connection.generation += 1;
        kept.connection.sealed = None;
        kept.connection.due_at = None;
        kept.connection.failures = 0;
        kept.forget_attempts();
        if let Some(due_at) = connection.due_at {
            let work = self.refresh_work(&connection.id, due_at);
            state.refreshes.remove(&work);
        }
        if let Some(revocation) = revocation {
            let work = shared::ports::DueTable::revocation_work(self, revocation);
            state.revocations.insert(work, revocation.clone());
        }
        state.put_event(event);
        Ok(true)
    }

    async fn settle_revocation(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        outcome: RevocationOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(kept) = state.connections.get_mut(key)
            && kept.connection.id == *id
            && matches!(kept.connection.status, ConnectionStatus::Revoking { .. })
        {
            kept.connection.status = ConnectionStatus::Disconnected {
                outcome,
                since: now,
            };
        }
        Ok(())
    }

    async fn forget(&self, key: &ConnectionKey) -> Result<(), StoreError> {
        let mut state = self.state();
        let kept = state.connections.get_mut(key);
        if let Some(kept) = kept.filter(|kept| kept.connection.status.is_gone()) {
            kept.readers.clear();
            kept.connection.account = None;
            kept.connection.requested_scopes = ScopeList::default();
            kept.connection.granted_scopes = ScopeList::default();
            kept.connection.last_read_at = None;
        }
        Ok(())
    }

    async fn record_read(
        &self,
        key: &ConnectionKey,
        readers: &Readers,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(kept) = state.connections.get_mut(key)
            && kept.connection.last_read_at.is_none_or(|known| known < at)
        {
            kept.connection.last_read_at = Some(at);
            kept.readers = readers.clone();
        }
        Ok(())
    }
}

impl Kept {
    fn as_stored(&self) -> Connection {
        self.connection.clone()
    }

    fn as_listed(&self) -> Listed {
        Listed {
            key: self.connection.key.clone(),
            life: match self.connection.status {
                ConnectionStatus::Active | ConnectionStatus::Suspect { .. } => Life::Live,
                ConnectionStatus::ReconnectRequired { .. } => Life::Dead,
                ConnectionStatus::Revoking { .. } | ConnectionStatus::Disconnected { .. } => {
                    Life::Ending
                }
            },
            connector_generation: self.connection.connector_generation,
            requested_scopes: self.connection.requested_scopes.clone(),
            consented_scopes: self.consented_scopes.clone(),
        }
    }

    fn is_as_read(&self, read: &Connection) -> bool {
        self.connection.id == read.id && self.connection.generation == read.generation
    }

    fn is_live_at(&self, generation: u64) -> bool {
        may_store(&self.connection, generation)
    }

    /// The attempt ended without having tried anything.
    fn close_attempt(&mut self) {
        self.lease = None;
        let open = self.connection.open_attempts.saturating_sub(1);
        self.connection.open_attempts = open;
        self.connection.open_since = self.connection.open_since.filter(|_| open > 0);
    }

    /// Nothing an attempt did before matters any more.
    fn forget_attempts(&mut self) {
        self.lease = None;
        self.connection.open_attempts = 0;
        self.connection.open_since = None;
        self.connection.outcome_lost = false;
        self.connection.next_attempt_at = None;
    }
}

impl State {
    fn listed(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
    ) -> impl Iterator<Item = &Kept> {
        self.connections.values().filter(move |kept| {
            let found = &kept.connection;
            (&found.key.workspace, &found.key.connector) == (workspace, connector)
                && !matches!(found.status, ConnectionStatus::Disconnected { .. })
        })
    }

    fn of_app(&self, workspace: &WorkspaceId, app: &AppId) -> impl Iterator<Item = &Connection> {
        let all = self.connections.values().map(|kept| &kept.connection);
        all.filter(move |found| {
            (&found.key.workspace, &found.key.app) == (workspace, app)
                && !matches!(found.status, ConnectionStatus::Disconnected { .. })
        })
    }

    /// The connection, while this lease is the one that stands on it.
    fn held_by(&mut self, lease: &Lease) -> Option<&mut Kept> {
        let kept = self.connections.get_mut(&lease.connection.key)?;
        let owner = kept.lease.as_ref().map(|held| &held.owner);
        (owner == Some(&lease.attempt)).then_some(kept)
    }

    /// Stores tokens over the leased generation of a live connection, whoever holds its lease.
    fn put_tokens(
        &mut self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> LeaseWrite {
        let leased = lease.connection.generation;
        let kept = self.connections.get_mut(&lease.connection.key);
        let Some(kept) = kept.filter(|kept| kept.is_live_at(leased)) else {
            return self.refusal(lease, |kept| kept.is_live_at(leased + 1));
        };
        let connection = &mut kept.connection;
        connection.status = ConnectionStatus::Active;
        connection.sealed = Some(tokens.sealed.clone());
        connection.generation = leased + 1;
        connection.validity = tokens.validity;
        connection.refreshable = tokens.refreshable;
        connection.granted_scopes = tokens.granted_scopes.clone();
        connection.due_at = tokens.due_at;
        connection.refreshed_at = Some(now);
        connection.failures = 0;
        // Another's lease runs on.
        let others = kept.lease.take().filter(|held| held.owner != lease.attempt);
        kept.forget_attempts();
        kept.lease = others;
        kept.last_attempt = Some(lease.attempt.clone());
        LeaseWrite::Written
    }

    /// The answer to a write that cannot be made: perhaps it was made before.
    fn refusal(&self, lease: &Lease, as_written: impl Fn(&Kept) -> bool) -> LeaseWrite {
        let Some(kept) = self.connections.get(&lease.connection.key) else {
            return LeaseWrite::Refused(None);
        };
        if kept.last_attempt.as_ref() == Some(&lease.attempt) && as_written(kept) {
            LeaseWrite::Written
        } else {
            LeaseWrite::Refused(Some(Box::new(kept.as_stored())))
        }
    }

    fn was_completed_by(&self, write: &ConnectWrite) -> bool {
        let session = self.sessions.get(&write.session);
        session.is_some_and(|session| {
            matches!(&session.stage,
                Stage::Completed { connection, .. } if *connection == write.connection.id)
        })
    }
}

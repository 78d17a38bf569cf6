//! How connectors are doing.

use async_trait::async_trait;
use shared::domain::event::Event;
use shared::domain::health::{Breaker, Health, MEMORY_MINUTES, Tally, minute_of};
use shared::domain::ids::{ConnectorId, WorkspaceId};
use shared::domain::time::Timestamp;
use shared::ports::{ConnectorHealth, StoreError};

use super::MemoryStore;

#[async_trait]
impl ConnectorHealth for MemoryStore {
    async fn health(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
    ) -> Result<Health, StoreError> {
        let at = (workspace.clone(), connector.clone());
        let mut known = self.state().health.get(&at).cloned().unwrap_or_default();
        let forgotten = minute_of(now) - MEMORY_MINUTES;
        known.minutes.retain(|minute, _| *minute > forgotten);
        Ok(known)
    }

    async fn count(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
        tally: &Tally,
    ) -> Result<Tally, StoreError> {
        let at = (workspace.clone(), connector.clone());
        let mut state = self.state();
        let minutes = &mut state.health.entry(at).or_default().minutes;
        let minute = minutes.entry(minute_of(now)).or_default();
        *minute = *minute + *tally;
        Ok(*minute)
    }

    async fn trip(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        replacing: Option<&Breaker>,
        event: Option<&Event>,
    ) -> Result<bool, StoreError> {
        let at = (workspace.clone(), connector.clone());
        let mut state = self.state();
        let known = state.health.entry(at).or_default();
        let standing = known.breaker.as_ref();
        if standing == Some(breaker) {
            return Ok(true);
        }
        let as_read = standing.map(|it| &it.id) == replacing.map(|it| &it.id);
        if as_read {
            known.breaker = Some(breaker.clone());
            known.closed_at = None;
            if let Some(event) = event {
                state.put_event(event);
            }
        }
        Ok(as_read)
    }

    async fn close(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let at = (workspace.clone(), connector.clone());
        let mut state = self.state();
        let known = state.health.entry(at).or_default();
        let closes = known.breaker.as_ref().map(|it| &it.id) == Some(&breaker.id);
        if closes {
            known.breaker = None;
            known.closed_at = Some(now);
        }
        Ok(closes)
    }

    async fn secret_worked(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        set_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let at = (workspace.clone(), connector.clone());
        let mut state = self.state();
        let secrets = &mut state.health.entry(at).or_default().secrets;
        let worked = secrets.entry(set_at).or_insert(now);
        *worked = now.max(*worked);
        Ok(())
    }
}

//! Due work and unsent events.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shared::domain::connection::ConnectionKey;
use shared::domain::event::Event;
use shared::domain::ids::{ConnectionId, WorkspaceId};
use shared::domain::time::Timestamp;
use shared::ports::{Doomed, DueTable, DueWork, Page, Revocation, StoreError};

use super::MemoryStore;

impl MemoryStore {
    /// A place for work of this name. Which shard it is matters to nobody, as long as it is
    /// always the same.
    pub(super) fn work(&self, id: String, due_at: Timestamp) -> DueWork {
        DueWork {
            shard: self.shard(&id),
            due_at,
            id,
        }
    }

    fn shard(&self, id: &str) -> u32 {
        id.bytes().map(u32::from).sum::<u32>() % self.shards
    }

    pub(super) fn refresh_work(&self, id: &ConnectionId, due_at: Timestamp) -> DueWork {
        self.work(id.to_string(), due_at)
    }

    fn revocation_at(&self, revocation: &Revocation, due_at: Timestamp) -> DueWork {
        // Two grants of one connection differ in their ciphertext.
        let id = format!("{} {:?}", revocation.connection, revocation.sealed);
        self.work(id, due_at)
    }
}

#[async_trait]
impl DueTable for MemoryStore {
    fn shards(&self) -> u32 {
        self.shards
    }

    async fn add_refresh(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let work = self.refresh_work(id, due_at);
        self.state().refreshes.insert(work, key.clone());
        Ok(())
    }

    async fn due_refreshes(
        &self,
        shard: u32,
        now: Timestamp,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<(DueWork, ConnectionKey)>, StoreError> {
        let mut items = due(&self.state().refreshes, shard, now, u32::MAX);
        if let Some(after) = after {
            items.retain(|(work, _)| cursor(work).as_str() > after);
        }
        let more = items.len() > limit.max(1) as usize;
        items.truncate(limit.max(1) as usize);
        let next = items.last().filter(|_| more).map(|(work, _)| cursor(work));
        Ok(Page { items, next })
    }

    async fn remove_refresh(&self, id: &ConnectionId, due_at: Timestamp) -> Result<(), StoreError> {
        let work = self.refresh_work(id, due_at);
        self.state().refreshes.remove(&work);
        Ok(())
    }

    async fn remove_found_refresh(&self, work: &DueWork) -> Result<(), StoreError> {
        self.state().refreshes.remove(work);
        Ok(())
    }

    async fn add_revocation(
        &self,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<DueWork, StoreError> {
        let work = self.revocation_at(revocation, due_at);
        let mut state = self.state();
        state.revocations.insert(work.clone(), revocation.clone());
        Ok(work)
    }

    async fn due_revocations(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Revocation)>, StoreError> {
        Ok(due(&self.state().revocations, shard, now, limit))
    }

    async fn postpone_revocation(
        &self,
        work: &DueWork,
        revocation: &Revocation,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let later = self.revocation_at(revocation, due_at);
        let mut state = self.state();
        state.revocations.remove(work);
        state.revocations.insert(later, revocation.clone());
        Ok(())
    }

    async fn remove_revocation(&self, work: &DueWork) -> Result<(), StoreError> {
        self.state().revocations.remove(work);
        Ok(())
    }

    fn revocation_work(&self, revocation: &Revocation) -> DueWork {
        self.revocation_at(revocation, revocation.since)
    }

    async fn due_deletions(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, WorkspaceId, Doomed)>, StoreError> {
        let due = due(&self.state().deletions, shard, now, limit).into_iter();
        let due = due.map(|(work, (workspace, what))| (work, workspace, what));
        Ok(due.collect())
    }

    async fn remove_deletion(&self, work: &DueWork) -> Result<(), StoreError> {
        self.state().deletions.remove(work);
        Ok(())
    }

    async fn add_event(&self, event: &Event) -> Result<(), StoreError> {
        self.state().put_event(event);
        Ok(())
    }

    async fn unsent_events(
        &self,
        shard: u32,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(DueWork, Event)>, StoreError> {
        let state = self.state();
        let events = state.events.values();
        let mut unsent: Vec<_> = events
            .filter(|event| event.time < before)
            .map(|event| (self.work(event.id.to_string(), event.time), event.clone()))
            .filter(|(work, _)| work.shard == shard)
            .collect();
        unsent.sort_by_key(|(work, _)| work.clone());
        unsent.truncate(limit.max(1) as usize);
        Ok(unsent)
    }

    async fn remove_event(&self, event: &Event) -> Result<(), StoreError> {
        self.state().events.remove(&event.id);
        Ok(())
    }

    async fn remove_found_event(&self, work: &DueWork) -> Result<(), StoreError> {
        let mut state = self.state();
        state.events.retain(|id, _| id.as_str() != work.id);
        Ok(())
    }
}

/// Sorts as the work of one shard does.
fn cursor(work: &DueWork) -> String {
    format!("{:020}#{}", work.due_at.millis(), work.id)
}

fn due<T: Clone>(
    all: &BTreeMap<DueWork, T>,
    shard: u32,
    now: Timestamp,
    limit: u32,
) -> Vec<(DueWork, T)> {
    all.iter()
        .filter(|(work, _)| work.shard == shard && work.due_at <= now)
        .take(limit.max(1) as usize)
        .map(|(work, what)| (work.clone(), what.clone()))
        .collect()
}

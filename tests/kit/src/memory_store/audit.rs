//! What happened.

use async_trait::async_trait;
use shared::domain::audit::{AuditEntry, AuditFilter, AuditId};
use shared::domain::event::Event;
use shared::domain::ids::{ApiKeyId, WorkspaceId};
use shared::domain::subject::Subject;
use shared::ports::{Audit, Page, StoreError};

use super::{MemoryStore, State};

#[async_trait]
impl Audit for MemoryStore {
    async fn add_entry(&self, entry: &AuditEntry) -> Result<bool, StoreError> {
        let mut state = self.state();
        let at = (entry.workspace.clone(), entry.id.clone());
        let is_new = !state.audit.contains_key(&at);
        if is_new {
            state.note(entry);
        }
        Ok(is_new)
    }

    async fn count_connection(&self, key: &ApiKeyId, hour: i64) -> Result<u64, StoreError> {
        let mut state = self.state();
        let count = state
            .connections_read
            .entry((key.clone(), hour))
            .or_default();
        *count += 1;
        Ok(*count)
    }

    async fn tell_bulk_read(
        &self,
        key: &ApiKeyId,
        day: i64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let first = state.bulk_reads.insert((key.clone(), day));
        if first {
            state.put_event(event);
        }
        Ok(first)
    }

    async fn entries(
        &self,
        workspace: &WorkspaceId,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let state = self.state();
        let after = after.map(AuditId::parse);
        let own = state.audit.iter().rev();
        let own = own.filter(|((of, _), _)| of == workspace);
        let mut items: Vec<_> = own
            .map(|(_, entry)| entry)
            .filter(|entry| lets_through(filter, entry))
            .filter(|entry| match &after {
                None => true,
                Some(Some(after)) => entry.id < *after,
                // Never given out.
                Some(None) => false,
            })
            .cloned()
            .collect();
        let limit = limit.max(1) as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more);
        let next = next.map(|last| last.id.to_string());
        Ok(Page { items, next })
    }
}

impl State {
    pub(super) fn note(&mut self, entry: &AuditEntry) {
        let at = (entry.workspace.clone(), entry.id.clone());
        self.audit.insert(at, entry.clone());
    }
}

fn lets_through(filter: &AuditFilter, entry: &AuditEntry) -> bool {
    let is = |wanted: bool, same: bool| !wanted || same;
    let at = entry.id.time();
    let user = entry.subject.as_ref().and_then(Subject::user);
    is(
        filter.connector.is_some(),
        filter.connector == entry.connector,
    ) && is(filter.app.is_some(), filter.app == entry.app)
        && is(filter.user.is_some(), filter.user.as_ref() == user)
        && filter.action.is_none_or(|action| action == entry.action)
        && filter.from.is_none_or(|from| from <= at)
        && filter.to.is_none_or(|to| at < to)
}

//! What happened.

use async_trait::async_trait;

use super::{Page, StoreError};
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::event::Event;
use crate::domain::ids::{ApiKeyId, WorkspaceId};

/// What happened, for whoever has to answer for it. Entries are added and never changed; every
/// transaction that adds an event adds the entry that it [stands for](AuditEntry::of).
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an entry that goes with no other write. `false` when it is there already.
    async fn add_entry(&self, entry: &AuditEntry) -> Result<bool, StoreError>;
    /// Counts one more connection that a key has read in an hour (see
    /// [`hour_of`](crate::domain::audit::hour_of)); answers how many there are. A repeated try of
    /// the same call may count twice.
    async fn count_connection(&self, key: &ApiKeyId, hour: i64) -> Result<u64, StoreError>;
    /// Adds the event of a key's first bulk read of a day, with its entry. `false` when the day
    /// has had one.
    async fn tell_bulk_read(
        &self,
        key: &ApiKeyId,
        day: i64,
        event: &Event,
    ) -> Result<bool, StoreError>;
    /// The entries of a workspace that a filter lets through, latest first, at most `limit` a
    /// page. A page may hold fewer, or none, and yet have a next: so many entries are looked
    /// through at a time. Eventually consistent.
    async fn entries(
        &self,
        workspace: &WorkspaceId,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>, StoreError>;
}

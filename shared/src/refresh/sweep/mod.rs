//! The scheduled refresh of what is due, in two steps. Once a minute a *tick* looks at the head of
//! every shard and hands one job to the queue for each that has something due; a worker that gets
//! one works through that shard. The next tick is the retry. Duplicate, lost and reordered ticks
//! and jobs change nothing: every entry is checked again under the connection's lease (H-79).

mod connectors;
mod entry;
mod fair;
mod shard;

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

pub use entry::DueOutcome;
pub use shard::ShardReport;

use super::RefreshEngine;
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::ports::{QueueError, StoreError};

/// How often the tick runs (the template's schedule). Workers look this far ahead, so that what
/// falls due between two ticks is refreshed before and not after it is due.
const PERIOD: Duration = Duration::from_secs(60);
/// How many heads of shards are read at a time.
const HEADS_AT_ONCE: usize = 64;

/// What one tick found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// How many shards were handed over.
    pub due_shards: u32,
    /// How long the oldest entry of all shards has been due, zero when none is: the lag of the
    /// whole sweep.
    pub oldest_due: Duration,
}

/// A tick that could not do all of its work. What it could do is done; the next one is the retry.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// Shards could not be read; those that could were handed over.
    #[error("due entries could not be read")]
    Unread(#[source] StoreError),
    /// Jobs were not taken.
    #[error("shards could not be handed over")]
    NotHandedOver(#[source] QueueError),
}

impl RefreshEngine {
    /// Hands over every shard that has something due, now or before the next tick. Costs one read
    /// a shard, and one job a shard that has work.
    ///
    /// # Errors
    /// [`TickError`].
    pub async fn tick(&self) -> Result<TickReport, TickError> {
        let now = self.clock.now();
        let heads = stream::iter(0..self.due.shards())
            .map(async |shard| (shard, self.head(shard, now).await))
            .buffer_unordered(HEADS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut report = TickReport::default();
        let mut jobs = Vec::new();
        let mut unread = None;
        for (shard, head) in heads {
            match head {
                Ok(Head::NothingDue) => {}
                Ok(Head::Due(age)) => {
                    report.oldest_due = report.oldest_due.max(age);
                    jobs.push(Job::RefreshShard { shard });
                }
                Err(error) => {
                    tracing::error!(shard, error = %error, "head of a shard could not be read");
                    unread = Some(error);
                }
            }
        }
        report.due_shards = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        if !jobs.is_empty() {
            let taken = self.jobs.enqueue(&jobs).await;
            taken.map_err(TickError::NotHandedOver)?;
        }
        match unread {
            None => Ok(report),
            Some(error) => Err(TickError::Unread(error)),
        }
    }

    async fn head(&self, shard: u32, now: Timestamp) -> Result<Head, StoreError> {
        let horizon = now.after(PERIOD);
        let page = self.due.due_refreshes(shard, horizon, None, 1).await?;
        Ok(match page.items.first() {
            Some((work, _)) => Head::Due(now.since(work.due_at)),
            // An entry that cannot be read stands in front: what is behind it is not to wait.
            None if page.next.is_some() => Head::Due(Duration::ZERO),
            None => Head::NothingDue,
        })
    }
}

/// What stands at the head of a shard.
enum Head {
    NothingDue,
    /// Since when.
    Due(Duration),
}

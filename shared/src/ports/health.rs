//! How connectors are doing.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::event::Event;
use crate::domain::health::{Breaker, Health, Tally};
use crate::domain::ids::{ConnectorId, WorkspaceId};
use crate::domain::time::Timestamp;

/// How connectors are doing: tallies of their token requests, and breakers.
#[async_trait]
pub trait ConnectorHealth: Send + Sync {
    /// What is known of a connector at `now`. Eventually consistent: a breaker seen late lets a
    /// few more requests through.
    async fn health(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
    ) -> Result<Health, StoreError>;
    /// Adds to the tally of the minute of `now`; answers the minute's tally as it is then. A
    /// repeated try of the same call may count twice, which ratios forgive.
    async fn count(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        now: Timestamp,
        tally: &Tally,
    ) -> Result<Tally, StoreError>;
    /// Opens a breaker, or moves the one that is `replacing`, and adds the event, if there is
    /// one, in one transaction. `false` when another one stands by now, or none does any more.
    /// Where `breaker` itself stands an earlier try of the same call put it there: `true`.
    async fn trip(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        replacing: Option<&Breaker>,
        event: Option<&Event>,
    ) -> Result<bool, StoreError>;
    /// Closes a breaker and remembers for an hour that it closed at `now`. `false` when it does
    /// not stand any more, which may be an earlier try of the same call.
    async fn close(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        breaker: &Breaker,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Writes down that the client secret that was set at `set_at` was accepted at `now`, unless a
    /// later time is known.
    async fn secret_worked(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        set_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

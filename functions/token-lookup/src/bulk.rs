//! A key that reads many connections within an hour, as a stolen one is used.

use http::request::Parts;
use shared::domain::audit::{day_of, hour_of};
use shared::domain::event::Change;
use shared::domain::time::Timestamp;
use shared::events::credential_event;
use shared::http::identity::AppBackend;
use shared::http::request::RequestFacts;
use shared::ports::StoreError;

use crate::State;

/// Should whoever passed the limit not have come to tell, one of the next does: after so many
/// further connections.
const AGAIN_AFTER: u64 = 100;

/// Counts a connection that the key reads for the first time in this hour, and tells when they
/// are more than the limit, once a day.
pub(crate) async fn watch(
    state: &State,
    parts: &Parts,
    reader: &AppBackend,
    now: Timestamp,
) -> Result<(), StoreError> {
    let connections = state
        .audit
        .count_connection(&reader.key, hour_of(now))
        .await?;
    let above = connections.saturating_sub(u64::from(state.bulk_connections));
    if above % AGAIN_AFTER != 1 {
        return Ok(());
    }
    let change = Change::BulkRead {
        app_id: reader.app.clone(),
        key_id: reader.key.clone(),
        connections,
    };
    let event = credential_event(&*state.engine.entropy, &reader.workspace, change, now);
    let event = event.by(&reader.origin);
    let first = state.audit.tell_bulk_read(&reader.key, day_of(now), &event);
    if first.await? {
        tracing::warn!(key.id = %reader.key, connections, "bulk read");
        RequestFacts::note(parts, |facts| facts.bulk_reads += 1);
        state.engine.publisher.publish(&event).await;
    }
    Ok(())
}

//! Tallies and breakers of connectors.

use super::super::schema::{self, SK, attr};
use super::{Reader, Row};
use crate::domain::health::{Breaker, Cause, Health, Tally};
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// Reads what one partition holds.
pub(in super::super) fn read_health(rows: &[Row]) -> Result<Health, StoreError> {
    let mut health = Health::default();
    for row in rows {
        let item = Reader::new(row, "connector health");
        let sk = item.text(SK)?;
        if sk == schema::BREAKER {
            health.breaker = read_breaker(row)?;
            health.closed_at = item.maybe_time(attr::CLOSED_AT)?;
        } else if let Some(set_at) = sk.strip_prefix(schema::SECRETS) {
            let set_at = set_at.parse().map_err(|_| item.corrupt())?;
            let set_at = Timestamp::from_millis(set_at);
            health.secrets.insert(set_at, item.time(attr::AT)?);
        } else if let Ok(minute) = sk.parse() {
            // Any other key is a newer version's (F47).
            health.minutes.insert(minute, read_tally(row)?);
        }
    }
    Ok(health)
}

pub(in super::super) fn read_tally(row: &Row) -> Result<Tally, StoreError> {
    let item = Reader::new(row, "tally");
    Ok(Tally {
        calls: item.number(attr::CALLS)?,
        successes: item.number(attr::SUCCESSES)?,
        failures: item.number(attr::FAILURES)?,
        refusals: item.number(attr::REFUSALS)?,
        malformed: item.number(attr::MALFORMED)?,
    })
}

/// The breaker of its item; `None` when it has closed.
pub(in super::super) fn read_breaker(row: &Row) -> Result<Option<Breaker>, StoreError> {
    let item = Reader::new(row, "breaker");
    let Some(open_until) = item.maybe_time(attr::OPEN_UNTIL)? else {
        return Ok(None);
    };
    let cause = Cause::parse(item.text(attr::CAUSE)?);
    Ok(Some(Breaker {
        id: item.id(attr::ID)?,
        cause: cause.ok_or_else(|| item.corrupt())?,
        since: item.time(attr::SINCE)?,
        open_until,
        openings: item.number(attr::OPENINGS)?,
        connector_version: item.number(attr::CONNECTOR_VERSION)?,
    }))
}

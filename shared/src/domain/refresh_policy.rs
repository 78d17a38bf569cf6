//! When a connection is refreshed. Numbers and their reasons are in docs/ARCHITECTURE.md,
//! "Refresh".

use std::time::Duration;

use super::connection::Connection;
use super::provider::RefreshProfile;
use super::time::Timestamp;
use super::token::Validity;

/// A connection read or made within this time is kept fresh ahead of its expiry.
pub const IN_USE: Duration = Duration::from_secs(24 * 3600);
/// How often a token's last reading is written down.
pub const READ_RECORD_INTERVAL: Duration = Duration::from_secs(3600);

const LONGEST_MARGIN: Duration = Duration::from_secs(15 * 60);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);

/// When the refresh after this one is due; `None` for a grant that needs none.
///
/// In use: before expiry, by a fifth of the lifetime and at most a quarter of an hour. Idle:
/// at half the provider's idle limit and at least once a week, so that the refresh token does
/// not die of disuse (H-76), less up to a tenth by `jitter` (a fraction from 0 to 1) so that
/// grants made together do not fall due together.
pub fn next_refresh(
    profile: &RefreshProfile,
    validity: Validity,
    refreshable: bool,
    last_used: Timestamp,
    jitter: f64,
) -> Option<Timestamp> {
    if !refreshable {
        return None;
    }
    let expires_at = validity.expires_at?;
    let lifetime = expires_at.since(validity.issued_at);
    let ahead = expires_at.before(LONGEST_MARGIN.min(lifetime / 5));
    // Whether it will still be in use when its token expires.
    if expires_at.since(last_used) <= IN_USE.max(lifetime) {
        return Some(ahead);
    }
    let period = profile
        .idle_limit
        .map_or(LONGEST_KEEP_ALIVE, |limit| limit / 2);
    let period = period
        .min(LONGEST_KEEP_ALIVE)
        .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0);
    Some(ahead.max(validity.issued_at.after(period)))
}

/// When an app or the user last had to do with the connection.
pub fn last_used(connection: &Connection) -> Timestamp {
    connection
        .last_read_at
        .map_or(connection.connected_at, |at| {
            at.max(connection.connected_at)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::provider::Rotation;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn profile(idle_days: Option<u64>) -> RefreshProfile {
        RefreshProfile {
            rotation: Rotation::Strict,
            idle_limit: idle_days.map(|days| Duration::from_secs(days * DAY as u64)),
            assumed_lifetime: None,
        }
    }

    fn due(idle: Option<u64>, lifetime: i64, last_used: i64, jitter: f64) -> Option<Timestamp> {
        let validity = Validity {
            issued_at: at(0),
            expires_at: Some(at(lifetime)),
        };
        next_refresh(&profile(idle), validity, true, at(last_used), jitter)
    }

    #[test]
    fn a_connection_in_use_is_due_a_fifth_of_its_lifetime_ahead_and_at_most_15_minutes() {
        assert_eq!(due(None, 90, 0, 0.5), Some(at(72)));
        assert_eq!(due(None, 8 * HOUR, 0, 0.5), Some(at(8 * HOUR - 900)));
    }

    #[test]
    fn an_idle_connection_is_kept_alive_and_not_refreshed_every_hour() {
        assert_eq!(due(None, HOUR, -2 * DAY, 0.0), Some(at(7 * DAY)));
        assert_eq!(due(Some(4), HOUR, -2 * DAY, 0.0), Some(at(2 * DAY)));
    }

    #[test]
    fn h76_keep_alive_stays_within_half_the_idle_limit_under_any_jitter() {
        for jitter in [0.0, 0.3, 1.0] {
            let next = due(Some(8), HOUR, -2 * DAY, jitter).unwrap();
            assert!(
                next <= at(4 * DAY) && next >= at(4 * DAY * 9 / 10),
                "{next}"
            );
        }
    }

    #[test]
    fn a_grant_without_expiry_or_refresh_token_is_never_due() {
        let forever = Validity {
            issued_at: at(0),
            expires_at: None,
        };
        assert_eq!(
            next_refresh(&profile(None), forever, true, at(0), 0.0),
            None
        );
        let hour = Validity {
            issued_at: at(0),
            expires_at: Some(at(HOUR)),
        };
        assert_eq!(next_refresh(&profile(None), hour, false, at(0), 0.0), None);
    }
}

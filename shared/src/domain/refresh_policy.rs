//! When a connection is refreshed. Numbers and their reasons are in docs/ARCHITECTURE.md,
//! "Refresh".

use std::time::Duration;

use super::connection::Connection;
use super::provider::{RefreshGrant, RefreshProfile, Rotation};
use super::time::Timestamp;
use super::token::Validity;

/// A connection read or made within this time is kept fresh ahead of its expiry.
pub const IN_USE: Duration = Duration::from_secs(24 * 3600);

const LONGEST_MARGIN: Duration = Duration::from_secs(15 * 60);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);

/// When the refresh after this one is due; `None` for a grant that needs none.
///
/// In use: before expiry, by a fifth of the lifetime and at most a quarter of an hour. Idle:
/// once a week, or when the access token expires if that is later. In any case at half the time
/// after which what is spent dies of disuse (H-76). Periods are shorter by up to a tenth by
/// `jitter` (a fraction from 0 to 1), so that grants made together do not fall due together.
/// Never when the grant is dead by then.
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
    let after = |period: Duration| {
        let jittered = period.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0);
        validity.issued_at.after(jittered)
    };
    let disuse = disuse_limit(profile, validity);
    let wanted = match validity.expires_at {
        // Nobody needs a new access token, but what it would be had for must not die.
        None => disuse.map(|_| after(LONGEST_KEEP_ALIVE))?,
        Some(expires_at) => {
            let lifetime = expires_at.since(validity.issued_at);
            let ahead = expires_at.before(LONGEST_MARGIN.min(lifetime / 5));
            // Whether it will still be in use when its token expires.
            if expires_at.since(last_used) <= IN_USE.max(lifetime) {
                ahead
            } else {
                ahead.max(after(LONGEST_KEEP_ALIVE))
            }
        }
    };
    let due = disuse.map_or(wanted, |limit| wanted.min(after(limit / 2)));
    let due = match profile.grant {
        RefreshGrant::RefreshToken | RefreshGrant::Nothing => due,
        RefreshGrant::AccessToken { min_age } => due.max(validity.issued_at.after(min_age)),
    };
    Some(due).filter(|due| !validity.grant_is_over(*due))
}

/// After how long without a refresh what is spent for one dies, if it does.
fn disuse_limit(profile: &RefreshProfile, validity: Validity) -> Option<Duration> {
    let until = |at: Timestamp| at.since(validity.issued_at);
    let told = match profile.grant {
        RefreshGrant::AccessToken { .. } => validity.expires_at,
        // The next answer brings another token with a life of its own. Where it does not, or
        // where the end is an absolute limit, refreshing earlier moves nothing.
        RefreshGrant::RefreshToken
            if profile.rotation != Rotation::None && profile.refresh_expires_in.is_some() =>
        {
            validity.grant_expires_at
        }
        RefreshGrant::RefreshToken | RefreshGrant::Nothing => None,
    };
    profile.idle_limit.into_iter().chain(told.map(until)).min()
}

/// Whether asking the provider at `now` can bring new tokens for the connection.
pub fn can_refresh(connection: &Connection, now: Timestamp) -> bool {
    connection.refreshable && !connection.validity.grant_is_over(now)
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

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn profile(idle_days: Option<u64>) -> RefreshProfile {
        RefreshProfile {
            grant: RefreshGrant::RefreshToken,
            request: None,
            rotation: Rotation::Strict,
            idle_limit: idle_days.map(|days| Duration::from_secs(days * DAY as u64)),
            hard_limit: None,
            refresh_expires_in: None,
            assumed_lifetime: None,
        }
    }

    /// Issued at zero.
    fn validity(expires: Option<i64>, grant_expires: Option<i64>) -> Validity {
        Validity {
            issued_at: at(0),
            expires_at: expires.map(at),
            grant_expires_at: grant_expires.map(at),
        }
    }

    fn due(idle: Option<u64>, lifetime: i64, last_used: i64, jitter: f64) -> Option<Timestamp> {
        let validity = validity(Some(lifetime), None);
        next_refresh(&profile(idle), validity, true, at(last_used), jitter)
    }

    /// Whether used or not, without jitter.
    fn due_under(profile: &RefreshProfile, validity: Validity) -> [Option<Timestamp>; 2] {
        [0, -400 * DAY].map(|used| next_refresh(profile, validity, true, at(used), 0.0))
    }

    fn exchange(min_age: i64) -> RefreshProfile {
        RefreshProfile {
            grant: RefreshGrant::AccessToken {
                min_age: Duration::from_secs(min_age as u64),
            },
            ..profile(None)
        }
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
        let (forever, hour) = (validity(None, None), validity(Some(HOUR), None));
        assert_eq!(due_under(&profile(None), forever), [None; 2]);
        for validity in [forever, hour] {
            let due = next_refresh(&profile(Some(60)), validity, false, at(0), 0.0);
            assert_eq!(due, None);
        }
    }

    #[test]
    fn h76_a_refresh_token_beside_an_endless_access_token_is_kept_alive_all_the_same() {
        let forever = validity(None, None);
        let weekly = Some(at(7 * DAY));
        assert_eq!(due_under(&profile(Some(60)), forever), [weekly; 2]);
        assert_eq!(
            due_under(&profile(Some(4)), forever),
            [Some(at(2 * DAY)); 2]
        );
    }

    #[test]
    fn h76_a_refresh_token_that_dies_before_the_access_token_expires_is_used_before() {
        let long = validity(Some(90 * DAY), None);
        assert_eq!(due_under(&profile(Some(60)), long), [Some(at(30 * DAY)); 2]);
        let ahead = Some(at(90 * DAY - 900));
        assert_eq!(due_under(&profile(Some(365)), long), [ahead; 2]);
    }

    #[test]
    fn h76_a_refresh_token_that_was_said_to_die_is_replaced_at_half_its_life() {
        let telling = RefreshProfile {
            refresh_expires_in: Some("refresh_expires_in".into()),
            ..profile(None)
        };
        let told = validity(Some(HOUR), Some(2 * DAY));
        let [used, idle] = due_under(&telling, told);
        assert_eq!((used, idle), (Some(at(HOUR * 4 / 5)), Some(at(DAY))));
        // Where refreshing cannot move the end, hurrying does not help.
        for fixed in [
            RefreshProfile {
                rotation: Rotation::None,
                ..telling
            },
            RefreshProfile {
                hard_limit: Some(Duration::from_secs(2 * DAY as u64)),
                ..profile(None)
            },
        ] {
            assert_eq!(due_under(&fixed, told)[1], None);
        }
    }

    #[test]
    fn an_access_token_is_exchanged_at_half_its_life_and_never_before_its_age() {
        let month = validity(Some(30 * DAY), Some(30 * DAY));
        assert_eq!(due_under(&exchange(0), month), [Some(at(15 * DAY)); 2]);
        let age = 20 * DAY;
        assert_eq!(due_under(&exchange(age), month), [Some(at(age)); 2]);
        // Dead by the time it is old enough.
        assert_eq!(due_under(&exchange(30 * DAY), month), [None; 2]);
        assert_eq!(due_under(&exchange(0), validity(None, None)), [None; 2]);
    }

    #[test]
    fn nothing_is_due_once_the_grant_is_dead() {
        let limited = RefreshProfile {
            hard_limit: Some(Duration::from_secs(100 * DAY as u64)),
            ..profile(Some(60))
        };
        let ends_in = |end| due_under(&limited, validity(Some(HOUR), Some(end)));
        assert_eq!(ends_in(8 * DAY), [Some(at(2880)), Some(at(7 * DAY))]);
        assert_eq!(ends_in(7 * DAY), [Some(at(2880)), None]);
        assert_eq!(ends_in(2880), [None; 2]);
    }
}

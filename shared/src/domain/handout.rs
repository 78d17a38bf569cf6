//! Whether a stored connection may serve a look-up, decided at read time from the connector
//! and the connection, so that a change of the connector rewrites no connection.

use super::connection::{Connection, ConnectionStatus, ReconnectReason};
use super::connector::{Connector, ScopePolicy};
use super::refresh_policy::can_refresh;
use super::scopes::ScopeList;
use super::time::Timestamp;

/// What a subject's connection is worth under its connector as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Tokens may be handed out.
    Connected,
    /// The user has to connect again.
    ReconnectRequired(ReconnectReason),
    /// There is nothing to hand out.
    NotConnected,
}

/// What was granted, as far as its standing depends on that.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The connector's generation it belongs to.
    pub connector_generation: u64,
    /// What the user was asked for.
    pub requested_scopes: &'a ScopeList,
    /// What was granted.
    pub granted_scopes: &'a ScopeList,
}

impl<'a> From<&'a Connection> for Grant<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            connector_generation: connection.connector_generation,
            requested_scopes: &connection.requested_scopes,
            granted_scopes: &connection.granted_scopes,
        }
    }
}

/// Judges `connection` under `connector`.
///
/// `wanted` are the scopes the caller asks for. A caller that names scopes is served as long
/// as these were granted, also after the connector's list has changed.
pub fn standing(
    connector: &Connector,
    connection: &Connection,
    wanted: Option<&ScopeList>,
) -> Standing {
    // The background has not come to it yet (H-89); to every caller it is gone.
    if connector.has_revoked(connection.connector_generation) {
        return Standing::NotConnected;
    }
    match connection.status {
        ConnectionStatus::Revoking { .. } | ConnectionStatus::Disconnected { .. } => {
            return Standing::NotConnected;
        }
        ConnectionStatus::ReconnectRequired { reason, .. } => {
            return Standing::ReconnectRequired(reason);
        }
        ConnectionStatus::Active | ConnectionStatus::Suspect { .. } => {}
    }
    standing_of_grant(connector, &connection.into(), wanted)
}

/// Judges a grant that is not known to be dead, as [`standing`] does.
pub fn standing_of_grant(
    connector: &Connector,
    grant: &Grant<'_>,
    wanted: Option<&ScopeList>,
) -> Standing {
    if grant.connector_generation != connector.generation {
        return Standing::ReconnectRequired(ReconnectReason::ConnectorChanged);
    }
    match wanted {
        Some(wanted) if !wanted.missing_from(grant.granted_scopes).is_empty() => {
            Standing::ReconnectRequired(ReconnectReason::MissingScopes)
        }
        None if scopes_changed(connector, grant) => {
            Standing::ReconnectRequired(ReconnectReason::ScopesChanged)
        }
        Some(_) | None => Standing::Connected,
    }
}

/// What a list shows of `connection` at `now`: its standing, and that an expired access token
/// that no provider will renew is of no use any more.
pub fn standing_at(connector: &Connector, connection: &Connection, now: Timestamp) -> Standing {
    let expired = connection.validity.expires_at.is_some_and(|at| at <= now);
    match standing(connector, connection, None) {
        Standing::Connected if expired && !can_refresh(connection, now) => {
            Standing::ReconnectRequired(ReconnectReason::RefreshExpired)
        }
        standing => standing,
    }
}

/// Whether hand-out can go on when the access token that is stored now has ended (C12).
pub fn outlives_its_token(connection: &Connection) -> bool {
    connection.refreshable || connection.validity.expires_at.is_none()
}

/// The scopes of the connector that the connection does not have.
pub fn missing_scopes(connector: &Connector, connection: &Connection) -> ScopeList {
    connector.scopes.missing_from(&connection.granted_scopes)
}

/// A scope the user was asked for and did not grant is the user's choice and no change;
/// a scope the user was never asked for is one.
fn scopes_changed(connector: &Connector, grant: &Grant<'_>) -> bool {
    match connector.scope_policy {
        ScopePolicy::Widening => {
            let known = grant.requested_scopes.union(grant.granted_scopes);
            !connector.scopes.missing_from(&known).is_empty()
        }
        ScopePolicy::Strict => !connector.scopes.is_same_set(grant.requested_scopes),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::connection::{ConnectionKey, RevocationOutcome};
    use crate::domain::connector::{Accounts, ClientSecret, ConnectorKind, ConnectorStatus};
    use crate::domain::ids::{AppId, ConnectionId, ConnectorId, ProviderId, UserId, WorkspaceId};
    use crate::domain::subject::Subject;
    use crate::domain::token::Validity;

    const AT: Timestamp = Timestamp::from_millis(0);

    fn scopes(text: &str) -> ScopeList {
        ScopeList::parse(text.split(' ')).unwrap()
    }

    fn connector(list: &str) -> Connector {
        Connector {
            workspace: WorkspaceId::parse("w").unwrap(),
            id: ConnectorId::parse("c").unwrap(),
            name: "C".into(),
            provider: ProviderId::parse("custom").unwrap(),
            kind: ConnectorKind::User,
            accounts: Accounts::One,
            client_id: "id".into(),
            client_secret: Some(ClientSecret {
                sealed: vec![],
                set_at: AT,
                last_four: None,
            }),
            previous_secret: None,
            scopes: scopes(list),
            scope_policy: ScopePolicy::Widening,
            config: BTreeMap::new(),
            template: None,
            allowed_apps: None,
            status: ConnectorStatus::Enabled,
            generation: 1,
            client_generation: 1,
            revoked: None,
            version: 1,
            created_at: AT,
            updated_at: AT,
        }
    }

    fn connection(requested: &str, granted: &str) -> Connection {
        Connection {
            key: ConnectionKey {
                workspace: WorkspaceId::parse("w").unwrap(),
                app: AppId::parse("a").unwrap(),
                subject: Subject::User(UserId::parse("u").unwrap()),
                connector: ConnectorId::parse("c").unwrap(),
                alias: None,
            },
            id: ConnectionId::parse("x").unwrap(),
            status: ConnectionStatus::Active,
            generation: 1,
            connector_generation: 1,
            sealed: None,
            validity: Validity {
                issued_at: AT,
                expires_at: None,
                grant_expires_at: None,
            },
            refreshable: true,
            requested_scopes: scopes(requested),
            granted_scopes: scopes(granted),
            account: None,
            due_at: None,
            open_attempts: 0,
            open_since: None,
            outcome_lost: false,
            failures: 0,
            next_attempt_at: None,
            created_at: AT,
            connected_at: AT,
            refreshed_at: None,
            last_read_at: None,
        }
    }

    const SCOPES_CHANGED: Standing = Standing::ReconnectRequired(ReconnectReason::ScopesChanged);

    #[test]
    fn widening_the_scopes_makes_users_reconnect_and_narrowing_does_not() {
        let granted = connection("a b", "a b");
        assert_eq!(
            standing(&connector("a b c"), &granted, None),
            SCOPES_CHANGED
        );
        assert_eq!(
            standing(&connector("a"), &granted, None),
            Standing::Connected
        );
        assert_eq!(
            standing(&connector("b a"), &granted, None),
            Standing::Connected
        );
    }

    #[test]
    fn a_strict_connector_makes_users_reconnect_on_any_change_but_order() {
        let granted = connection("a b", "a b");
        let strict = |list| Connector {
            scope_policy: ScopePolicy::Strict,
            ..connector(list)
        };
        assert_eq!(standing(&strict("a"), &granted, None), SCOPES_CHANGED);
        assert_eq!(
            standing(&strict("b a"), &granted, None),
            Standing::Connected
        );
    }

    #[test]
    fn covered_scopes_are_served_after_a_widening_and_uncovered_ones_are_not() {
        let granted = connection("a b", "a b");
        let wide = connector("a b c");
        assert_eq!(
            standing(&wide, &granted, Some(&scopes("b"))),
            Standing::Connected
        );
        assert_eq!(
            standing(&wide, &granted, Some(&scopes("c"))),
            Standing::ReconnectRequired(ReconnectReason::MissingScopes)
        );
    }

    #[test]
    fn a_scope_the_user_declined_is_missing_but_no_reason_to_ask_again() {
        let partial = connection("a b", "a");
        assert_eq!(
            standing(&connector("a b"), &partial, None),
            Standing::Connected
        );
        assert_eq!(missing_scopes(&connector("a b"), &partial), scopes("b"));
    }

    #[test]
    fn h38_a_grant_of_an_earlier_generation_is_not_handed_out() {
        let changed = Connector {
            generation: 2,
            ..connector("a")
        };
        assert_eq!(
            standing(&changed, &connection("a", "a"), None),
            Standing::ReconnectRequired(ReconnectReason::ConnectorChanged)
        );
    }

    #[test]
    fn h89_what_was_granted_before_a_revocation_is_gone_whatever_its_status() {
        let revoked = connector("a").revoking(AT);
        let dead = ConnectionStatus::ReconnectRequired {
            reason: ReconnectReason::GrantRevoked,
            since: AT,
        };
        for status in [ConnectionStatus::Active, dead] {
            let earlier = Connection {
                status,
                ..connection("a", "a")
            };
            assert_eq!(standing(&revoked, &earlier, None), Standing::NotConnected);
        }
        let since = Connection {
            connector_generation: revoked.generation,
            ..connection("a", "a")
        };
        assert_eq!(standing(&revoked, &since, None), Standing::Connected);
        assert!(revoked.has_client_of(1) && revoked.has_client_of(2));
    }

    #[test]
    fn an_expired_token_of_a_dead_grant_makes_the_user_reconnect() {
        let at = Timestamp::from_millis;
        let limited = |expires_at, grant_expires_at, refreshable| Connection {
            validity: Validity {
                issued_at: AT,
                expires_at: Some(at(expires_at)),
                grant_expires_at,
            },
            refreshable,
            ..connection("a", "a")
        };
        let reconnect = Standing::ReconnectRequired(ReconnectReason::RefreshExpired);
        for (shown, expected) in [
            (limited(20, Some(at(15)), true), reconnect),
            (limited(20, None, false), reconnect),
            (limited(20, Some(at(21)), true), Standing::Connected),
            (limited(20, None, true), Standing::Connected),
            // The last access token outlives its grant.
            (limited(21, Some(at(15)), true), Standing::Connected),
        ] {
            let shown = standing_at(&connector("a"), &shown, at(20));
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_disconnected_connection_is_as_if_it_had_never_been() {
        for status in [
            ConnectionStatus::Revoking { since: AT },
            ConnectionStatus::Disconnected {
                outcome: RevocationOutcome::Failed,
                since: AT,
            },
        ] {
            let gone = Connection {
                status,
                ..connection("a", "a")
            };
            assert_eq!(
                standing(&connector("a"), &gone, None),
                Standing::NotConnected
            );
        }
    }
}

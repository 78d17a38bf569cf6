//! How a connector's connections stand, counted from what an index keeps of each: enough for the
//! rule that a look-up goes by, and nothing that a refresh changes.

use super::connection::ConnectionKey;
use super::connector::Connector;
use super::handout::{Grant, Standing, standing_of_grant};
use super::scopes::ScopeList;

/// A connection as an index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it is kept.
    pub key: ConnectionKey,
    /// How far its life has come.
    pub life: Life,
    /// The connector's generation its grant belongs to.
    pub connector_generation: u64,
    /// What the user was asked for.
    pub requested_scopes: ScopeList,
    /// What was granted when the user last went through the consent. A refresh may have brought
    /// other scopes since, but none that the user was not asked for (RFC 6749 section 6).
    pub consented_scopes: ScopeList,
}

/// The life cycle of a connection, as coarse as an index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Not proven dead.
    Live,
    /// Proven dead.
    Dead,
    /// Disconnected, while the provider's part is not settled.
    Ending,
}

/// How many connections stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tokens may be handed out. An access token that has expired and cannot be renewed counts
    /// here until somebody asks for it.
    pub connected: u64,
    /// The user has to connect again.
    pub reconnect_required: u64,
    /// Disconnected, while the provider's part is not settled.
    pub disconnecting: u64,
    /// Of all these, granted before the connector's last revocation.
    pub revoked: u64,
}

impl Census {
    /// Counts one more connection under `connector`.
    pub fn count(&mut self, connector: &Connector, listed: &Listed) {
        let revoked = connector.has_revoked(listed.connector_generation);
        self.revoked += u64::from(revoked);
        let counted = match listed.life {
            _ if revoked => &mut self.disconnecting,
            Life::Ending => &mut self.disconnecting,
            Life::Dead => &mut self.reconnect_required,
            Life::Live => match standing_of_grant(connector, &listed.grant(), None) {
                Standing::Connected => &mut self.connected,
                Standing::ReconnectRequired(_) => &mut self.reconnect_required,
                Standing::NotConnected => &mut self.disconnecting,
            },
        };
        *counted += 1;
    }

    /// How many there are.
    pub fn all(&self) -> u64 {
        self.connected + self.reconnect_required + self.disconnecting
    }
}

impl Listed {
    fn grant(&self) -> Grant<'_> {
        Grant {
            connector_generation: self.connector_generation,
            requested_scopes: &self.requested_scopes,
            granted_scopes: &self.consented_scopes,
        }
    }
}

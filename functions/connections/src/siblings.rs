//! What a disconnect ends besides: at some providers one revocation ends whatever an account has
//! granted to a client (K12), and that may be connected through several connectors.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use shared::catalogue;
use shared::domain::address::AddressRules;
use shared::domain::connection::Connection;
use shared::domain::connector::Connector;
use shared::domain::ids::{Alias, ConnectorId, WorkspaceId};
use shared::domain::provider::RevocationReach;
use shared::ports::StoreError;

use crate::State;

/// A connection that ends with another.
#[derive(Debug, Serialize)]
pub(crate) struct Sibling {
    connector_id: ConnectorId,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<Alias>,
}

/// Connections of one user, each with what may end with it.
pub(crate) struct Siblings<'a>(Vec<(&'a Connection, Client)>);

/// A client at a provider whose revocations reach the whole account.
#[derive(Clone, PartialEq, Eq)]
struct Client {
    id: String,
    /// Tells the provider.
    revocation_url: String,
}

impl Client {
    /// `None` of a connector whose provider revokes grant by grant, or not at all.
    fn of(connector: &Connector, rules: AddressRules) -> Option<Self> {
        let provider = catalogue::resolve(&connector.provider, &connector.config, rules).ok()?;
        let revocation = provider.revocation?;
        (revocation.reach == RevocationReach::Account).then(|| Self {
            id: connector.client_id.clone(),
            revocation_url: revocation.url,
        })
    }
}

impl<'a> Siblings<'a> {
    /// Among all connections of a user in an app. Connectors that are not on the page are read,
    /// where there is one on it that could end what they have.
    pub(crate) async fn among(
        state: &State,
        workspace: &WorkspaceId,
        page: &[Connector],
        connections: &'a [Connection],
    ) -> Result<Self, StoreError> {
        let rules = state.address_rules;
        let mut connectors: BTreeMap<_, _> = page
            .iter()
            .map(|connector| (&connector.id, Cow::Borrowed(connector)))
            .collect();
        let live = connections.iter().filter(|one| !one.status.is_gone());
        let live: Vec<_> = live.collect();
        let reaches_further = live.iter().any(|one| {
            let connector = connectors.get(&one.key.connector);
            connector.is_some_and(|connector| Client::of(connector, rules).is_some())
        });
        if !reaches_further {
            return Ok(Self(Vec::new()));
        }
        for one in &live {
            let id = &one.key.connector;
            if !connectors.contains_key(id)
                && let Some(connector) = state.registry.connector(workspace, id).await?
            {
                connectors.insert(id, Cow::Owned(connector));
            }
        }
        let known = live.into_iter().filter_map(|one| {
            let connector = connectors.get(&one.key.connector)?;
            // What an earlier client was granted is not revoked, and no revocation reaches it.
            let is_current = one.connector_generation == connector.generation;
            let client = Client::of(connector, rules).filter(|_| is_current)?;
            Some((one, client))
        });
        Ok(Self(known.collect()))
    }

    /// What would end with `connection`. Where it is not known whose account one of two is, they
    /// may be the same.
    pub(crate) fn of(&self, connection: &Connection) -> Vec<Sibling> {
        let own = self.0.iter().find(|(one, _)| one.id == connection.id);
        let Some((_, client)) = own else {
            return Vec::new();
        };
        let others = self.0.iter().filter(|(other, of)| {
            let accounts = connection.account.as_ref().zip(other.account.as_ref());
            other.id != connection.id
                && of == client
                && accounts.is_none_or(|(one, other)| !one.contradicts(other))
        });
        others
            .map(|(other, _)| Sibling {
                connector_id: other.key.connector.clone(),
                alias: other.key.alias.clone(),
            })
            .collect()
    }
}

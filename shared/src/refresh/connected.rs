//! What a redeemed code brought while the table did not answer, out of escrow: stored as the end
//! of its flow, on top of whatever stands there by now.

use super::RefreshEngine;
use super::queued::{JobNotDone, Offer};
use crate::domain::app::AccountChange;
use crate::domain::connection::{Connection, ConnectionStatus};
use crate::domain::event::Change;
use crate::domain::job::EscrowedGrant;
use crate::events::connection_event;
use crate::ports::{ConnectAnswer, ConnectWrite, Revocation, StoreError};

impl RefreshEngine {
    /// Connects what was left in escrow, if its flow still waits for it; revokes it otherwise.
    ///
    /// # Errors
    /// When it does not get in within a few seconds: the queue delivers it again.
    pub async fn store_connected(&self, grant: &EscrowedGrant) -> Result<(), JobNotDone> {
        self.deliver(|| self.offer_connected(grant)).await
    }

    async fn offer_connected(&self, grant: &EscrowedGrant) -> Result<Offer, StoreError> {
        // It may have waited for longer than the app has been there.
        let key = &grant.connection;
        let app = self.registry.app(&key.workspace, &key.app).await?;
        if app.is_none_or(|app| app.is_deleting()) {
            return self.revoke_grant(grant).await;
        }
        let standing = self.connections.connection(key).await?;
        let kept = standing
            .as_ref()
            .filter(|connection| !connection.status.is_gone());
        if let Some(kept) = kept
            && self.is_revoked(kept).await?
        {
            // The background is about to end it, and to revoke its grant (H-89).
            return Ok(Offer::Yields);
        }
        let other = kept.filter(|kept| {
            let both = kept.account.as_ref().zip(grant.account.as_ref());
            both.is_some_and(|(old, new)| old.contradicts(new))
        });
        if other.is_some() && grant.account_change == AccountChange::Refuse {
            return self.revoke_grant(grant).await;
        }
        let connection = self.connection_of(grant, standing.as_ref()).await?;
        let change = if kept.is_some() {
            Change::Reconnected
        } else {
            Change::Connected
        };
        let event = connection_event(&*self.entropy, &connection, change, self.clock.now())
            .by(&grant.origin);
        let replaced = other.cloned();
        let write = ConnectWrite {
            session: grant.session.clone(),
            connection,
            replaces: standing,
            event,
        };
        match self.connections.connect(&write).await? {
            ConnectAnswer::Connected => {
                tracing::warn!(connection.id = %write.connection.id, "a connection came out of escrow");
                self.publisher.publish(&write.event).await;
                if let Some(other) = replaced.filter(|_| grant.revocable) {
                    self.revoke_replaced(other).await;
                }
                Ok(Offer::Settled)
            }
            // A refresh or a disconnect came in between: the next offer sees what stands then.
            ConnectAnswer::Changed => Ok(Offer::Yields),
            ConnectAnswer::ConnectorGone | ConnectAnswer::SessionGone => {
                self.revoke_grant(grant).await
            }
        }
    }

    async fn is_revoked(&self, connection: &Connection) -> Result<bool, StoreError> {
        let key = &connection.key;
        let connector = self.registry.connector(&key.workspace, &key.connector);
        let generation = connection.connector_generation;
        Ok(connector
            .await?
            .is_some_and(|connector| connector.has_revoked(generation)))
    }

    /// The connection as it is to be stored: above whatever stands there, so that a refresh under
    /// way cannot store over it (C17), and sealed for that.
    async fn connection_of(
        &self,
        grant: &EscrowedGrant,
        standing: Option<&Connection>,
    ) -> Result<Connection, StoreError> {
        let kept = standing.filter(|connection| !connection.status.is_gone());
        let id = kept.map_or(&grant.id, |kept| &kept.id);
        let generation = standing.map_or(0, |standing| standing.generation) + 1;
        let sealed = if *id == grant.id && generation == EscrowedGrant::GENERATION {
            grant.sealed.0.clone()
        } else {
            let keys = self.vault.keys(&grant.connection.workspace).await;
            let keys = keys.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            let tokens = keys
                .open_tokens_of(&grant.id, EscrowedGrant::GENERATION, &grant.sealed.0)
                .map_err(|_| StoreError::Corrupt("grant in escrow"))?;
            keys.seal_tokens(&*self.entropy, id, generation, &tokens)
        };
        let at = grant.connected_at;
        Ok(Connection {
            key: grant.connection.clone(),
            id: id.clone(),
            sealed: Some(sealed),
            status: ConnectionStatus::Active,
            generation,
            connector_generation: grant.connector_generation,
            validity: grant.validity,
            refreshable: grant.refreshable,
            requested_scopes: grant.requested_scopes.clone(),
            granted_scopes: grant.granted_scopes.clone(),
            account: grant
                .account
                .clone()
                .or_else(|| kept.and_then(|kept| kept.account.clone())),
            due_at: grant.due_at,
            open_attempts: 0,
            open_since: None,
            outcome_lost: false,
            failures: 0,
            next_attempt_at: None,
            created_at: kept.map_or(at, |kept| kept.created_at),
            connected_at: at,
            refreshed_at: None,
            last_read_at: kept.and_then(|kept| kept.last_read_at),
        })
    }

    /// Nobody will ever have these tokens.
    async fn revoke_grant(&self, grant: &EscrowedGrant) -> Result<Offer, StoreError> {
        if !grant.revocable {
            tracing::info!(connection.id = %grant.id, "tokens were dropped and not revoked");
            return Ok(Offer::Settled);
        }
        let now = self.clock.now();
        let revocation = Revocation {
            key: grant.connection.clone(),
            connection: grant.id.clone(),
            sealed: grant.sealed.0.clone(),
            generation: EscrowedGrant::GENERATION,
            connector_generation: grant.connector_generation,
            since: now,
            settles_connection: false,
        };
        self.due.add_revocation(&revocation, now).await?;
        Ok(Offer::Settled)
    }

    /// Nobody uses the account any more that was connected before. Its only copy went with the
    /// write, so what cannot be queued now is only told.
    async fn revoke_replaced(&self, other: Connection) {
        let now = self.clock.now();
        let revocation = Revocation {
            key: other.key,
            connection: other.id,
            sealed: other.sealed.unwrap_or_default(),
            generation: other.generation,
            connector_generation: other.connector_generation,
            since: now,
            settles_connection: false,
        };
        if let Err(error) = self.due.add_revocation(&revocation, now).await {
            tracing::error!(connection.id = %revocation.connection, error = %error, "tokens could not be queued for revocation");
        }
    }
}

//! Connections: reading, connecting, disconnecting. The moves under a lease are in `leases`.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::connection::{
    outcome_name, read_connection, read_listed, tombstone_ttl, write_connection, write_readers,
};
use super::super::items::due::{refresh_work, revocation_work, write_refresh, write_revocation};
use super::super::items::session::read_session;
use super::super::items::{Row, value};
use super::super::schema::{
    self, APP_PK, BY_APP, BY_CONNECTOR, DueKind, GSI_PK, GSI_SK, Key, PK, TTL, attr, life, stage,
    status,
};
use super::DynamoStore;
use super::expression::Expression;
use super::indexes::{index_key, is_listed, of_app, of_connector};
use super::transaction::Committed;
use crate::domain::census::Listed;
use crate::domain::connection::{
    Connection, ConnectionKey, Lease, Readers, ReconnectReason, RevocationOutcome,
};
use crate::domain::event::Event;
use crate::domain::ids::{AppId, AttemptId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use crate::domain::refresh_protocol::FailedAttempt;
use crate::domain::scopes::ScopeList;
use crate::domain::session::Stage;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::ports::{
    ConnectAnswer, ConnectWrite, Connections, EscrowWrite, LeaseAnswer, LeaseWrite, Page,
    RefreshedTokens, Revocation, StoreError,
};

#[async_trait]
impl Connections for DynamoStore {
    async fn connection(&self, key: &ConnectionKey) -> Result<Option<Connection>, StoreError> {
        let row = self
            .get(&self.tables.connections, schema::connection(key))
            .await?;
        row.as_ref().map(read_connection).transpose()
    }

    async fn of_user(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        user: &UserId,
    ) -> Result<Vec<Connection>, StoreError> {
        let of_user = schema::connections_of(workspace, app, &Subject::User(user.clone()));
        let keys = Expression::new().equals(PK, value::text(of_user));
        let rows = self.query_all(&self.tables.connections, keys).await?;
        rows.iter().map(read_connection).collect()
    }

    async fn of_connector(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let index = self
            .index_page(
                BY_CONNECTOR,
                of_connector(workspace, connector),
                after,
                limit,
            )
            .await?;
        Ok(Page {
            items: self.hydrate(&index.items).await?,
            next: index.next,
        })
    }

    async fn of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let index = self
            .index_page(BY_APP, of_app(workspace, app), after, limit)
            .await?;
        Ok(Page {
            items: self.hydrate(&index.items).await?,
            next: index.next,
        })
    }

    async fn count_of_app(
        &self,
        workspace: &WorkspaceId,
        app: &AppId,
        most: u32,
    ) -> Result<(u64, bool), StoreError> {
        let keys = of_app(workspace, app);
        self.count_index(BY_APP, keys, u64::from(most)).await
    }

    async fn listed(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Listed>, StoreError> {
        let index = self
            .index_page(
                BY_CONNECTOR,
                of_connector(workspace, connector),
                after,
                limit,
            )
            .await?;
        let items = index.items.iter().map(read_listed);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next: index.next,
        })
    }

    async fn by_id(
        &self,
        workspace: &WorkspaceId,
        connector: &ConnectorId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let keys = of_connector(workspace, connector).equals(GSI_SK, value::text(id.as_str()));
        let (rows, _) = self.query_index(BY_CONNECTOR, keys, 1).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = self.get(&self.tables.connections, index_key(row)?).await?;
        let found = row.as_ref().map(read_connection).transpose()?;
        // The index may still show what the table has moved on from.
        Ok(found.filter(|connection| connection.id == *id && is_listed(connection)))
    }

    async fn connect(&self, write: &ConnectWrite) -> Result<ConnectAnswer, StoreError> {
        const SESSION: usize = 0;
        const CONNECTOR: usize = 1;
        const APP: usize = 2;
        let new = &write.connection;
        let complete = Expression::new()
            .equals(attr::STAGE, value::text(stage::EXCHANGING))
            .set(attr::STAGE, value::text(stage::COMPLETED))
            .set(attr::CONNECTION, value::text(new.id.as_str()));
        let usable = Expression::new()
            .one_of(attr::STATUS, &[status::ENABLED, status::DISABLED])
            .equals(attr::GENERATION, value::number(new.connector_generation));
        let unchanged = match &write.replaces {
            None => Expression::new().absent(PK),
            Some(old) => as_read(old),
        };
        let key = &new.key;
        let mut transaction = self
            .transaction()
            .update(
                &self.tables.sessions,
                schema::session(&write.session),
                complete,
            )?
            .check(
                &self.tables.registry,
                schema::connector(&key.workspace, &key.connector),
                usable,
            )?
            .check(
                &self.tables.registry,
                schema::app(&key.workspace, &key.app),
                Expression::new().absent(attr::STATUS),
            )?
            .put(&self.tables.connections, write_connection(new), unchanged)?
            .tell(&write.event)?;
        let due = new.due_at.map(|at| refresh_work(&new.id, at, self.shards));
        if let Some(due) = &due {
            transaction =
                transaction.put(&self.tables.due, write_refresh(due, key), Expression::new())?;
        }
        // A transaction may touch an item once: an entry that stays where it is was just put.
        if let Some(old) = write.replaces.as_ref().and_then(|old| self.due_key(old))
            && due.is_none_or(|due| schema::due(DueKind::Refresh, &due) != old)
        {
            transaction = transaction.delete(&self.tables.due, old, Expression::new())?;
        }
        match transaction.commit().await? {
            Committed::Done => Ok(ConnectAnswer::Connected),
            Committed::Refused(by) if by.refused(SESSION) => {
                was_completed(by.item(SESSION), &new.id)
            }
            Committed::Refused(by) if by.refused(CONNECTOR) || by.refused(APP) => {
                Ok(ConnectAnswer::ConnectorGone)
            }
            Committed::Refused(_) => Ok(ConnectAnswer::Changed),
        }
    }

    async fn acquire_lease(
        &self,
        key: &ConnectionKey,
        attempt: &AttemptId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseAnswer, StoreError> {
        self.take_lease(key, attempt, now, until).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.give_lease_back(lease).await
    }

    async fn store_tokens(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<LeaseWrite, StoreError> {
        self.store_under_lease(lease, tokens, now).await
    }

    async fn store_escrowed(
        &self,
        lease: &Lease,
        tokens: &RefreshedTokens,
        now: Timestamp,
    ) -> Result<EscrowWrite, StoreError> {
        self.store_when_free(lease, tokens, now).await
    }

    async fn record_failure(
        &self,
        lease: &Lease,
        failure: &FailedAttempt,
    ) -> Result<LeaseWrite, StoreError> {
        self.fail_under_lease(lease, failure).await
    }

    async fn require_reconnect(
        &self,
        lease: &Lease,
        reason: ReconnectReason,
        since: Timestamp,
        event: &Event,
    ) -> Result<LeaseWrite, StoreError> {
        self.give_up_under_lease(lease, reason, since, event).await
    }

    async fn disconnect(
        &self,
        connection: &Connection,
        revocation: Option<&Revocation>,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let mut change = as_read(connection)
            .one_of(
                attr::STATUS,
                &[status::ACTIVE, status::SUSPECT, status::RECONNECT_REQUIRED],
            )
            .set(
                attr::GENERATION,
                value::number(connection.generation.saturating_add(1)),
            )
            .set(attr::SINCE, value::time(event.time))
            .set(attr::FAILURES, value::number(0))
            .remove(&[
                attr::SEALED,
                attr::REASON,
                attr::DUE_AT,
                attr::LEASE_OWNER,
                attr::LEASE_UNTIL,
                attr::OPEN_ATTEMPTS,
                attr::OPEN_SINCE,
                attr::OUTCOME_LOST,
                attr::NEXT_ATTEMPT_AT,
            ]);
        change = match revocation {
            Some(_) => change
                .set(attr::STATUS, value::text(status::REVOKING))
                .set(attr::LIFE, value::text(life::ENDING)),
            None => settle(change, RevocationOutcome::Unsupported, event.time),
        };
        let mut transaction = self
            .transaction()
            .update(
                &self.tables.connections,
                schema::connection(&connection.key),
                change,
            )?
            .tell(event)?;
        if let Some(revocation) = revocation {
            let work = revocation_work(revocation, revocation.since, self.shards);
            transaction = transaction.put(
                &self.tables.due,
                write_revocation(&work, revocation),
                Expression::new(),
            )?;
        }
        if let Some(due) = self.due_key(connection) {
            transaction = transaction.delete(&self.tables.due, due, Expression::new())?;
        }
        Ok(transaction.commit().await?.is_done())
    }

    async fn settle_revocation(
        &self,
        key: &ConnectionKey,
        id: &ConnectionId,
        outcome: RevocationOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let waiting = Expression::new()
            .equals(attr::ID, value::text(id.as_str()))
            .equals(attr::STATUS, value::text(status::REVOKING))
            .set(attr::SINCE, value::time(now));
        let change = settle(waiting, outcome, now);
        self.update(
            &self.tables.connections,
            schema::connection(key),
            change,
            ReturnValue::None,
        )
        .await
        .map(|_| ())
    }

    async fn forget(&self, key: &ConnectionKey) -> Result<(), StoreError> {
        let nothing = ScopeList::default();
        let change = Expression::new()
            .one_of(attr::STATUS, &[status::REVOKING, status::DISCONNECTED])
            .set(attr::REQUESTED_SCOPES, value::scopes(&nothing))
            .set(attr::GRANTED_SCOPES, value::scopes(&nothing))
            .remove(&[
                attr::ACCOUNT_ID,
                attr::ACCOUNT_LABEL,
                attr::LAST_READ_AT,
                attr::READERS,
            ]);
        let at = schema::connection(key);
        self.update(&self.tables.connections, at, change, ReturnValue::None)
            .await
            .map(|_| ())
    }

    async fn record_read(
        &self,
        key: &ConnectionKey,
        readers: &Readers,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        // The condition keeps a look-up that lost a race from leaving a row without a
        // connection, or from turning the clock back.
        let change = Expression::new()
            .exists(PK)
            .absent_or_less(attr::LAST_READ_AT, value::time(at))
            .set(attr::LAST_READ_AT, value::time(at))
            .set(attr::READERS, write_readers(readers));
        self.note(
            &self.tables.connections,
            schema::connection(key),
            change,
            ReturnValue::None,
        )
        .await
        .map(|_| ())
    }
}

impl DynamoStore {
    /// Where a connection's due entry stands.
    pub(super) fn due_key(&self, connection: &Connection) -> Option<Key> {
        let work = refresh_work(&connection.id, connection.due_at?, self.shards);
        Some(schema::due(DueKind::Refresh, &work))
    }
}

/// Requires the connection to be the one that was read, with the tokens it had then.
fn as_read(connection: &Connection) -> Expression {
    Expression::new()
        .equals(attr::ID, value::text(connection.id.as_str()))
        .equals(attr::GENERATION, value::number(connection.generation))
}

/// Leaves a tombstone: out of the index, and gone after a month.
fn settle(change: Expression, outcome: RevocationOutcome, at: Timestamp) -> Expression {
    change
        .set(attr::STATUS, value::text(status::DISCONNECTED))
        .set(attr::OUTCOME, value::text(outcome_name(outcome)))
        .set(TTL, tombstone_ttl(at))
        .remove(&[GSI_PK, GSI_SK, APP_PK, attr::LIFE, attr::CONSENTED_SCOPES])
}

/// A session is completed by one write only, so one that is completed with this very
/// connection was completed by an earlier try of the same write.
fn was_completed(
    session: Option<&Row>,
    connection: &ConnectionId,
) -> Result<ConnectAnswer, StoreError> {
    let stage = session.map(read_session).transpose()?.map(|at| at.stage);
    Ok(match stage {
        Some(Stage::Completed {
            connection: with, ..
        }) if with == *connection => ConnectAnswer::Connected,
        Some(_) | None => ConnectAnswer::SessionGone,
    })
}

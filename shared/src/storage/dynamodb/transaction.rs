//! Several conditional writes that happen together or not at all.
//!
//! The SDK gives each transaction a token and DynamoDB remembers it for ten minutes, so a
//! transaction the SDK sends again is answered as it was the first time.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};

use super::super::items::Row;
use super::super::items::due::{event_work, write_event};
use super::super::schema::Key;
use super::expression::Expression;
use super::{DynamoStore, key_row, unavailable};
use crate::domain::audit::AuditEntry;
use crate::domain::event::Event;
use crate::ports::StoreError;

/// A transaction in the making. Its writes are numbered in the order they are added.
pub(super) struct Transaction<'a> {
    store: &'a DynamoStore,
    writes: Vec<TransactWriteItem>,
}

/// What became of a transaction.
pub(super) enum Committed {
    /// Every write was made.
    Done,
    /// No write was made, because of the conditions named here.
    Refused(Refusals),
}

impl Committed {
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Refused(_) => false,
        }
    }
}

/// Which conditions failed.
pub(super) struct Refusals(Vec<CancellationReason>);

impl Refusals {
    /// Whether the condition of the write with this number failed.
    pub(super) fn refused(&self, number: usize) -> bool {
        self.0.get(number).is_some_and(is_refusal)
    }

    /// The item that made the write with this number fail; `None` when there is none.
    pub(super) fn item(&self, number: usize) -> Option<&Row> {
        self.0.get(number).and_then(CancellationReason::item)
    }
}

fn is_refusal(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

impl DynamoStore {
    pub(super) fn transaction(&self) -> Transaction<'_> {
        Transaction {
            store: self,
            writes: Vec::new(),
        }
    }
}

impl Transaction<'_> {
    pub(super) fn check(
        mut self,
        table: &str,
        at: Key,
        condition: Expression,
    ) -> Result<Self, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key_row(at)));
        let check = condition.in_transaction_check(check).build();
        let check = check.map_err(unavailable)?;
        self.writes
            .push(TransactWriteItem::builder().condition_check(check).build());
        Ok(self)
    }

    /// Writes an item over whatever stands there, if the condition holds.
    pub(super) fn put(
        mut self,
        table: &str,
        row: Row,
        condition: Expression,
    ) -> Result<Self, StoreError> {
        let put = Put::builder().table_name(table).set_item(Some(row));
        let put = condition.in_transaction_put(put).build();
        let put = put.map_err(unavailable)?;
        self.writes
            .push(TransactWriteItem::builder().put(put).build());
        Ok(self)
    }

    /// Adds an event to the outbox, and the entry that it stands for to the audit.
    pub(super) fn tell(self, event: &Event) -> Result<Self, StoreError> {
        let store = self.store;
        let row = write_event(&event_work(event, store.shards), event)?;
        let told = self.put(&store.tables.due, row, Expression::new())?;
        match AuditEntry::of(event) {
            Some(entry) => told.note(&entry),
            None => Ok(told),
        }
    }

    /// Adds an audit entry.
    pub(super) fn note(self, entry: &AuditEntry) -> Result<Self, StoreError> {
        let store = self.store;
        self.put(
            &store.tables.audit,
            store.audit_row(entry),
            Expression::new(),
        )
    }

    /// A refusal of an update carries the item that refused it.
    pub(super) fn update(
        mut self,
        table: &str,
        at: Key,
        change: Expression,
    ) -> Result<Self, StoreError> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key_row(at)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = change.in_transaction_update(update).build();
        let update = update.map_err(unavailable)?;
        self.writes
            .push(TransactWriteItem::builder().update(update).build());
        Ok(self)
    }

    pub(super) fn delete(
        mut self,
        table: &str,
        at: Key,
        condition: Expression,
    ) -> Result<Self, StoreError> {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key_row(at)));
        let delete = condition.in_transaction_delete(delete).build();
        let delete = delete.map_err(unavailable)?;
        self.writes
            .push(TransactWriteItem::builder().delete(delete).build());
        Ok(self)
    }

    /// # Errors
    /// Besides the usual, a conflict with another transaction on the same item: nothing was
    /// written and the same call may succeed at once.
    pub(super) async fn commit(self) -> Result<Committed, StoreError> {
        let request = self.store.client.transact_write_items();
        let sent = request.set_transact_items(Some(self.writes)).send().await;
        match sent {
            Ok(_) => Ok(Committed::Done),
            Err(error) => judge(error.into_service_error()),
        }
    }
}

/// Tells a failed condition, which is an answer, from everything else.
fn judge(error: TransactWriteItemsError) -> Result<Committed, StoreError> {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled)
            if canceled.cancellation_reasons().iter().any(is_refusal) =>
        {
            let reasons = canceled.cancellation_reasons.unwrap_or_default();
            Ok(Committed::Refused(Refusals(reasons)))
        }
        other => Err(unavailable(other)),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    fn canceled(codes: &[&str]) -> Result<Committed, StoreError> {
        let reasons = codes
            .iter()
            .map(|code| CancellationReason::builder().code(*code).build());
        judge(TransactWriteItemsError::TransactionCanceledException(
            TransactionCanceledException::builder()
                .set_cancellation_reasons(Some(reasons.collect()))
                .build(),
        ))
    }

    #[test]
    fn a_failed_condition_is_an_answer_and_names_its_write() {
        let Ok(Committed::Refused(by)) = canceled(&["None", "ConditionalCheckFailed"]) else {
            panic!("not refused");
        };
        assert_eq!(
            (by.refused(0), by.refused(1), by.refused(2)),
            (false, true, false)
        );
    }

    #[test]
    fn a_conflict_with_another_transaction_is_worth_another_try() {
        for code in ["TransactionConflict", "ThrottlingError", "ValidationError"] {
            let answer = canceled(&["None", code]);
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{code}");
        }
    }
}

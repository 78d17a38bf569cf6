//! Queries and pages.
//!
//! A cursor is the last id of its page and nothing else. The partition a page is read from comes
//! from the caller's own workspace, so a cursor made up by hand leads nowhere it should not.

use super::super::items::Row;
use super::expression::Expression;
use super::{DynamoStore, unavailable};
use crate::ports::{Page, StoreError};

impl DynamoStore {
    /// Every item under these keys, strongly consistent. For lists that are short by nature.
    pub(super) async fn query_all(
        &self,
        table: &str,
        keys: Expression,
    ) -> Result<Vec<Row>, StoreError> {
        let query = self.client.query().table_name(table).consistent_read(true);
        let query = keys.apply_to_query(query);
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let answer = query.clone().set_exclusive_start_key(from).send().await;
            let answer = answer.map_err(unavailable)?;
            rows.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// The id that `after` stands for; the outer `None` when it was not given out by a page.
pub(super) fn cursor<T, E>(
    after: Option<&str>,
    parse: impl FnOnce(String) -> Result<T, E>,
) -> Option<Option<T>> {
    match after {
        None => Some(None),
        Some(text) => parse(text.to_owned()).ok().map(Some),
    }
}

/// One item more than asked for tells whether there is a next page.
pub(super) fn one_more(limit: u32) -> i32 {
    i32::try_from(limit.max(1))
        .unwrap_or(i32::MAX)
        .saturating_add(1)
}

/// A page of at most `limit` of `items`, read with [`one_more`]; `cut_short` when DynamoDB
/// stopped before the limit.
pub(super) fn page<T>(
    mut items: Vec<T>,
    limit: u32,
    cut_short: bool,
    id: impl Fn(&T) -> String,
) -> Page<T> {
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let more = items.len() > limit || cut_short;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(id);
    Page { items, next }
}

pub(super) fn no_page<T>() -> Page<T> {
    Page {
        items: Vec::new(),
        next: None,
    }
}

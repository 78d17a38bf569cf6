//! Domain values as items and back.
//!
//! Written by hand, so that what an older or newer version stored is read on purpose: an
//! attribute this version does not know is ignored, a missing optional one is absent, anything
//! else is [`StoreError::Corrupt`] and names the kind of item, never its content.

pub(super) mod audit;
pub(super) mod connection;
pub(super) mod due;
pub(super) mod health;
pub(super) mod idempotency;
pub(super) mod keys;
pub(super) mod registry;
pub(super) mod session;

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::schema::{Key, PK, SK};
use crate::domain::scopes::ScopeList;
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// An item.
pub(super) type Row = HashMap<String, AttributeValue>;

/// Values of attributes.
pub(super) mod value {
    use super::{AttributeValue, BTreeMap, Blob, ScopeList, Timestamp};

    pub(in super::super) fn text(text: impl Into<String>) -> AttributeValue {
        AttributeValue::S(text.into())
    }

    pub(in super::super) fn number(number: impl ToString) -> AttributeValue {
        AttributeValue::N(number.to_string())
    }

    pub(in super::super) fn time(at: Timestamp) -> AttributeValue {
        number(at.millis())
    }

    pub(in super::super) fn bytes(bytes: &[u8]) -> AttributeValue {
        AttributeValue::B(Blob::new(bytes))
    }

    pub(in super::super) fn list(
        texts: impl IntoIterator<Item = impl Into<String>>,
    ) -> AttributeValue {
        AttributeValue::L(texts.into_iter().map(text).collect())
    }

    pub(in super::super) fn scopes(scopes: &ScopeList) -> AttributeValue {
        list(scopes.iter())
    }

    /// Texts by name; nothing for none.
    pub(in super::super) fn texts(texts: &BTreeMap<String, String>) -> Option<AttributeValue> {
        let entries = texts.iter();
        let entries = entries.map(|(name, value)| (name.clone(), text(value)));
        (!texts.is_empty()).then(|| AttributeValue::M(entries.collect()))
    }

    /// The second after `at`: garbage collection must not come before expiry.
    pub(in super::super) fn ttl(at: Timestamp) -> AttributeValue {
        number(at.seconds().saturating_add(1))
    }
}

/// Writes an item.
pub(super) struct Writer(Row);

impl Writer {
    pub(super) fn new(key: Key) -> Self {
        let pk = (PK.to_owned(), value::text(key.pk));
        let sk = (SK.to_owned(), value::text(key.sk));
        Self(Row::from([pk, sk]))
    }

    pub(super) fn with(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// An absent value is an absent attribute.
    pub(super) fn with_some(self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn done(self) -> Row {
        self.0
    }
}

/// Reads an item of the kind it is told.
pub(super) struct Reader<'a> {
    row: &'a Row,
    kind: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(row: &'a Row, kind: &'static str) -> Self {
        Self { row, kind }
    }

    pub(super) fn corrupt(&self) -> StoreError {
        StoreError::Corrupt(self.kind)
    }

    fn required<T>(&self, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt())
    }

    /// An optional attribute; one that is there but does not read is corrupt.
    fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(value) = self.row.get(name) else {
            return Ok(None);
        };
        self.required(read(value)).map(Some)
    }

    pub(super) fn maybe_text(&self, name: &str) -> Result<Option<&'a str>, StoreError> {
        self.optional(name, |value| value.as_s().ok().map(String::as_str))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, StoreError> {
        self.required(self.maybe_text(name)?)
    }

    /// An id, or anything else that is parsed from text.
    pub(super) fn maybe_id<T: TryFrom<String>>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.optional(name, |value| T::try_from(value.as_s().ok()?.clone()).ok())
    }

    pub(super) fn id<T: TryFrom<String>>(&self, name: &str) -> Result<T, StoreError> {
        self.required(self.maybe_id(name)?)
    }

    /// An enum without data, by its name in the API.
    pub(super) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text: StrDeserializer<'_, serde::de::value::Error> =
            self.text(name)?.into_deserializer();
        T::deserialize(text).map_err(|_| self.corrupt())
    }

    /// The default where an older version wrote nothing.
    pub(super) fn word_or_default<T: DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<T, StoreError> {
        self.maybe_text(name)?
            .map_or_else(|| Ok(T::default()), |_| self.word(name))
    }

    pub(super) fn maybe_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.optional(name, |value| value.as_n().ok()?.parse().ok())
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.required(self.maybe_number(name)?)
    }

    pub(super) fn maybe_time(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.maybe_number(name)?.map(Timestamp::from_millis))
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.required(self.maybe_time(name)?)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        self.required(self.optional(name, |value| value.as_bool().ok().copied())?)
    }

    /// `false` where an older version wrote nothing.
    pub(super) fn maybe_flag(&self, name: &str) -> Result<bool, StoreError> {
        let flag = self.optional(name, |value| value.as_bool().ok().copied())?;
        Ok(flag.unwrap_or(false))
    }

    pub(super) fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.optional(name, |value| {
            value.as_b().ok().map(|blob| blob.as_ref().to_vec())
        })
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.required(self.maybe_bytes(name)?)
    }

    pub(super) fn maybe_hash(&self, name: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let bytes = self.maybe_bytes(name)?;
        bytes
            .map(|bytes| bytes.try_into().map_err(|_| self.corrupt()))
            .transpose()
    }

    pub(super) fn hash(&self, name: &str) -> Result<[u8; 32], StoreError> {
        self.required(self.maybe_hash(name)?)
    }

    pub(super) fn maybe_list(&self, name: &str) -> Result<Option<Vec<String>>, StoreError> {
        self.optional(name, |value| {
            let entries = value.as_l().ok()?.iter();
            entries.map(|entry| entry.as_s().ok().cloned()).collect()
        })
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, StoreError> {
        self.required(self.maybe_list(name)?)
    }

    /// Stored scopes were scopes when they were written: they are taken as they are.
    pub(super) fn scopes(&self, name: &str) -> Result<ScopeList, StoreError> {
        self.list(name).map(ScopeList::reported)
    }

    pub(super) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, StoreError> {
        self.required(self.maybe_map(name)?)
    }

    /// No attribute is an empty map.
    pub(super) fn map_or_empty(&self, name: &str) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.maybe_map(name)?.unwrap_or_default())
    }

    fn maybe_map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        self.optional(name, |value| {
            let entries = value.as_m().ok()?.iter();
            entries
                .map(|(key, value)| Some((key.clone(), value.as_s().ok()?.clone())))
                .collect()
        })
    }
}

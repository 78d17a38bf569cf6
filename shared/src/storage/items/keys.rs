//! Wrapped keys.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::schema::{self, attr};
use super::{Reader, Row, Writer, value};
use crate::domain::ids::WorkspaceId;
use crate::ports::{StoreError, WrappedRootKey, WrappedWorkspaceKeys};

pub(in super::super) fn write_root_key(key: &WrappedRootKey) -> Row {
    Writer::new(schema::root_key(key.version))
        .with(attr::VERSION, value::number(key.version))
        .with(attr::WRAPPED, value::bytes(&key.wrapped))
        .done()
}

pub(in super::super) fn read_root_key(row: &Row) -> Result<WrappedRootKey, StoreError> {
    let item = Reader::new(row, "root key");
    Ok(WrappedRootKey {
        version: item.number(attr::VERSION)?,
        wrapped: item.bytes(attr::WRAPPED)?,
    })
}

pub(in super::super) fn write_workspace_keys(
    workspace: &WorkspaceId,
    keys: &WrappedWorkspaceKeys,
) -> Row {
    let versions = keys.versions.iter().map(|(version, wrapped)| {
        AttributeValue::M(Row::from([
            (attr::VERSION.to_owned(), value::number(version)),
            (attr::WRAPPED.to_owned(), value::bytes(wrapped)),
        ]))
    });
    Writer::new(schema::workspace_keys(workspace))
        .with(attr::CURRENT, value::number(keys.current))
        .with(attr::VERSIONS, AttributeValue::L(versions.collect()))
        .done()
}

pub(in super::super) fn read_workspace_keys(row: &Row) -> Result<WrappedWorkspaceKeys, StoreError> {
    let item = Reader::new(row, "workspace keys");
    let versions = row.get(attr::VERSIONS).and_then(|list| list.as_l().ok());
    let versions = versions.ok_or_else(|| item.corrupt())?.iter();
    let versions = versions.map(|entry| {
        let entry = entry.as_m().map_err(|_| item.corrupt())?;
        let entry = Reader::new(entry, "workspace keys");
        Ok((entry.number(attr::VERSION)?, entry.bytes(attr::WRAPPED)?))
    });
    Ok(WrappedWorkspaceKeys {
        current: item.number(attr::CURRENT)?,
        versions: versions.collect::<Result<_, StoreError>>()?,
    })
}

//! The read path of a token look-up.

use async_trait::async_trait;

use super::StoreError;
use super::keys::WrappedWorkspaceKeys;
use crate::domain::app::ApiKey;
use crate::domain::connection::{Connection, ConnectionKey, Readers};
use crate::domain::connector::Connector;
use crate::domain::rate::Reader;

/// What one look-up needs, by key.
#[derive(Clone, Debug)]
pub struct LookupKeys {
    /// Of the presented API key.
    pub api_key: [u8; 32],
    /// The connection asked for.
    pub connection: ConnectionKey,
    /// Whether the workspace's keys are needed too.
    pub with_workspace_keys: bool,
    /// The minute whose reads are asked for, see [`minute_of`](crate::domain::rate::minute_of).
    pub minute: i64,
}

/// How many reads of one minute the table knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// With the presented API key.
    pub credential: u64,
    /// In the workspace.
    pub workspace: u64,
}

/// What one look-up found.
#[derive(Clone, Debug, Default)]
pub struct LookupRows {
    /// The API key's record.
    pub api_key: Option<ApiKey>,
    /// The connector.
    pub connector: Option<Connector>,
    /// The connection.
    pub connection: Option<Connection>,
    /// Who has read its token lately.
    pub readers: Readers,
    /// The workspace's wrapped keys, when asked for.
    pub workspace_keys: Option<WrappedWorkspaceKeys>,
    /// The reads of the minute.
    pub reads: ReadCounts,
}

/// The read path of a token look-up.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All rows in one round trip, each strongly consistent but for the counts: a read that is
    /// counted late lets another one through.
    async fn lookup(&self, keys: &LookupKeys) -> Result<LookupRows, StoreError>;
    /// Adds to the reads of a minute. A repeated try of the same call may count twice.
    async fn count_reads(&self, reader: &Reader, minute: i64, reads: u64)
    -> Result<(), StoreError>;
}

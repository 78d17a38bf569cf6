//! Work that travels over the stack's bus to a queue, and from there to a function. Every job
//! may come twice, late or out of order; none carries a secret in the clear.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::app::AccountChange;
use super::audit::Origin;
use super::connection::ConnectionKey;
use super::ids::{AttemptId, ConnectionId, SessionId};
use super::scopes::ScopeList;
use super::time::Timestamp;
use super::token::{Account, Validity};

/// One piece of queued work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Refresh what is due in one shard of the due table.
    RefreshShard {
        /// The shard.
        shard: u32,
    },
    /// Try a connection again whose last attempt never learnt its outcome. Delivered when the
    /// lease of that attempt is over.
    RetryRefresh {
        /// Where the connection is kept.
        connection: ConnectionKey,
        /// Which connection it was.
        id: ConnectionId,
    },
    /// Store tokens that a provider issued while the table did not answer.
    StoreTokens(Box<EscrowedTokens>),
    /// Store what a redeemed code brought while the table did not answer.
    StoreConnection(Box<EscrowedGrant>),
}

/// What a redeemed code brought and the table did not take: the only copy of a grant, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowedGrant {
    /// The flow, whose session waits for it.
    pub session: SessionId,
    /// Where the connection is to be kept.
    pub connection: ConnectionKey,
    /// The id that is the connection's if none stands there.
    pub id: ConnectionId,
    /// The connector's generation the grant belongs to.
    pub connector_generation: u64,
    /// The envelope; opens under `id` and [`EscrowedGrant::GENERATION`].
    pub sealed: SealedBytes,
    /// How the tokens stand in time.
    pub validity: Validity,
    /// Whether there is something to spend for the next access token.
    pub refreshable: bool,
    /// The scopes that were asked for.
    pub requested_scopes: ScopeList,
    /// The granted scopes.
    pub granted_scopes: ScopeList,
    /// Whose account it is.
    pub account: Option<Account>,
    /// Whether another account may take the place of one that is connected.
    pub account_change: AccountChange,
    /// Whether its tokens may be revoked where nobody is to have them: not if that would end more
    /// than this grant.
    pub revocable: bool,
    /// When the next refresh is due.
    pub due_at: Option<Timestamp>,
    /// When the code was redeemed.
    pub connected_at: Timestamp,
    /// Who did.
    pub origin: Origin,
}

impl EscrowedGrant {
    /// The generation it is sealed under.
    pub const GENERATION: u64 = 1;
}

/// A rotated token set that could not be stored, sealed as it would be stored: the only copy of
/// a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowedTokens {
    /// Where the connection is kept.
    pub connection: ConnectionKey,
    /// Which connection the tokens were issued for.
    pub id: ConnectionId,
    /// The attempt that received them.
    pub attempt: AttemptId,
    /// The generation they replace.
    pub generation: u64,
    /// The connector's generation the grant belongs to.
    pub connector_generation: u64,
    /// The envelope; opens under `id` and the generation after `generation`.
    pub sealed: SealedBytes,
    /// How the tokens stand in time.
    pub validity: Validity,
    /// Whether there is something to spend for the next access token.
    pub refreshable: bool,
    /// The granted scopes.
    pub granted_scopes: ScopeList,
    /// When the next refresh is due.
    pub due_at: Option<Timestamp>,
}

/// Bytes of an envelope, as Base64 in JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBytes(pub Vec<u8>);

impl fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBytes({} bytes)", self.0.len())
    }
}

impl Serialize for SealedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SealedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Alias, AppId, ConnectorId, UserId, WorkspaceId};
    use crate::domain::subject::Subject;

    fn key() -> ConnectionKey {
        ConnectionKey {
            workspace: WorkspaceId::parse("w").unwrap(),
            app: AppId::parse("a").unwrap(),
            subject: Subject::User(UserId::parse("u").unwrap()),
            connector: ConnectorId::parse("c").unwrap(),
            alias: None,
        }
    }

    #[test]
    fn a_job_is_read_back_to_the_millisecond() {
        let at = Timestamp::from_millis(1_795_366_800_257);
        let escrow = Job::StoreTokens(Box::new(EscrowedTokens {
            connection: key(),
            id: ConnectionId::parse("k").unwrap(),
            attempt: AttemptId::parse("t").unwrap(),
            generation: 7,
            connector_generation: 1,
            sealed: SealedBytes(vec![0, 255, 7]),
            validity: Validity {
                issued_at: at,
                expires_at: None,
                grant_expires_at: Some(at),
            },
            refreshable: true,
            granted_scopes: ScopeList::parse(["read"]).unwrap(),
            due_at: Some(at),
        }));
        for job in [Job::RefreshShard { shard: 3 }, escrow] {
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        }
    }

    #[test]
    fn a_job_names_itself() {
        let retry = Job::RetryRefresh {
            connection: key(),
            id: ConnectionId::parse("k").unwrap(),
        };
        assert_eq!(
            serde_json::to_value(retry).unwrap(),
            serde_json::json!({
                "job": "retry_refresh", "id": "k",
                "connection": {"workspace": "w", "app": "a", "user": "u", "connector": "c"},
            })
        );
    }

    #[test]
    fn a_job_tells_the_apps_account_and_an_alias_from_a_users() {
        let app = ConnectionKey {
            subject: Subject::App,
            ..key()
        };
        let alias = ConnectionKey {
            alias: Some(Alias::parse("team.eu").unwrap()),
            ..key()
        };
        for (key, expected) in [
            (
                app,
                serde_json::json!({"workspace": "w", "app": "a", "connector": "c"}),
            ),
            (
                alias,
                serde_json::json!({
                    "workspace": "w", "app": "a", "user": "u", "connector": "c",
                    "alias": "team.eu",
                }),
            ),
        ] {
            let json = serde_json::to_value(&key).unwrap();
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_value::<ConnectionKey>(json).unwrap(), key);
        }
    }
}

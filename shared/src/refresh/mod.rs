//! Keeping tokens fresh: one engine for look-ups and for the scheduled sweep.
//!
//! The invariant: nobody sends a refresh token without holding the connection's lease, and what
//! is sent comes from the lease's own answer. docs/ARCHITECTURE.md, "Refresh", has the reasons.

mod aftermath;
mod attempt;
mod connected;
mod on_demand;
mod protection;
mod queued;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

pub use on_demand::{FreshTokens, NotFresh};
pub use protection::{Admitted, Watch};
pub use queued::JobNotDone;
pub use sweep::{DueOutcome, ShardReport, TickError, TickReport};

use crate::crypto::hash::random_id;
use crate::crypto::vault::Vault;
use crate::domain::address::AddressRules;
use crate::domain::connection::{ConnectionKey, LEASE};
use crate::domain::ids::AttemptId;
use crate::domain::refresh_protocol::is_proven;
use crate::domain::time::Timestamp;
use crate::events::Publisher;
use crate::ports::{
    Clock, Connections, ConnectorHealth, DueTable, Entropy, JobQueue, LeaseAnswer, ProviderApi,
    Registry, StoreError,
};

/// How long after a run, a job or a look-up began a provider may be asked. The answer takes at
/// most 8 s and the store 5 s, and the function is stopped after 15 s: being stopped between the
/// two is what loses a rotated token.
const START_WINDOW: Duration = Duration::from_secs(2);
/// Until when new tries are begun of storing a rotated token set, of 1.5 s each at most. With
/// escrow after that, of 1.5 s as well, the store is done in five seconds.
const STORE_BUDGET: Duration = Duration::from_millis(1500);
/// How long a look-up waits for somebody else's refresh.
const WAIT_BUDGET: Duration = Duration::from_secs(5);

/// Refreshes connections. Cheap to clone.
#[derive(Clone)]
pub struct RefreshEngine {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Connectors.
    pub registry: Arc<dyn Registry>,
    /// Connections and leases.
    pub connections: Arc<dyn Connections>,
    /// Due entries, and revocations of tokens that arrive for a connection that is gone.
    pub due: Arc<dyn DueTable>,
    /// How connectors are doing.
    pub health: Arc<dyn ConnectorHealth>,
    /// Keys.
    pub vault: Arc<Vault>,
    /// The providers.
    pub providers: Arc<dyn ProviderApi>,
    /// Where what cannot be done now is left to be done later.
    pub jobs: Arc<dyn JobQueue>,
    /// Tells of connections that are proven dead.
    pub publisher: Publisher,
    /// Which addresses a connector's endpoints may have.
    pub address_rules: AddressRules,
    /// How many providers one worker of the sweep asks at a time.
    pub concurrency: usize,
    /// When the connections were last restored from a backup, if they ever were.
    pub restored_at: Option<Timestamp>,
}

impl RefreshEngine {
    /// The one way to a lease: an attempt with an id of its own.
    async fn take_lease(&self, key: &ConnectionKey) -> Result<LeaseAnswer, StoreError> {
        self.check_clock()?;
        let now = self.clock.now();
        let attempt = AttemptId::parse(random_id(&*self.entropy)).expect("base64url is an id");
        let until = now.after(LEASE);
        let taken = self.connections.acquire_lease(key, &attempt, now, until);
        let mut taken = taken.await?;
        if let LeaseAnswer::Granted(lease) = &mut taken {
            // The token may have been rotated since the backup, and its successor is lost.
            lease.connection.outcome_lost |= !is_proven(&lease.connection, self.restored_at);
        }
        Ok(taken)
    }

    /// What is a lease on a clock that others do not share?
    fn check_clock(&self) -> Result<(), StoreError> {
        if self.clock.is_trusted() {
            return Ok(());
        }
        let reason = "this machine's clock is off by more than a second";
        Err(StoreError::Unavailable(reason.into()))
    }
}

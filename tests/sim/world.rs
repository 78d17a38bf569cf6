//! What is true in a simulated world; `judge` has the invariants that hold in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt as _;
use shared::crypto::vault::{Vault, WorkspaceKeys};
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus, Lease};
use shared::domain::connector::Connector;
use shared::domain::ids::{AttemptId, ConnectionId};
use shared::domain::time::Timestamp;
use shared::ports::{Connections as _, DueTable as _, DueWork};
use testkit::entropy::SeededEntropy;
use testkit::fake_kms::FakeKeyService;
use testkit::memory_store::MemoryStore;

use super::clock::SkewedClock;
use super::executor::Sim;
use super::faults::Faults;
use super::modes::Mode;
use super::process;
use super::provider::{Grants, Pair};
use super::sabotage::Sabotage;

/// The name of the simulated stack.
pub(super) const STACK: &str = "sim";
const SHARDS: u32 = 2;
const DAY: u64 = 86_400_000;

/// Everything the simulated processes share.
pub(super) struct World {
    pub(super) mode: Mode,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) sim: Sim,
    pub(super) store: Arc<MemoryStore>,
    pub(super) kms: Arc<FakeKeyService>,
    pub(super) entropy: Arc<SeededEntropy>,
    pub(super) connector: Connector,
    /// For those who look from outside and need no vault.
    pub(super) keys: Arc<WorkspaceKeys>,
    /// How long an access token lives, in milliseconds.
    pub(super) lifetime: u64,
    /// When the users and the faults stop, so that what can heal does.
    pub(super) quiet_from: u64,
    /// After how many days of disuse a grant dies.
    pub(super) idle_days: Option<u64>,
    faults: Mutex<Faults>,
    grants: Mutex<Grants>,
    book: Mutex<Book>,
}

/// What those who look from outside have written down.
#[derive(Default)]
pub(super) struct Book {
    /// The grants that a token request is under way for.
    pub(super) under_way: BTreeSet<usize>,
    /// The newest pair that was stored for each user.
    pub(super) stored: BTreeMap<ConnectionKey, Pair>,
    /// Connections whose disconnect was answered.
    pub(super) ended: BTreeSet<ConnectionId>,
    /// Users who are connecting or disconnecting.
    acting: BTreeSet<ConnectionKey>,
    /// Who was last granted each lease.
    holders: BTreeMap<ConnectionKey, AttemptId>,
    /// Until when the table answers nobody.
    table_away_until: u64,
    pub(super) counts: Counts,
}

/// What happened in a story, for those who ask whether it was worth telling.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) hand_outs: u64,
    pub(super) lost: u64,
    pub(super) faults: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.hand_outs += other.hand_outs;
        self.lost += other.lost;
        self.faults += other.faults;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            hand_outs,
            lost,
            faults,
        } = self;
        write!(
            f,
            "{requests} requests, {hand_outs} hand-outs, {faults} faults, {lost} lost"
        )
    }
}

impl World {
    pub(super) fn new(seed: u64, mode: Mode, sabotage: Option<Sabotage>, aloud: bool) -> Self {
        let sim = Sim::new(seed, aloud);
        let idle_days = mode.year.then(|| [1, 2, 7, 30, 90][sim.below(5) as usize]);
        let (lifetime, quiet_from) = match idle_days {
            Some(_) => (3_600_000, 400 * DAY),
            None => {
                let lifetime = [300_000, 600_000, 3_600_000][sim.below(3) as usize];
                (lifetime, lifetime * (3 + sim.below(3)))
            }
        };
        let store = Arc::new(MemoryStore::new(SHARDS));
        let kms = Arc::new(FakeKeyService::new(STACK));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let clock = SkewedClock {
            sim: sim.clone(),
            skew: Arc::new(AtomicI64::new(0)),
        };
        let vault = Vault::new(
            STACK.into(),
            Arc::clone(&store) as _,
            Arc::clone(&kms) as _,
            Arc::new(clock),
            Arc::clone(&entropy) as _,
        );
        let workspace = process::workspace();
        let keys = vault.keys_or_create(&workspace).now_or_never();
        let keys = keys
            .expect("a store in memory answers at once")
            .expect("keys");
        let now = sim.timestamp();
        let connector = process::connector(mode.rotation, idle_days, &keys, &entropy, now);
        let faults = Faults::new(mode.faults, quiet_from, &sim);
        let idle_limit = idle_days.map(|days| days * DAY);
        Self {
            mode,
            sabotage,
            store,
            kms,
            entropy,
            connector,
            keys,
            lifetime,
            quiet_from,
            idle_days,
            faults: Mutex::new(faults),
            grants: Mutex::new(Grants::new(mode.rotation, lifetime, idle_limit)),
            book: Mutex::default(),
            sim,
        }
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panics")
    }

    pub(super) fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().expect("no holder panics")
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder panics")
    }

    pub(super) fn counts(&self) -> Counts {
        let faults = self.faults().dealt;
        Counts {
            faults,
            ..self.book().counts
        }
    }

    /// The connection as it stands, without anybody noticing.
    pub(super) fn stored(&self, key: &ConnectionKey) -> Option<Connection> {
        let read = self.store.connection(key).now_or_never();
        read.and_then(Result::ok).flatten()
    }

    /// Every due entry, oldest first in its shard.
    pub(super) fn entries(&self) -> Vec<(DueWork, ConnectionKey)> {
        let end = Timestamp::from_millis(i64::MAX);
        let shard = |shard| {
            let due = self.store.due_refreshes(shard, end, None, u32::MAX);
            let due = due.now_or_never().and_then(Result::ok);
            due.map(|page| page.items).unwrap_or_default()
        };
        (0..SHARDS).flat_map(shard).collect()
    }

    /// Whether grants wait to be revoked.
    pub(super) fn has_revocations(&self) -> bool {
        let end = Timestamp::from_millis(i64::MAX);
        (0..SHARDS).any(|shard| {
            let due = self.store.due_revocations(shard, end, 1).now_or_never();
            due.and_then(Result::ok).is_some_and(|due| !due.is_empty())
        })
    }

    /// Somebody was granted a lease.
    pub(super) fn hold(&self, lease: &Lease) {
        let key = lease.connection.key.clone();
        self.book().holders.insert(key, lease.attempt.clone());
    }

    /// Who was last granted the lease.
    pub(super) fn holder(&self, key: &ConnectionKey) -> Option<AttemptId> {
        self.book().holders.get(key).cloned()
    }

    /// The table answers nobody for a while.
    pub(super) fn table_goes_away(&self, millis: u64) {
        let until = self.sim.now() + millis;
        self.sim
            .tell(|| format!("the table is away for {millis} ms"));
        self.book().table_away_until = until;
    }

    pub(super) fn table_is_away(&self) -> bool {
        self.sim.now() < self.book().table_away_until
    }

    /// Only one thing at a time is done by one user. `false` when he is busy.
    pub(super) fn begin_acting(&self, key: &ConnectionKey) -> bool {
        self.book().acting.insert(key.clone())
    }

    pub(super) fn end_acting(&self, key: &ConnectionKey) {
        self.book().acting.remove(key);
    }

    /// The connections that are known to be gone, before a look-up begins.
    pub(super) fn ended(&self) -> BTreeSet<ConnectionId> {
        self.book().ended.clone()
    }

    /// A disconnect was answered.
    pub(super) fn end(&self, connection: &Connection) {
        self.sim.tell(|| format!("disconnected {}", connection.id));
        self.book().ended.insert(connection.id.clone());
    }

    /// Which pair's token a connection holds; nothing that is stored may fail to open.
    pub(super) fn held_by(
        &self,
        connection: &Connection,
        token: impl Fn(shared::domain::token::TokenSet) -> Option<shared::domain::secret::Secret>,
    ) -> Option<Pair> {
        if matches!(connection.status, ConnectionStatus::Disconnected { .. }) {
            return None;
        }
        connection.sealed.as_ref()?;
        match self.keys.open_tokens(connection) {
            Ok(tokens) => token(tokens).as_ref().and_then(Pair::of),
            Err(error) => {
                self.sim
                    .violate(format!("I2: stored tokens do not open: {error}"));
                None
            }
        }
    }
}

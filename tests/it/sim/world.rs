//! What is true in a simulated world, and the invariants that hold in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::FutureExt as _;
use shared::crypto::vault::{Vault, WorkspaceKeys};
use shared::domain::connection::{Connection, ConnectionKey, ConnectionStatus, ReconnectReason};
use shared::domain::connector::Connector;
use shared::domain::ids::ConnectionId;
use shared::domain::refresh_protocol::MAX_PAUSE;
use shared::ports::{Connections as _, DueTable as _};
use shared::refresh::FreshTokens;
use testkit::entropy::SeededEntropy;
use testkit::fake_kms::FakeKeyService;
use testkit::memory_store::MemoryStore;

use super::executor::{Sim, SkewedClock};
use super::faults::Faults;
use super::provider::{Grants, Pair};
use super::scenario::{self, Mode};
use super::store::Sabotage;

/// The name of the simulated stack.
const STACK: &str = "sim";
const SHARDS: u32 = 2;

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
    faults: Mutex<Faults>,
    grants: Mutex<Grants>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// The last token request of each grant: somebody holds it while it travels or is awaited.
    flights: BTreeMap<usize, Weak<()>>,
    /// The newest pair that was stored for each user.
    stored: BTreeMap<ConnectionKey, Pair>,
    /// Connections whose disconnect was answered.
    ended: BTreeSet<ConnectionId>,
    /// Users who are connecting or disconnecting.
    acting: BTreeSet<ConnectionKey>,
    counts: Counts,
}

/// What happened in a story, for those who ask whether it was worth telling.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) hand_outs: u64,
    pub(super) lost: u64,
    pub(super) faults: u64,
}

impl World {
    pub(super) fn new(seed: u64, mode: Mode, sabotage: Option<Sabotage>, aloud: bool) -> Self {
        let sim = Sim::new(seed, aloud);
        let lifetime = [300_000, 600_000, 3_600_000][sim.below(3) as usize];
        let quiet_from = lifetime * (3 + sim.below(3));
        let store = Arc::new(MemoryStore::new(SHARDS));
        let kms = Arc::new(FakeKeyService::new(STACK));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let vault = new_vault(&sim, 0, &store, &kms, &entropy);
        let workspace = scenario::workspace();
        let keys = vault.keys_or_create(&workspace).now_or_never();
        let keys = keys
            .expect("a store in memory answers at once")
            .expect("keys");
        let connector = scenario::connector(mode.rotation, &keys, &entropy, sim.timestamp());
        let faults = Faults::new(mode.faults, quiet_from, &sim);
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
            faults: Mutex::new(faults),
            grants: Mutex::new(Grants::new(mode.rotation, lifetime)),
            book: Mutex::default(),
            sim,
        }
    }

    /// A vault of a process whose clock is ahead by `skew`.
    pub(super) fn vault(&self, skew: i64) -> Vault {
        new_vault(&self.sim, skew, &self.store, &self.kms, &self.entropy)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panics")
    }

    pub(super) fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().expect("no holder panics")
    }

    fn book(&self) -> MutexGuard<'_, Book> {
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

    /// Only one thing at a time is done by one user. `false` when he is busy.
    pub(super) fn begin_acting(&self, key: &ConnectionKey) -> bool {
        self.book().acting.insert(key.clone())
    }

    pub(super) fn end_acting(&self, key: &ConnectionKey) {
        self.book().acting.remove(key);
    }

    /// I1: one token request at a time for a grant, counting those that are still under way to
    /// the provider though their sender has given up or died.
    pub(super) fn send(&self, grant: usize) -> Arc<()> {
        let flight = Arc::new(());
        let before = {
            let mut book = self.book();
            book.counts.requests += 1;
            book.flights.insert(grant, Arc::downgrade(&flight))
        };
        if before.is_some_and(|before| before.strong_count() > 0) {
            self.sim
                .violate(format!("I1: two token requests at once for grant {grant}"));
        }
        flight
    }

    /// I4 and I5, after each write of tokens: they are newer than what stood there, and nothing
    /// is live that was disconnected.
    pub(super) fn judge_stored(&self, key: &ConnectionKey) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(pair) = self.held_by(&connection, |tokens| Some(tokens.access_token)) else {
            return;
        };
        let (before, ended) = {
            let mut book = self.book();
            let ended = book.ended.contains(&connection.id);
            (book.stored.insert(key.clone(), pair), ended)
        };
        self.sim.tell(|| format!("stored {pair:?}"));
        if before.is_some_and(|before| before > pair) {
            self.sim.violate(format!("I4: {pair:?} over {before:?}"));
        }
        if ended && connection.status.is_live() {
            self.sim.violate(format!(
                "I5: {} was disconnected and is live",
                connection.id
            ));
        }
    }

    /// I2, I3 and I6, after a connection was declared dead: where nothing may be lost nothing
    /// is, and elsewhere the refresh token really is dead.
    pub(super) fn judge_dead(&self, key: &ConnectionKey, reason: ReconnectReason) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(refresh) = self.held_by(&connection, |tokens| tokens.refresh_token) else {
            return;
        };
        self.book().counts.lost += 1;
        if self.mode.loses_nothing {
            self.sim.violate(format!("I2/I3: lost as {reason:?}"));
        }
        // A refusal after an unknown outcome is taken for the loss it nearly always is; a
        // provider that refuses without reason just then is a second fault.
        let mistaken = reason == ReconnectReason::RefreshOutcomeLost && self.faults().dealt > 1;
        if self.grants().is_current(refresh) && !mistaken {
            self.sim.violate(format!(
                "I6: declared dead as {reason:?}, but {refresh:?} is good"
            ));
        }
    }

    /// At the end: the sweep still finds what it has to keep alive (F6, F31).
    pub(super) fn judge_due(&self, key: &ConnectionKey) {
        let Some(connection) = self.stored(key) else {
            return;
        };
        let Some(due_at) = connection.due_at.filter(|_| connection.status.is_live()) else {
            return;
        };
        // A pause may have moved it, by an hour at most.
        let latest = due_at.max(self.sim.timestamp().after(MAX_PAUSE));
        let found = (0..SHARDS).any(|shard| {
            let due = self.store.due_refreshes(shard, latest, None, u32::MAX);
            let due = due.now_or_never().and_then(Result::ok);
            let due = due.map(|page| page.items).unwrap_or_default();
            due.iter()
                .any(|(work, _)| work.id == connection.id.as_str())
        });
        if !found {
            self.sim.violate(format!(
                "I7: {} is due at {due_at} and no sweep will find it",
                connection.id
            ));
        }
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

    /// I5 and H-70, at each hand-out: no token of a connection that was gone before it was asked
    /// for, and none that has expired.
    pub(super) fn judge_hand_out(&self, fresh: &FreshTokens, ended: &BTreeSet<ConnectionId>) {
        self.book().counts.hand_outs += 1;
        let id = &fresh.connection.id;
        if ended.contains(id) {
            self.sim
                .violate(format!("I5: a token of {id}, which was disconnected"));
        }
        let pair = Pair::of(&fresh.tokens.access_token).expect("a token of ours");
        let expiry = self.grants().expiry(pair);
        if expiry <= self.sim.now() {
            self.sim
                .violate(format!("H-70: {pair:?} expired at {expiry} ms"));
        }
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

fn new_vault(
    sim: &Sim,
    skew: i64,
    store: &Arc<MemoryStore>,
    kms: &Arc<FakeKeyService>,
    entropy: &Arc<SeededEntropy>,
) -> Vault {
    let clock = SkewedClock {
        sim: sim.clone(),
        skew,
    };
    Vault::new(
        STACK.into(),
        Arc::clone(store) as _,
        Arc::clone(kms) as _,
        Arc::new(clock),
        Arc::clone(entropy) as _,
    )
}

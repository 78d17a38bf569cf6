//! The faults of a refresh (F1 to F47) and the known ways to get a refresh wrong (B1 to B15),
//! each told at three kinds of provider: one whose refresh tokens are good for one use, one that
//! takes an old one for a minute longer, and one that issues them once and for all.
//!
//! A [`Story`] begins with two users whose tokens have expired. The fault is alice's; whatever
//! becomes of her, bob is none the worse for it, and nobody finds a secret in a log.

mod answers;
mod bugs;
mod crashes;
mod detour;
mod keys;
mod outbox;
mod stores;
mod trouble;
mod versions;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use shared::domain::connection::{Connection, ConnectionStatus, LEASE, Lease};
use shared::domain::ids::AttemptId;
use shared::domain::job::Job;
use shared::domain::refresh_protocol::RETRY_DELAY;
use shared::domain::token::Validity;
use shared::ports::{Clock as _, JobQueue as _, LeaseWrite, RefreshedTokens};
use shared::refresh::{FreshTokens, NotFresh, RefreshEngine};
use testkit::clock::ManualClock;
use testkit::fake_as::{Behaviour, GrantState, Rotation, When};
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;
use tokio::sync::Notify;
use tracing::subscriber::DefaultGuard;

use crate::world::{Answer, Call, World};

const HOUR: u64 = 3600;
/// Longer than a lease, with the difference that clocks may have; as long as a retry waits, and
/// whoever waits for escrow.
const LEASE_OVER: u64 = RETRY_DELAY.as_secs();

/// What a provider does with the refresh token that a refresh was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Ends it. Whoever uses it again ends the grant.
    Strict,
    /// Takes it for a minute longer.
    Grace,
    /// Nothing: there is only this one.
    Fixed,
}

impl Kind {
    fn rotation(self) -> Rotation {
        match self {
            Self::Strict => Rotation::Strict,
            Self::Grace => Rotation::Grace { seconds: 60 },
            Self::Fixed => Rotation::None,
        }
    }

    /// What of a row of the table is about this kind.
    fn of<T>(self, strict: T, grace: T, fixed: T) -> T {
        match self {
            Self::Strict => strict,
            Self::Grace => grace,
            Self::Fixed => fixed,
        }
    }
}

/// How it ends for alice.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// She has noticed a failed look-up or two at most.
    Kept,
    /// She has to connect again, because of this.
    Lost(String),
}

fn lost(reason: &str) -> Ending {
    Ending::Lost(reason.to_owned())
}

/// Tells a story at each kind of provider.
async fn at_every_provider(tell: impl AsyncFn(&Story)) {
    for kind in [Kind::Strict, Kind::Grace, Kind::Fixed] {
        println!("{kind:?}");
        let story = Story::of(kind).await;
        tell(&story).await;
        story.nobody_else_noticed().await;
    }
}

/// The stories' world: alice's and bob's tokens have expired, nothing has gone wrong yet.
struct Story {
    kind: Kind,
    world: World,
    connector: String,
    store: FaultyStore<MemoryStore>,
    faults: Arc<Faults>,
    log: Log,
    _listening: DefaultGuard,
}

impl Story {
    async fn of(kind: Kind) -> Self {
        let log = Log::default();
        let _listening = log.listen();
        let faults = Arc::<Faults>::default();
        let hook = Arc::clone(&faults);
        let store = FaultyStore::new(
            Arc::new(MemoryStore::new(2)),
            Arc::new(move |method, phase| hook.strike(method, phase)),
        );
        let world = World::on(store.clone(), ManualClock::new()).await;
        world
            .provider
            .configure(|settings| settings.rotation = kind.rotation());
        let connector = connector(&world, kind).await;
        world.connect("alice", &connector).await;
        world.connect("bob", &connector).await;
        world.pass(HOUR);
        Self {
            kind,
            world,
            connector,
            store,
            faults,
            log,
            _listening,
        }
    }

    /// A look-up of alice's token.
    async fn ask(&self) -> Answer {
        self.world.lookup("alice", &self.connector).await
    }

    /// The same past the routers, of another worker.
    async fn ask_of(&self, worker: &RefreshEngine) -> Result<FreshTokens, NotFresh> {
        let stored = self.stored().await;
        let (of, id) = (&stored.key.workspace, &stored.key.connector);
        let connector = worker.registry.connector(of, id).await.unwrap();
        let minute = Duration::from_secs(60);
        worker
            .fresh_tokens(&connector.expect("there"), stored, minute)
            .await
    }

    /// A look-up that brings no token, and does not blame the grant.
    async fn ask_in_vain(&self) {
        let refused = self.ask().await;
        refused.expect_problem(503, "provider_unavailable");
    }

    /// What is stored for alice.
    async fn stored(&self) -> Connection {
        let stored = self.world.stored("alice", &self.connector).await;
        stored.expect("connected once")
    }

    /// How often the provider was asked to refresh.
    fn asked(&self) -> u64 {
        self.world.provider.counters().total.refreshes()
    }

    /// The provider does this to alice's next refresh.
    fn provider_does(&self, behaviour: Behaviour) {
        let when = When::refreshing().account("alice");
        self.world.provider.push(when, behaviour);
    }

    /// And this to all of them, until its script is cleared.
    fn provider_keeps(&self, behaviour: Behaviour) {
        let when = When::refreshing().account("alice");
        self.world.provider.always(when, behaviour);
    }

    /// Looks up alice's token and dies at this point.
    async fn crash(&self, method: &'static str, phase: Phase) {
        self.faults.once(method, phase, Fault::Crash);
        tokio::select! {
            answer = self.ask() => panic!("nothing crashed: {answer:?}"),
            () = self.faults.struck.notified() => {}
        }
    }

    /// Stores a ciphertext for alice without a lease, as whoever can write the table could.
    async fn intrude(&self, sealed: Vec<u8>, validity: Validity) {
        let alice = self.stored().await;
        let tokens = RefreshedTokens {
            sealed,
            validity,
            refreshable: true,
            granted_scopes: alice.granted_scopes.clone(),
            due_at: alice.due_at,
        };
        let now = self.world.clock.now();
        let lease = Lease {
            attempt: AttemptId::parse("intruder").unwrap(),
            until: now.after(LEASE),
            connection: alice,
        };
        let written = self.world.connections.store_tokens(&lease, &tokens, now);
        assert!(matches!(written.await, Ok(LeaseWrite::Written)));
    }

    /// Delivers what was left to be done later, once each.
    async fn deliver(&self) {
        for job in self.world.jobs.drain() {
            let engine = &self.world.engine;
            let done = match &job {
                Job::RetryRefresh { connection, id } => engine.retry_refresh(connection, id).await,
                Job::StoreTokens(tokens) => engine.store_escrowed(tokens).await,
                other => panic!("{other:?}"),
            };
            // What was not done the queue delivers again.
            if done.is_err() {
                self.world.jobs.enqueue(&[job]).await.unwrap();
            }
        }
    }

    /// Lets time pass, with a look-up now and then, until it is known how it ends. Tokens that
    /// were kept are good for the next refresh too, and a user who connects again is well.
    async fn ending(&self) -> Ending {
        for pause in [0, 20, 20, 20, 60, 60, 600, HOUR, HOUR, HOUR] {
            self.world.pass(pause);
            self.deliver().await;
            let answer = self.ask().await;
            if answer.status == 200 {
                self.world.pass(HOUR);
                self.ask().await.expect_status(200);
                let grant = self.world.provider.grant_state("alice");
                assert_eq!(grant, GrantState::Live);
                assert_eq!(self.stored().await.status, ConnectionStatus::Active);
                return Ending::Kept;
            }
            if answer.status == 409 {
                let reason = answer
                    .expect_problem(409, "reconnect_required")
                    .text("reason");
                assert!(self.was_told("connection.reconnect_required"));
                self.world.connect("alice", &self.connector).await;
                self.ask().await.expect_status(200);
                return Ending::Lost(reason);
            }
            answer.expect_problem(503, "provider_unavailable");
        }
        panic!("no end: {:?}", self.stored().await);
    }

    async fn ends(&self, strict: Ending, grace: Ending, fixed: Ending) {
        let expected = self.kind.of(strict, grace, fixed);
        assert_eq!(self.ending().await, expected);
    }

    async fn is_kept(&self) {
        self.ends(Ending::Kept, Ending::Kept, Ending::Kept).await;
    }

    fn was_told(&self, event: &str) -> bool {
        self.world.bus.types().contains(&event)
    }

    /// How many lines of the log say this.
    fn logged(&self, words: &str) -> usize {
        self.log.text().matches(words).count()
    }

    /// What holds after every fault, when all of it has happened.
    async fn nobody_else_noticed(&self) {
        assert_eq!(self.world.provider.steps_left(), 0, "the provider's part");
        assert!(self.faults.are_over(), "the store's part");
        let bob = self.world.lookup("bob", &self.connector).await;
        bob.expect_status(200);
        assert_eq!(self.world.provider.grant_state("bob"), GrantState::Live);
        let in_flight = self.world.provider.counters().max_in_flight();
        assert!(in_flight <= 1, "{in_flight} requests at once for one grant");
        self.no_secret_was_told();
    }

    fn no_secret_was_told(&self) {
        let told = format!(
            "{} {:?} {}",
            self.log.text(),
            self.world.lines.lock().unwrap(),
            serde_json::to_string(&self.world.bus.events()).unwrap()
        );
        let issued = self.world.provider.issued_secrets().into_iter();
        let mut secrets: Vec<_> = issued.map(|secret| secret.value).collect();
        secrets.push("client-secret".to_owned());
        secrets.push(self.world.key_of("acme", "shop"));
        for secret in secrets {
            assert!(!told.contains(&secret), "{secret} was told");
        }
    }
}

/// A connector whose admin knows what the provider does.
async fn connector(world: &World, kind: Kind) -> String {
    let mut body = world.connector_body(&["read"]);
    body["config"]["rotation"] = json!(kind.of("strict", "grace", "none"));
    if kind == Kind::Grace {
        body["config"]["grace_seconds"] = json!("60");
    }
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

/// Calls to the store that go wrong.
#[derive(Default)]
struct Faults {
    once: Mutex<Vec<(&'static str, Phase, Fault)>>,
    away: Mutex<Vec<&'static str>>,
    struck: Notify,
}

impl Faults {
    /// The next call of this method meets the fault.
    fn once(&self, method: &'static str, phase: Phase, fault: Fault) {
        self.once.lock().unwrap().push((method, phase, fault));
    }

    /// Every call of these methods fails; of none, all is well again.
    fn away(&self, methods: &[&'static str]) {
        *self.away.lock().unwrap() = methods.to_vec();
    }

    /// The next call of this method stops at this point until it is notified.
    fn freeze(&self, method: &'static str, phase: Phase) -> Arc<Notify> {
        let thaw = Arc::<Notify>::default();
        self.once(method, phase, Fault::Freeze(Arc::clone(&thaw)));
        thaw
    }

    fn strike(&self, method: &'static str, phase: Phase) -> Option<Fault> {
        if phase == Phase::Before && self.away.lock().unwrap().contains(&method) {
            return Some(Fault::unavailable());
        }
        let mut once = self.once.lock().unwrap();
        let place = once
            .iter()
            .position(|(of, at, _)| (*of, *at) == (method, phase))?;
        self.struck.notify_one();
        Some(once.remove(place).2)
    }

    fn are_over(&self) -> bool {
        self.once.lock().unwrap().is_empty() && self.away.lock().unwrap().is_empty()
    }
}

/// Every line that the code and its libraries log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> DefaultGuard {
        let kept = self.clone();
        let everything = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || kept.clone())
            .finish();
        tracing::subscriber::set_default(everything)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

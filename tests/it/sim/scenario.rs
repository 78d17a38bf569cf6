//! A story: users who connect, apps that ask for tokens, sweeps, and what goes wrong with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use shared::crypto::vault::WorkspaceKeys;
use shared::domain::address::AddressRules;
use shared::domain::connection::{ConnectionKey, ConnectionStatus};
use shared::domain::connector::{
    ClientSecret, Connector, ConnectorKind, ConnectorStatus, ScopePolicy,
};
use shared::domain::event::Event;
use shared::domain::ids::{AppId, ConnectorId, EventId, ProviderId, UserId, WorkspaceId};
use shared::domain::job::Job;
use shared::domain::refresh_protocol::RETRY_DELAY;
use shared::domain::scopes::ScopeList;
use shared::domain::secret::Secret;
use shared::domain::time::Timestamp;
use shared::events::Publisher;
use shared::ports::{EventSink, JobQueue, QueueError};
use shared::refresh::{NotFresh, RefreshEngine};
use testkit::entropy::SeededEntropy;
use testkit::fake_kms::KmsState;

use super::executor::SkewedClock;
use super::faults::Plan;
use super::provider::{Rotation, SimProvider};
use super::store::{Sabotage, SimStore};
use super::user;
use super::world::{Counts, World};

/// When a function is stopped.
const HARD_LIMIT: u64 = 15_000;
const MINUTE: u64 = 60_000;

/// What kind of story is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    /// How the provider treats refresh tokens.
    pub(super) rotation: Rotation,
    /// What goes wrong.
    pub(super) faults: Plan,
    /// Whether the scheduled sweep runs.
    pub(super) sweeps: bool,
    /// Whether the protocol promises that nothing is lost.
    pub(super) loses_nothing: bool,
}

/// Tells the story of a seed. Answers what happened in it, and a digest of all of it.
///
/// # Errors
/// What an invariant forbids.
pub(super) fn tell(
    seed: u64,
    mode: Mode,
    sabotage: Option<Sabotage>,
    aloud: bool,
) -> Result<(Counts, u64), String> {
    let world = Arc::new(World::new(seed, mode, sabotage, aloud));
    let processes: Arc<Vec<_>> = Arc::new_cyclic(|all: &Weak<Vec<RefreshEngine>>| {
        (0..3).map(|_| process(&world, all.clone())).collect()
    });
    for number in 0..=world.sim.below(2) {
        let key = key(number);
        let (world, processes) = (Arc::clone(&world), Arc::clone(&processes));
        world.sim.clone().spawn(async move {
            user::connect(&world, &key).await;
            app(&world, &processes, &key).await;
        });
    }
    if mode.sweeps {
        let (world, processes) = (Arc::clone(&world), Arc::clone(&processes));
        world
            .sim
            .clone()
            .spawn(async move { ticks(&world, &processes).await });
    }
    if mode.faults == Plan::Everything {
        let world = Arc::clone(&world);
        world
            .sim
            .clone()
            .spawn(async move { weather(&world).await });
    }
    let digest = world.sim.run()?;
    Ok((world.counts(), digest))
}

/// An engine in a process of its own, whose clock is wrong by up to a second.
fn process(world: &Arc<World>, all: Weak<Vec<RefreshEngine>>) -> RefreshEngine {
    let skew = world.sim.below(2001) as i64 - 1000;
    let clock = SkewedClock {
        sim: world.sim.clone(),
        skew,
    };
    let store = Arc::new(SimStore(Arc::clone(world)));
    RefreshEngine {
        clock: Arc::new(clock),
        entropy: Arc::clone(&world.entropy) as _,
        registry: Arc::clone(&world.store) as _,
        connections: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        health: Arc::clone(&store) as _,
        vault: Arc::new(world.vault(skew)),
        providers: Arc::new(SimProvider(Arc::clone(world))),
        jobs: Arc::new(Queue {
            world: Arc::clone(world),
            processes: all,
        }),
        publisher: Publisher::new(Arc::new(Bus), store),
        address_rules: AddressRules::LocalToo,
        concurrency: 2,
    }
}

fn any<'a>(world: &World, processes: &'a [RefreshEngine]) -> &'a RefreshEngine {
    &processes[world.sim.below(processes.len() as u64) as usize]
}

/// The schedule: a tick a minute, sometimes none, sometimes two.
async fn ticks(world: &Arc<World>, processes: &[RefreshEngine]) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from + 5 * MINUTE {
        sim.sleep(MINUTE).await;
        let runs = match sim.below(20) {
            _ if world.mode.faults == Plan::Nothing && world.mode.loses_nothing => 1,
            0 if !matches!(world.mode.faults, Plan::One { .. }) => 0,
            1 | 2 => 2,
            _ => 1,
        };
        for _ in 0..runs {
            let engine = any(world, processes).clone();
            let (inner, late) = (sim.clone(), sim.below(3_000));
            sim.spawn(async move {
                inner.sleep(late).await;
                inner.invoke(HARD_LIMIT, async move {
                    // The next tick is the retry of one that failed.
                    let _ = engine.tick().await;
                });
            });
        }
    }
}

/// The key service is down now and then, and sometimes refuses.
async fn weather(world: &World) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from {
        sim.sleep(sim.below(2 * world.lifetime)).await;
        let down = [KmsState::Unavailable, KmsState::Refused][sim.below(2) as usize];
        world.kms.become_state(down);
        let left = world.quiet_from.saturating_sub(sim.now());
        sim.sleep(sim.below(10 * MINUTE).min(left)).await;
        world.kms.become_state(KmsState::Serving);
    }
}

/// An app that reads one user's token now and then, often several times at once, and in the end
/// checks that it still gets one.
async fn app(world: &Arc<World>, processes: &[RefreshEngine], key: &ConnectionKey) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from {
        sim.sleep(sim.below(world.lifetime / 5)).await;
        for _ in 0..sim.below(3) {
            let engine = any(world, processes).clone();
            let (world, key) = (Arc::clone(world), key.clone());
            sim.spawn(async move {
                read(&world, &engine, &key, 5 * MINUTE).await;
            });
        }
        read(world, any(world, processes), key, 5 * MINUTE).await;
    }
    // Whatever went wrong has healed now, or does within the longest pause there is.
    sim.sleep(2 * MINUTE).await;
    let served = read(world, any(world, processes), key, 120 * MINUTE).await;
    let stored = world.stored(key).map(|stored| stored.status);
    let live = stored.as_ref().is_some_and(ConnectionStatus::is_live);
    if live && !served {
        sim.violate(format!("stuck: {stored:?} and no token"));
    }
    world.judge_due(key);
}

/// Asks until there is a token, for at most `patience`. `false` when there was none.
async fn read(
    world: &Arc<World>,
    engine: &RefreshEngine,
    key: &ConnectionKey,
    patience: u64,
) -> bool {
    let sim = &world.sim;
    let begun = sim.now();
    let min_ttl = [30, 60, 120, 150][sim.below(4) as usize];
    loop {
        let pause = match ask(world, engine, key, Duration::from_secs(min_ttl)).await {
            Some(Answer::Token) => return true,
            Some(Answer::Later(after)) => after.as_millis() as u64,
            Some(Answer::Dead) => {
                if sim.now() < world.quiet_from {
                    user::reconnect(world, key).await;
                }
                return false;
            }
            Some(Answer::Gone) => return false,
            // Whoever asked died, and the gateway said so.
            None => 0,
        };
        if sim.now() >= begun + patience {
            return false;
        }
        sim.sleep(pause + sim.below(3_000)).await;
    }
}

/// What a look-up ended with.
enum Answer {
    Token,
    Later(Duration),
    Dead,
    Gone,
}

/// One look-up: an invocation of its own. `None` when it died.
async fn ask(
    world: &Arc<World>,
    engine: &RefreshEngine,
    key: &ConnectionKey,
    min_ttl: Duration,
) -> Option<Answer> {
    let slot = Arc::new(Mutex::new(None));
    let (their_world, engine, key) = (Arc::clone(world), engine.clone(), key.clone());
    let theirs = Arc::clone(&slot);
    world.sim.invoke(HARD_LIMIT, async move {
        let answer = look_up(&their_world, &engine, &key, min_ttl).await;
        *theirs.lock().expect("nobody panics") = Some(answer);
    });
    while Arc::strong_count(&slot) > 1 {
        world.sim.sleep(500).await;
    }
    slot.lock().expect("nobody panics").take()
}

async fn look_up(
    world: &World,
    engine: &RefreshEngine,
    key: &ConnectionKey,
    min_ttl: Duration,
) -> Answer {
    let ended = world.ended();
    let soon = Answer::Later(Duration::from_secs(1));
    let connection = match engine.connections.connection(key).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return Answer::Gone,
        Err(_) => return soon,
    };
    match connection.status {
        ConnectionStatus::Active | ConnectionStatus::Suspect { .. } => {}
        ConnectionStatus::ReconnectRequired { .. } => return Answer::Dead,
        ConnectionStatus::Revoking { .. } | ConnectionStatus::Disconnected { .. } => {
            return Answer::Gone;
        }
    }
    let fresh = engine.fresh_tokens(&world.connector, connection, min_ttl);
    match fresh.await {
        Ok(fresh) => {
            world.judge_hand_out(&fresh, &ended);
            Answer::Token
        }
        Err(NotFresh::Gone) => Answer::Gone,
        Err(NotFresh::ReconnectRequired(_)) => Answer::Dead,
        Err(
            NotFresh::ProviderUnavailable { retry_after }
            | NotFresh::KeysUnavailable { retry_after },
        ) => Answer::Later(retry_after),
        Err(NotFresh::Unreadable) => {
            world.sim.violate("I2: what is stored does not open".into());
            Answer::Gone
        }
    }
}

/// The queues: every job is an invocation of its own, in any process, a while later; some come
/// twice, and so in another order.
struct Queue {
    world: Arc<World>,
    processes: Weak<Vec<RefreshEngine>>,
}

#[async_trait]
impl JobQueue for Queue {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        let sim = &self.world.sim;
        let processes = self.processes.upgrade().ok_or(QueueError)?;
        for job in jobs {
            for _ in 0..if sim.chance(10) { 2 } else { 1 } {
                let engine = any(&self.world, &processes).clone();
                let delay = match job {
                    Job::RetryRefresh { .. } => RETRY_DELAY,
                    Job::RefreshShard { .. } | Job::StoreTokens(_) => Duration::ZERO,
                };
                let late = delay.as_millis() as u64 + sim.below(3_000);
                let (inner, job) = (sim.clone(), job.clone());
                sim.spawn(async move {
                    inner.sleep(late).await;
                    inner.invoke(HARD_LIMIT, async move { work(&engine, job).await });
                });
            }
        }
        Ok(())
    }
}

/// Does one job. What fails is not delivered again here, and nothing may need it: the tick comes
/// again, and escrow hands itself over anew.
async fn work(engine: &RefreshEngine, job: Job) {
    let _ = match job {
        Job::RefreshShard { shard } => engine.refresh_shard(shard).await.map(|_| ()),
        Job::RetryRefresh { connection, id } => engine.retry_refresh(&connection, &id).await,
        Job::StoreTokens(tokens) => engine.store_escrowed(&tokens).await,
    };
}

/// A bus that takes everything.
struct Bus;

#[async_trait]
impl EventSink for Bus {
    async fn publish(&self, events: &[Event]) -> Vec<EventId> {
        events.iter().map(|event| event.id.clone()).collect()
    }
}

pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::parse("acme").expect("an id")
}

fn key(user: u64) -> ConnectionKey {
    ConnectionKey {
        workspace: workspace(),
        app: AppId::parse("shop").expect("an id"),
        user: UserId::parse(format!("user-{user}")).expect("an id"),
        connector: ConnectorId::parse("files").expect("an id"),
    }
}

/// The one connector of these stories, whose profile says of the provider what is true.
pub(super) fn connector(
    rotation: Rotation,
    keys: &WorkspaceKeys,
    entropy: &SeededEntropy,
    now: Timestamp,
) -> Connector {
    let id = ConnectorId::parse("files").expect("an id");
    let urls = ["authorize", "token", "revoke", "userinfo"];
    let config = urls.map(|name| (format!("{name}_url"), format!("https://as.example/{name}")));
    let mut config = BTreeMap::from(config);
    let name = match rotation {
        Rotation::Strict => "strict",
        Rotation::Grace(seconds) => {
            config.insert("grace_seconds".into(), seconds.to_string());
            "grace"
        }
        Rotation::Sliding => "sliding",
        Rotation::Fixed => "none",
    };
    config.insert("rotation".into(), name.into());
    let secret = Secret::new("client-secret");
    Connector {
        workspace: workspace(),
        name: "Files".into(),
        provider: ProviderId::parse("custom").expect("an id"),
        kind: ConnectorKind::User,
        client_id: "client".into(),
        client_secret: ClientSecret {
            sealed: keys.seal_client_secret(entropy, &id, 1, &secret),
            set_at: now,
            last_four: None,
        },
        id,
        scopes: ScopeList::parse(["read"]).expect("a scope"),
        scope_policy: ScopePolicy::Widening,
        config,
        allowed_apps: None,
        status: ConnectorStatus::Enabled,
        generation: 1,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

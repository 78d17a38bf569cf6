//! A story: users who connect, apps that ask for tokens, ticks, and what goes wrong with them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use shared::domain::connection::{ConnectionKey, ConnectionStatus};
use shared::refresh::{NotFresh, RefreshEngine};
use testkit::fake_kms::KmsState;

use super::faults::Plan;
use super::modes::Mode;
use super::process::{HARD_LIMIT, Process, TRUSTED_SKEW, any, key};
use super::sabotage::Sabotage;
use super::user;
use super::world::{Counts, World};
use super::year;

pub(super) const MINUTE: u64 = 60_000;

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
    let processes: Arc<Vec<_>> = Arc::new_cyclic(|all: &Weak<Vec<Process>>| {
        (0..3).map(|_| Process::new(&world, all.clone())).collect()
    });
    if mode.year {
        year::begin(&world, &processes);
    } else {
        begin(&world, &processes);
    }
    let digest = world.sim.run()?;
    world.judge_orphans()?;
    Ok((world.counts(), digest))
}

fn begin(world: &Arc<World>, processes: &Arc<Vec<Process>>) {
    let sim = &world.sim;
    for number in 0..=sim.below(2) {
        let key = key(number);
        let (world, processes) = (Arc::clone(world), Arc::clone(processes));
        sim.spawn(async move {
            user::connect(&world, &key).await;
            app(&world, &processes, &key).await;
        });
    }
    if world.mode.sweeps {
        let (world, processes) = (Arc::clone(world), Arc::clone(processes));
        sim.spawn(async move { ticks(&world, &processes).await });
    }
    {
        let (world, processes) = (Arc::clone(world), Arc::clone(processes));
        sim.spawn(async move { revocations(&world, &processes).await });
    }
    if world.mode.faults == Plan::Everything {
        let weathered = Arc::clone(world);
        sim.spawn(async move { weather(&weathered).await });
        let (world, processes) = (Arc::clone(world), Arc::clone(processes));
        sim.spawn(async move { clocks(&world, &processes).await });
    }
}

/// The schedule: a tick a minute, sometimes none, sometimes two.
async fn ticks(world: &Arc<World>, processes: &[Process]) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from + 5 * MINUTE {
        sim.sleep(MINUTE).await;
        let lost = world.faults().loses_tick(sim);
        let runs = match sim.below(20) {
            _ if lost => 0,
            1 | 2 => 2,
            _ => 1,
        };
        for _ in 0..runs {
            let engine = any(world, processes).engine.clone();
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

/// The other schedule: providers are told of what has ended, as long as there is something.
async fn revocations(world: &Arc<World>, processes: &[Process]) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from + 5 * MINUTE || world.has_revocations() {
        sim.sleep(MINUTE).await;
        let revoker = any(world, processes).revoker.clone();
        sim.invoke(HARD_LIMIT, async move {
            disconnect::run(&revoker).await;
        });
    }
}

/// Clocks are set, forth and back. Now and then one is off by minutes, and known to be (F38).
async fn clocks(world: &Arc<World>, processes: &[Process]) {
    let sim = &world.sim;
    let within = |bound: i64| sim.below(2 * bound as u64 + 1) as i64 - bound;
    while sim.now() < world.quiet_from {
        sim.sleep(sim.below(world.lifetime)).await;
        let skew = match sim.below(4) {
            0 => within(300_000),
            _ => within(TRUSTED_SKEW),
        };
        sim.tell(|| format!("a clock is set to {skew} ms"));
        any(world, processes).skew.store(skew, Ordering::Relaxed);
    }
    for process in processes {
        process.skew.store(within(TRUSTED_SKEW), Ordering::Relaxed);
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
async fn app(world: &Arc<World>, processes: &Arc<Vec<Process>>, key: &ConnectionKey) {
    let sim = &world.sim;
    while sim.now() < world.quiet_from {
        sim.sleep(sim.below(world.lifetime / 5)).await;
        for _ in 0..sim.below(3) {
            let (world, processes) = (Arc::clone(world), Arc::clone(processes));
            let key = key.clone();
            sim.spawn(async move {
                read(&world, any(&world, &processes), &key, 5 * MINUTE).await;
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
pub(super) async fn read(
    world: &Arc<World>,
    process: &Process,
    key: &ConnectionKey,
    patience: u64,
) -> bool {
    let sim = &world.sim;
    let begun = sim.now();
    let min_ttl = [30, 60, 120, 150][sim.below(4) as usize];
    loop {
        let pause = match ask(world, process, key, Duration::from_secs(min_ttl)).await {
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
    process: &Process,
    key: &ConnectionKey,
    min_ttl: Duration,
) -> Option<Answer> {
    let (theirs, engine, key) = (Arc::clone(world), process.engine.clone(), key.clone());
    world
        .sim
        .call(HARD_LIMIT, async move {
            look_up(&theirs, &engine, &key, min_ttl).await
        })
        .await
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
            let knows_the_time = engine.clock.is_trusted() && !world.sim.stood_still();
            world.judge_hand_out(&fresh, &ended, knows_the_time);
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

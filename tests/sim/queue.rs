//! The bus and its queues: a job that is handed over is an invocation of its own, in any process,
//! some time later, once or several times, and again when it fails.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use shared::domain::job::Job;
use shared::domain::refresh_protocol::RETRY_DELAY;
use shared::ports::{JobQueue, QueueError};
use shared::refresh::RefreshEngine;

use super::faults::{Plan, QueueFault};
use super::process::{HARD_LIMIT, Process, any};
use super::world::World;

/// How long a queue waits for the end of a delivery before the next (the template's
/// `VisibilityTimeout`).
const VISIBILITY: u64 = 90_000;
/// The same of tokens in escrow.
const VISIBILITY_OF_ESCROW: u64 = 17_000;
/// How often a job is delivered at most, but for tokens in escrow (the template's
/// `maxReceiveCount`).
const RECEIVES: u32 = 5;
/// The same of tokens in escrow, which are delivered for a fortnight; a story is over before.
const RECEIVES_OF_ESCROW: u32 = 1_000;
/// How late a queue's poller may be.
const POLL: u64 = 3_000;

/// The port of a process.
pub(super) struct Queue {
    pub(super) world: Arc<World>,
    pub(super) processes: Weak<Vec<Process>>,
}

#[async_trait]
impl JobQueue for Queue {
    async fn enqueue(&self, jobs: &[Job]) -> Result<(), QueueError> {
        let (world, sim) = (&self.world, &self.world.sim);
        sim.sleep(sim.below(30)).await;
        let fault = world.faults().at_bus(sim);
        if let Some(fault) = fault {
            sim.tell(|| format!("handing over: {fault:?}"));
        }
        match fault {
            None => {
                self.take(jobs);
                Ok(())
            }
            Some(QueueFault::AnswerLost) => {
                self.take(jobs);
                Err(QueueError)
            }
            Some(QueueFault::NotTaken) => Err(QueueError),
            Some(QueueFault::Crash) => sim.crash().await,
        }
    }
}

impl Queue {
    fn take(&self, jobs: &[Job]) {
        let (world, sim) = (&self.world, &self.world.sim);
        for job in jobs {
            sim.tell(|| format!("handed over: {}", name(job)));
            if world.faults().loses_job(sim) {
                sim.tell(|| format!("{} is never delivered", name(job)));
                continue;
            }
            let deliveries = if sim.chance(10) { 2 + sim.below(4) } else { 1 };
            for _ in 0..deliveries {
                let late = match world.mode.faults {
                    Plan::Everything | Plan::Seldom if sim.chance(10) => 60_000,
                    _ => 3_000,
                };
                let late = delay(job) + sim.below(late);
                let (world, processes) = (Arc::clone(world), Weak::clone(&self.processes));
                let job = job.clone();
                sim.spawn(async move { deliver(&world, &processes, &job, late).await });
            }
        }
    }
}

/// Delivers one copy of a job until it is done.
async fn deliver(world: &World, processes: &Weak<Vec<Process>>, job: &Job, late: u64) {
    world.sim.sleep(late).await;
    let (receives, visibility) = match job {
        Job::RefreshShard { .. } | Job::RetryRefresh { .. } => (RECEIVES, VISIBILITY),
        Job::StoreTokens(_) | Job::StoreConnection(_) => (RECEIVES_OF_ESCROW, VISIBILITY_OF_ESCROW),
    };
    for _ in 0..receives {
        let received = world.sim.now();
        let Some(processes) = processes.upgrade() else {
            return;
        };
        let engine = any(world, &processes).engine.clone();
        let theirs = job.clone();
        let done = world
            .sim
            .call(HARD_LIMIT, async move { work(&engine, theirs).await });
        if done.await == Some(true) {
            return;
        }
        world.sim.tell(|| format!("{} was not done", name(job)));
        let again = received + visibility + world.sim.below(POLL);
        world.sim.sleep(again.saturating_sub(world.sim.now())).await;
    }
}

/// Does one job, as `token-refresher` does. `false` when it is to be delivered again.
async fn work(engine: &RefreshEngine, job: Job) -> bool {
    match job {
        Job::RefreshShard { shard } => engine.refresh_shard(shard).await.is_ok(),
        Job::RetryRefresh { connection, id } => {
            engine.retry_refresh(&connection, &id).await.is_ok()
        }
        Job::StoreTokens(tokens) => engine.store_escrowed(&tokens).await.is_ok(),
        Job::StoreConnection(grant) => engine.store_connected(&grant).await.is_ok(),
    }
}

fn delay(job: &Job) -> u64 {
    match job {
        Job::RetryRefresh { .. } => RETRY_DELAY.as_millis() as u64,
        Job::RefreshShard { .. } | Job::StoreTokens(_) | Job::StoreConnection(_) => 0,
    }
}

fn name(job: &Job) -> &'static str {
    match job {
        Job::RefreshShard { .. } => "a shard",
        Job::RetryRefresh { .. } => "a retry",
        Job::StoreTokens(_) | Job::StoreConnection(_) => "tokens in escrow",
    }
}

//! A long story: four hundred days of a few users at a provider whose grants die of disuse.

use std::sync::Arc;

use shared::domain::connection::{ConnectionKey, Readers};
use shared::ports::Connections as _;

use super::process::{HARD_LIMIT, Process, any, key};
use super::scenario::{MINUTE, read};
use super::user;
use super::world::World;

const DAY: u64 = 1_440 * MINUTE;

/// One user whose app reads every few weeks, one who is forgotten, and the schedule.
pub(super) fn begin(world: &Arc<World>, processes: &Arc<Vec<Process>>) {
    let sim = &world.sim;
    for number in 0..2 {
        let (world, processes) = (Arc::clone(world), Arc::clone(processes));
        sim.spawn(async move {
            let key = key(number);
            world.sim.sleep(world.sim.below(DAY)).await;
            user::connect(&world, &key).await;
            if number == 0 {
                app(&world, &processes, &key).await;
            }
        });
    }
    let (world, processes) = (Arc::clone(world), Arc::clone(processes));
    sim.spawn(async move { ticks(&world, &processes).await });
}

/// Reads a token every few weeks.
async fn app(world: &Arc<World>, processes: &[Process], key: &ConnectionKey) {
    let sim = &world.sim;
    loop {
        sim.sleep(sim.below(40 * DAY)).await;
        if sim.now() >= world.quiet_from {
            return;
        }
        if read(world, any(world, processes), key, 120 * MINUTE).await {
            let noted = world
                .store
                .record_read(key, &Readers::new(), sim.timestamp())
                .await;
            noted.expect("users meet no faults");
        }
    }
}

/// A tick at each full minute that has something due, but for outages: each is shorter than half
/// the idle limit, which is what a keep-alive leaves for them.
async fn ticks(world: &Arc<World>, processes: &[Process]) {
    let sim = &world.sim;
    let mut back_since = 0;
    let half = world.idle_days.unwrap_or_default() * DAY / 2;
    while sim.now() < world.quiet_from {
        let entries = world.entries().into_iter();
        let due = entries.map(|(work, _)| work.due_at).min();
        let until_due = due.map_or(DAY, |due| due.since(sim.timestamp()).as_millis() as u64);
        // The tick looks a minute ahead.
        let pause = until_due.clamp(MINUTE, DAY) / MINUTE * MINUTE;
        sim.sleep(pause).await;
        // Two in a row would be one that is longer.
        if sim.chance(1) && sim.now() > back_since + DAY {
            let outage = sim.below(half - DAY / 24);
            sim.tell(|| format!("no tick for {} h", outage / MINUTE / 60));
            sim.sleep(outage).await;
            back_since = sim.now();
        }
        if world.faults().loses_tick(sim) {
            continue;
        }
        let engine = any(world, processes).engine.clone();
        sim.invoke(HARD_LIMIT, async move {
            // The next tick is the retry of one that failed.
            let _ = engine.tick().await;
        });
    }
    for number in 0..2 {
        world.judge_due(&key(number));
    }
}

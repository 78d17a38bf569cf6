//! Whether the time of an answer tells what is another workspace's from what does not exist
//! (H-21, A-19): Welch's t-test, whose bar of 4.5 is that of leakage tests.

use serde_json::json;
use testkit::clock::ManualClock;
use testkit::memory_store::MemoryStore;

use crate::measure::{Runtimes, bar};
use crate::world::{Call, World};

const SAMPLES: usize = 10_000;
const BAR: f64 = 4.5;

pub(crate) fn measure(runtimes: &Runtimes) {
    let (world, theirs) = runtimes.outside.block_on(async {
        let world = World::on(MemoryStore::new(1), ManualClock::new()).await;
        world.register_app("globex", "shop").await;
        let theirs = world.connector_of("globex", &["read"]).await;
        (world, theirs)
    });
    let unknown = "0".repeat(theirs.len());
    let key = world.key_of("acme", "shop");
    let lookup = |connector: &str| {
        let body = json!({"connector_id": connector, "user_id": "alice"});
        Call::post("/v1/tokens").bearer(&key).json(&body)
    };
    let view = |connector: &str| Call::get(&format!("/v1/connectors/{connector}")).admin_of("acme");
    println!("\n## Another's against nobody's, {SAMPLES} calls of each\n");
    println!("| | t | bar |");
    println!("|---|---|---|");
    for (name, foreign, nobodys) in [
        ("look-up", lookup(&theirs), lookup(&unknown)),
        ("connector", view(&theirs), view(&unknown)),
    ] {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        // By turns, and each first every other time, so that what drifts drifts for both.
        for round in 0..SAMPLES {
            let mut pair = [(&foreign, &mut one), (&nobodys, &mut other)];
            if round % 2 == 1 {
                pair.reverse();
            }
            for (call, times) in pair {
                let (answer, spent) = runtimes.measured(world.send(call.clone()));
                assert_eq!(answer.status, 404, "{answer:?}");
                times.push(spent.time.as_secs_f64());
            }
        }
        let t = welch(&trimmed(one), &trimmed(other)).abs();
        println!("| {name} | {t:.2} | {BAR}: {} |", bar(t < BAR));
    }
}

/// Without the slowest hundredth, which is the machine's and not the code's.
fn trimmed(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() - times.len() / 100);
    times
}

fn welch(one: &[f64], other: &[f64]) -> f64 {
    let (mean, variance) = moments(one);
    let (other_mean, other_variance) = moments(other);
    let error = variance / one.len() as f64 + other_variance / other.len() as f64;
    (mean - other_mean) / error.sqrt()
}

fn moments(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let squares = times.iter().map(|time| (time - mean).powi(2));
    (mean, squares.sum::<f64>() / (count - 1.0))
}

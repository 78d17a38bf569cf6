//! A crowd that looks up one token at once: expired, and then fresh.

use std::sync::Arc;

use futures_util::future::join_all;
use testkit::clock::ManualClock;
use testkit::memory_store::MemoryStore;

use crate::measure::{Running, Runtimes, spread};
use crate::world::World;

const ROUNDS: usize = 9;
const CROWD: usize = 1000;

pub(crate) fn measure(runtimes: &Runtimes) {
    let clock = ManualClock::new();
    let running = Arc::new(Running::from(clock.clone()));
    let (world, connector) = runtimes.outside.block_on(async {
        let world = World::timed(MemoryStore::new(1), clock, running).await;
        let connector = world.connector(&["read"]).await;
        world.connect("alice", &connector).await;
        (world, connector)
    });
    let calls = || world.provider.counters().total.refreshes();
    let crowd = || async {
        let all = (0..CROWD).map(|_| world.lookup("alice", &connector));
        for answer in join_all(all).await {
            answer.expect_status(200);
        }
    };
    let (mut expired, mut fresh) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        world.pass(3600);
        let before = calls();
        let ((), spent) = runtimes.measured(crowd());
        assert_eq!(calls() - before, 1, "one provider call");
        expired.push(spent);
        let ((), spent) = runtimes.measured(crowd());
        assert_eq!(calls() - before, 1, "and none for a fresh token");
        fresh.push(spent);
    }
    println!("\n## {CROWD} concurrent look-ups of one token, medians of {ROUNDS} rounds\n");
    println!("| | provider calls | ms to the last answer | ms of processor |");
    println!("|---|---|---|---|");
    for (name, calls, rounds) in [("expired", 1, expired), ("fresh", 0, fresh)] {
        let last = spread(rounds.iter().map(|it| it.time.as_secs_f64() * 1e3));
        let processor = spread(rounds.iter().map(|it| it.processor.as_secs_f64() * 1e3));
        println!("| {name} | {calls} | {last} | {processor} |");
    }
}

//! What the sweep costs depends on what is due and on nothing else: counted on the wire, never
//! timed. `make bench` counts the same with a million stored.

use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use crate::sweep::stock::{SHARDS, Stock};

const DUE: usize = 1000;

async fn stock(stored: usize) -> Stock {
    let clock = ManualClock::new();
    let dynamo = LocalDynamo::start(&clock, SHARDS).await;
    Stock::start(dynamo, clock, DUE, stored).await
}

#[tokio::test]
async fn a_sweep_costs_the_same_with_twenty_times_as_many_stored() {
    let few = stock(DUE).await;
    let many = stock(20 * DUE).await;
    let ((found, finding), of_many) = (few.find().await, many.find().await);
    assert_eq!(found, DUE);
    println!("{found} {finding:?} {of_many:?}");
    assert_eq!((found, finding), of_many);
    let ((_, scan), (scanned, of_many)) = (few.scan().await, many.scan().await);
    println!("{scan:?} {scanned} {of_many:?}");
    let (refreshed, sweep) = few.sweep().await;
    let of_many = many.sweep().await;
    println!("{refreshed} {sweep:?} {of_many:?}");
    assert_eq!(refreshed, DUE as u64);
    assert_eq!((refreshed, sweep), of_many);
}

//! What the sweep costs depends on what is due and on nothing else: counted on the wire, never
//! timed. `make bench` counts the same with a million stored.

use std::collections::BTreeMap;

use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use crate::sweep::stock::{SHARDS, Stock};

const DUE: usize = 1000;

async fn stock(stored: usize) -> Stock {
    let clock = ManualClock::new();
    let dynamo = LocalDynamo::start(&clock, SHARDS).await;
    let mut stock = Stock::start(dynamo, clock, DUE, stored).await;
    // One at a time, so that no write is given up as late, in real time, and made again.
    stock.world.engine.concurrency = 1;
    stock
}

fn requests<const N: usize>(of: [(&str, usize); N]) -> BTreeMap<String, u64> {
    of.map(|(operation, count)| (operation.to_owned(), count as u64))
        .into()
}

#[tokio::test]
async fn a_sweep_costs_the_same_with_twenty_times_as_many_stored() {
    let few = stock(DUE).await;
    let many = stock(20 * DUE).await;
    let shards = SHARDS as usize;

    let (found, finding) = few.find().await;
    assert_eq!(found, DUE);
    assert_eq!(finding.requests, requests([("Query", shards)]));
    assert_eq!(finding.items_read, DUE as u64);
    // An entry has 124 bytes, and a shard's answer is rounded up to 4 KB: docs/BENCHMARKS.md.
    assert!(finding.read_units <= 24.0, "{finding:?}");
    assert_eq!(many.find().await, (found, finding));

    let (refreshed, sweep) = few.sweep().await;
    assert_eq!(refreshed, DUE as u64);
    let mut counted = sweep.requests.clone();
    let queries = counted.remove("Query").unwrap_or_default();
    // The tick looks at each shard for refreshes and for events; its worker reads the shard, and
    // the connector's health once in 20 requests.
    let expected = 4 * shards + DUE / 20;
    assert!(queries <= expected as u64, "{queries}");
    let expected = requests([
        ("GetItem", shards),     // connectors
        ("UpdateItem", 2 * DUE), // leases and stores
        ("PutItem", DUE),        // due entries
        ("DeleteItem", DUE),     // due entries
    ]);
    assert_eq!(counted, expected);
    assert_eq!(many.sweep().await, (refreshed, sweep));

    // The meter sees what does depend on it.
    let (_, scan) = many.scan().await;
    assert!(scan.items_read >= 20 * DUE as u64, "{scan:?}");
}

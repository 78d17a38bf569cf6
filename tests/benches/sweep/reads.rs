//! What a sweep of the same work reads and writes, whatever else is stored; and a scan beside it.

use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::dynamo_meter::Bill;

use crate::measure::{Runtimes, bar};
use crate::stock::{SHARDS, Stock};

const DUE: usize = 1000;
const STORED: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Read units to find what is due.
const BAR: f64 = 10.0;

/// What was counted with so many stored.
#[derive(Debug, PartialEq)]
struct Counted {
    finding: Bill,
    sweep: Bill,
}

pub(crate) fn measure(runtimes: &Runtimes) {
    println!("\n## Reads and writes of a sweep, {DUE} due in {SHARDS} shards\n");
    println!("| stored | | requests | items read | read units | write units | ms |");
    println!("|---|---|---|---|---|---|---|");
    let all = STORED.map(|stored| count(runtimes, stored));
    for (counted, stored) in all.iter().zip(STORED) {
        assert_eq!(
            counted, &all[0],
            "with {stored} stored it costs something else"
        );
    }
    let [Counted { finding, sweep }, ..] = &all;
    println!(
        "\nThe same at {STORED:?}: yes. The sweep's requests: {:?}",
        sweep.requests
    );
    println!(
        "Read units to find {DUE} due: {} (bar: {BAR}, {})",
        finding.read_units,
        bar(finding.read_units <= BAR)
    );
}

fn count(runtimes: &Runtimes, stored: usize) -> Counted {
    let clock = ManualClock::new();
    let dynamo = runtimes
        .outside
        .block_on(LocalDynamo::start(&clock, SHARDS));
    let (stock, filled) = runtimes.measured(Stock::start(dynamo, clock, DUE, stored));
    eprintln!("{stored} stored in {:.0} s", filled.time.as_secs_f64());

    let ((found, finding), took) = runtimes.measured(stock.find());
    assert_eq!(found, DUE);
    let row = |what: &str, bill: &Bill, took: crate::measure::Spent| {
        let (requests, items) = (bill.total(), bill.items_read);
        let (reads, writes) = (bill.read_units, bill.write_units);
        let ms = took.time.as_millis();
        println!("| {stored} | {what} | {requests} | {items} | {reads} | {writes} | {ms} |");
    };
    row("find by query", &finding, took);
    let ((found, scan), took) = runtimes.measured(stock.scan());
    assert_eq!(found, DUE, "the scan finds the same");
    row("find by scan", &scan, took);
    let ((refreshed, sweep), took) = runtimes.measured(stock.sweep());
    assert_eq!(refreshed, DUE as u64);
    row("whole sweep", &sweep, took);
    Counted { finding, sweep }
}

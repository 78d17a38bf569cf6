//! Measures what the sweep reads, what one refresh worker gets through, a crowd that looks up one
//! expired token, and whether time tells what is another's from what does not exist. `make bench` runs it; docs/BENCHMARKS.md has the results, and what they are
//! compared with in the same run.
//!
//! Counts must be what they are said to be, or the program fails. Times depend on the machine: they
//! are printed beside their bars, and nothing fails by them.

#[expect(
    dead_code,
    reason = "a story asks in which order the provider was asked"
)]
#[path = "../../it/sweep/crowd.rs"]
mod crowd;
mod isolation;
mod lookups;
mod measure;
mod reads;
#[path = "../../it/sweep/stock.rs"]
mod stock;
mod worker;
#[expect(
    dead_code,
    reason = "the stories use more of their world than this does"
)]
#[path = "../../it/world/mod.rs"]
mod world;

use measure::Runtimes;

type Part = fn(&Runtimes);

fn main() {
    // Cargo adds `--bench`; names choose among the parts.
    let named: Vec<_> = std::env::args().skip(1).collect();
    let named: Vec<_> = named.iter().filter(|it| !it.starts_with('-')).collect();
    let runtimes = Runtimes::start();
    let parts: [(&str, Part); 4] = [
        ("isolation", isolation::measure),
        ("worker", worker::measure),
        ("lookups", lookups::measure),
        ("reads", reads::measure),
    ];
    for (name, measure) in parts {
        if named.is_empty() || named.iter().any(|it| *it == name) {
            measure(&runtimes);
        }
    }
}

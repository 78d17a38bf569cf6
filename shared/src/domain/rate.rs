//! How often tokens may be read, by credential and by workspace, and what one process has counted.
//!
//! A count is kept by minute in a table, where every process sees it with each look-up. To write
//! it with each look-up as well would cost more than the look-up, so a process adds to it once in
//! a hundredth of the cap. What is let through beyond a cap is therefore less than a hundredth of
//! it for each process that reads at that time, and nothing is written by who reads less.

use std::collections::HashMap;
use std::time::Duration;

pub use super::health::minute_of;
use super::ids::WorkspaceId;
use super::time::Timestamp;

const MINUTE: i64 = 60_000;
/// How many counts a process keeps, far above what one can serve in a minute.
const MOST_KEPT: usize = 4096;

/// How long it is from `at` to the next minute.
pub fn to_next_minute(at: Timestamp) -> Duration {
    let left = MINUTE - at.millis().rem_euclid(MINUTE);
    Duration::from_millis(left.unsigned_abs())
}

/// Whose reads are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    /// A credential, by the hash under which its record is kept.
    Credential([u8; 32]),
    /// Everybody in a workspace.
    Workspace(WorkspaceId),
}

/// How many reads a minute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// By one credential.
    pub credential: u32,
    /// In one workspace.
    pub workspace: u32,
}

impl Caps {
    fn of(self, reader: &Reader) -> u64 {
        u64::from(match reader {
            Reader::Credential(_) => self.credential,
            Reader::Workspace(_) => self.workspace,
        })
    }

    /// How many reads are counted here before they are written.
    fn step(self, reader: &Reader) -> u64 {
        (self.of(reader) / 100).max(1)
    }
}

/// A reader with the count that the table showed for the minute.
pub type Shown = (Reader, u64);

/// The reads of one process that the table does not know of yet.
#[derive(Debug)]
pub struct Meter {
    caps: Caps,
    minute: i64,
    unwritten: HashMap<Reader, u64>,
}

impl Meter {
    /// Nothing counted.
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            minute: 0,
            unwritten: HashMap::new(),
        }
    }

    /// Counts one read in `minute` for each of `readers`, unless that is beyond the cap of one of
    /// them. Answers what the table is to be told now.
    ///
    /// # Errors
    /// Whose cap is reached. Nothing was counted.
    pub fn pass(&mut self, minute: i64, readers: Vec<Shown>) -> Result<Vec<(Reader, u64)>, Reader> {
        if self.minute != minute {
            self.minute = minute;
            self.unwritten.clear();
        }
        let is_full = |(reader, shown): &Shown| {
            let own = self.unwritten.get(reader).copied().unwrap_or(0);
            shown.saturating_add(own) >= self.caps.of(reader)
        };
        if let Some((reader, _)) = readers.iter().find(|shown| is_full(shown)) {
            return Err(reader.clone());
        }
        let due = readers.into_iter().filter_map(|(reader, _)| {
            let reads = self.unwritten.remove(&reader).unwrap_or(0) + 1;
            if reads >= self.caps.step(&reader) {
                return Some((reader, reads));
            }
            self.keep(reader, reads);
            None
        });
        Ok(due.collect())
    }

    /// Takes back what the table could not be told.
    pub fn take_back(&mut self, minute: i64, reader: Reader, reads: u64) {
        if self.minute == minute {
            let known = self.unwritten.remove(&reader).unwrap_or(0);
            self.keep(reader, known + reads);
        }
    }

    /// In the place of the least, where there is no room: of all, that is the least to forget.
    fn keep(&mut self, reader: Reader, reads: u64) {
        if self.unwritten.len() >= MOST_KEPT
            && let Some(least) = self.unwritten.iter().min_by_key(|(_, reads)| **reads)
        {
            let least = least.0.clone();
            self.unwritten.remove(&least);
        }
        self.unwritten.insert(reader, reads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        credential: 1000,
        workspace: 5000,
    };

    fn key(n: u16) -> Reader {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        Reader::Credential(hash)
    }

    fn workspace() -> Reader {
        Reader::Workspace(WorkspaceId::parse("w1").unwrap())
    }

    #[test]
    fn h25_a_hundredth_of_a_cap_is_written_at_a_time() {
        let mut meter = Meter::new(CAPS);
        let mut written = Vec::new();
        for _ in 0..100 {
            let readers = vec![(key(1), 0), (workspace(), 0)];
            written.extend(meter.pass(7, readers).unwrap());
        }
        let of = |reader: &Reader| written.iter().filter(|(it, _)| it == reader).count();
        assert_eq!((of(&key(1)), of(&workspace())), (10, 2));
        assert_eq!(written.iter().map(|(_, reads)| reads).sum::<u64>(), 200);
    }

    #[test]
    fn h25_what_the_table_shows_and_what_is_not_written_yet_count_together() {
        let mut meter = Meter::new(CAPS);
        for _ in 0..3 {
            assert_eq!(meter.pass(7, vec![(key(1), 996)]), Ok(vec![]));
        }
        assert_eq!(meter.pass(7, vec![(key(1), 997)]), Err(key(1)));
        assert_eq!(meter.pass(7, vec![(key(1), 996)]), Ok(vec![]));
        // Another's count and another minute's are their own.
        assert_eq!(meter.pass(7, vec![(key(2), 0)]), Ok(vec![]));
        assert_eq!(meter.pass(8, vec![(key(1), 0)]), Ok(vec![]));
    }

    #[test]
    fn h25_many_processes_together_let_through_less_than_a_hundredth_more_each() {
        for processes in [1, 7, 40] {
            let mut meters: Vec<_> = (0..processes).map(|_| Meter::new(CAPS)).collect();
            let (mut table, mut passed) = (0, 0);
            for n in 0..5000 {
                let meter = &mut meters[n % processes];
                if let Ok(written) = meter.pass(7, vec![(key(1), table)]) {
                    passed += 1;
                    table += written.iter().map(|(_, reads)| reads).sum::<u64>();
                }
            }
            // Ten reads are a hundredth; the tenth is written.
            assert!((1000..=1000 + 9 * processes).contains(&passed), "{passed}");
        }
    }

    #[test]
    fn a_read_beyond_one_cap_is_counted_for_nobody() {
        let mut meter = Meter::new(CAPS);
        let full = vec![(key(1), 0), (workspace(), 5000)];
        assert_eq!(meter.pass(7, full), Err(workspace()));
        assert!(meter.unwritten.is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_written_with_the_next() {
        let mut meter = Meter::new(CAPS);
        for _ in 0..9 {
            assert_eq!(meter.pass(7, vec![(key(1), 0)]), Ok(vec![]));
        }
        let due = meter.pass(7, vec![(key(1), 0)]).unwrap();
        assert_eq!(due, [(key(1), 10)]);
        meter.take_back(7, key(1), 10);
        assert_eq!(meter.pass(7, vec![(key(1), 0)]), Ok(vec![(key(1), 11)]));
        meter.take_back(8, key(1), 11);
        assert!(meter.unwritten.is_empty());
    }

    #[test]
    fn however_many_readers_there_are_a_process_keeps_a_bounded_number_of_counts() {
        let mut meter = Meter::new(CAPS);
        for _ in 0..5 {
            meter.pass(7, vec![(key(u16::MAX), 0)]).unwrap();
        }
        for n in 0..5000 {
            meter.pass(7, vec![(key(n), 0)]).unwrap();
        }
        assert_eq!(meter.unwritten.len(), MOST_KEPT);
        assert_eq!(meter.unwritten[&key(u16::MAX)], 5);
    }

    #[test]
    fn a_minute_ends_when_the_next_begins() {
        let at = Timestamp::from_millis;
        assert_eq!((minute_of(at(59_999)), minute_of(at(60_000))), (0, 1));
        assert_eq!(to_next_minute(at(60_000)), Duration::from_secs(60));
        assert_eq!(to_next_minute(at(119_999)), Duration::from_millis(1));
    }
}

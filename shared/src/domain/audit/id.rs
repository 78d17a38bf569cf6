//! The ids of audit entries, which put them into the order of time.

use std::fmt;

use serde::Serialize;

use crate::domain::time::Timestamp;

/// Names an entry, and sorts as its time does: fifteen digits of milliseconds, a hyphen, and what
/// tells it from others of the same millisecond.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AuditId(String);

const DIGITS: usize = 15;

impl AuditId {
    /// The id of what happened `at`, told from others by `tail`.
    pub fn new(at: Timestamp, tail: &str) -> Self {
        Self(format!("{}-{tail}", Self::floor(at)))
    }

    /// What sorts before every id of `at` and later, and after every earlier one.
    pub fn floor(at: Timestamp) -> String {
        let millis = at.millis().clamp(0, 999_999_999_999_999);
        format!("{millis:0DIGITS$}")
    }

    /// Reads an id; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, tail) = text.split_once('-')?;
        let is_id = millis.len() == DIGITS
            && millis.bytes().all(|digit| digit.is_ascii_digit())
            && (1..=2 * 64 + 1).contains(&tail.len())
            && tail
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
        is_id.then(|| Self(text.to_owned()))
    }

    /// The instant it was given.
    pub fn time(&self) -> Timestamp {
        let millis = self.0.get(..DIGITS).and_then(|digits| digits.parse().ok());
        Timestamp::from_millis(millis.unwrap_or_default())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_time_and_tell_it() {
        let id = |millis, tail| AuditId::new(Timestamp::from_millis(millis), tail);
        assert!(id(999, "z") < id(1000, "a"));
        assert!(id(1000, "a").as_str() > AuditId::floor(Timestamp::from_millis(1000)).as_str());
        assert!(id(999, "z").as_str() < AuditId::floor(Timestamp::from_millis(1000)).as_str());
        let read = AuditId::parse(id(1_795_366_800_250, "a-b").as_str()).unwrap();
        assert_eq!(read.time(), Timestamp::from_millis(1_795_366_800_250));
        for text in [
            "",
            "1-a",
            "000000000001000",
            "000000000001000-",
            "00000000000100x-a",
        ] {
            assert_eq!(AuditId::parse(text), None, "{text}");
        }
    }
}

//! Caps on the hand-out (H-25).

use std::sync::{Mutex, PoisonError};

use shared::domain::rate::{Meter, Reader, minute_of, to_next_minute};
use shared::domain::time::Timestamp;
use shared::http::problem::{Code, Problem};
use shared::ports::{Lookup, LookupKeys, ReadCounts};

/// Counts a read by whoever was admitted with `keys`, unless that is beyond a cap. Nobody else's
/// reads are counted, so without the key nobody uses up its cap.
///
/// # Errors
/// `rate_limited` until the minute is over.
pub(crate) async fn pass(
    meter: &Mutex<Meter>,
    table: &dyn Lookup,
    keys: &LookupKeys,
    shown: ReadCounts,
    now: Timestamp,
) -> Result<(), Problem> {
    let minute = minute_of(now);
    let readers = vec![
        (Reader::Credential(keys.api_key), shown.credential),
        (
            Reader::Workspace(keys.connection.workspace.clone()),
            shown.workspace,
        ),
    ];
    let meter = || meter.lock().unwrap_or_else(PoisonError::into_inner);
    let passed = meter().pass(minute, readers);
    for (reader, reads) in passed.map_err(|full| refusal(&full, now))? {
        if let Err(error) = table.count_reads(&reader, minute, reads).await {
            tracing::warn!(error = %error, "reads were not counted");
            meter().take_back(minute, reader, reads);
        }
    }
    Ok(())
}

fn refusal(full: &Reader, now: Timestamp) -> Problem {
    let whose = match full {
        Reader::Credential(_) => "this API key",
        Reader::Workspace(_) => "this workspace",
    };
    let detail = format!("{whose} has read as many tokens as it may in a minute");
    Problem::new(Code::RateLimited, detail).retry_after(to_next_minute(now))
}

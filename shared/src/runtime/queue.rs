//! Batches of an SQS queue, as an event source mapping hands them to a function and takes the
//! answer back (`ReportBatchItemFailures`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::lambda::JobReport;
use super::telemetry::Metric;

/// Some messages of one queue. Of the event only what a function needs: the crate that describes
/// all of it would bring a macro stack for these two members.
#[derive(Clone, Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One message.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Names it in the answer.
    #[serde(rename = "messageId")]
    pub message_id: String,
    /// What it says.
    pub body: String,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchReport {
    /// The messages that are to be delivered again.
    pub failed: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// Numbers for metrics.
    pub metrics: Vec<Metric>,
}

impl BatchReport {
    /// The answer to the event source: everything that is not named is deleted from the queue.
    pub(super) fn answer(&self) -> Value {
        let failed = self.failed.iter();
        let failures: Vec<_> = failed.map(|id| json!({"itemIdentifier": id})).collect();
        json!({"batchItemFailures": failures})
    }

    /// The same for the log.
    pub(super) fn into_report(self) -> JobReport {
        let counts = self.counts.into_iter();
        JobReport {
            outcome: if self.failed.is_empty() {
                "ok"
            } else {
                "failed"
            },
            facts: counts
                .map(|(name, count)| (name.to_owned(), json!(count)))
                .collect(),
            metrics: self.metrics,
        }
    }
}

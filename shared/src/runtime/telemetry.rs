//! One structured line per request or job. The line is also its metrics, in CloudWatch's
//! embedded metric format, so that counting costs no API call. Never in it: tokens, codes,
//! states, secrets, bodies, query strings.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Grantry";

/// Where lines go.
pub type LineSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes lines for one function.
#[derive(Clone)]
pub struct Telemetry {
    function: String,
    sink: LineSink,
}

/// A number that becomes a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its CloudWatch unit.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
}

impl Telemetry {
    /// Telemetry of `function` to `sink`.
    pub fn new(function: String, sink: LineSink) -> Self {
        Self { function, sink }
    }

    /// Telemetry to standard output, which Lambda passes to CloudWatch Logs, and the same for
    /// the warnings and errors of the code (`RUST_LOG` sets their level).
    pub fn to_stdout(function: String) -> Self {
        use tracing_subscriber::{EnvFilter, fmt};
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        // Fails only when a subscriber is set already, which then does as well.
        let _ = fmt()
            .json()
            .with_env_filter(filter)
            .with_current_span(false)
            .try_init();
        let sink = |line: &str| {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{line}");
        };
        Self::new(function, Arc::new(sink))
    }

    /// Writes the line of one request or job.
    pub fn line(
        &self,
        message: &str,
        outcome: &str,
        at: Timestamp,
        took: Duration,
        facts: Map<String, Value>,
        metrics: &[Metric],
    ) {
        let duration = Metric {
            name: "duration",
            unit: "Milliseconds",
            value: (took.as_secs_f64() * 1e6).round() / 1e3,
        };
        let all: Vec<Metric> = [duration]
            .into_iter()
            .chain(metrics.iter().copied())
            .collect();
        let definitions: Vec<Value> = all
            .iter()
            .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": at.millis(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function"], ["function", "outcome"]],
                    "Metrics": definitions,
                }],
            },
            "level": "INFO",
            "message": message,
            "function": self.function,
            "outcome": outcome,
        });
        if let Value::Object(members) = &mut line {
            members.extend(
                all.iter()
                    .map(|metric| (metric.name.to_owned(), json!(metric.value))),
            );
            members.extend(facts);
        }
        (self.sink)(&line.to_string());
    }
}

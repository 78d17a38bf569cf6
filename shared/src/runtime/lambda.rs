//! Serving on Lambda: a router, a scheduled job, the batches of a queue.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use lambda_http::request::LambdaRequest;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::queue::{Batch, BatchReport};
use super::telemetry::{Metric, Telemetry};
use crate::domain::time::Timestamp;
use crate::http::page::harden;
use crate::http::problem::{Code, OutcomeName, Problem};
use crate::http::request::RequestFacts;
use crate::ports::Clock;

/// A scheduled invocation: `{"job": "<name>"}`, as the template's schedules send it.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// What is to be done.
    pub job: String,
}

/// What a job did, for its log line.
#[derive(Clone, Debug, Default)]
pub struct JobReport {
    /// The outcome's name.
    pub outcome: &'static str,
    /// What else is worth a member of the line.
    pub facts: Map<String, Value>,
    /// Numbers for metrics.
    pub metrics: Vec<Metric>,
}

/// Adds to a function's routes what all have in common: a log line per request, headers that
/// every answer carries, and problems for paths and methods that are not there.
pub fn with_telemetry(router: Router, telemetry: Telemetry, clock: Arc<dyn Clock>) -> Router {
    router
        .fallback(async || Problem::new(Code::NotFound, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "the path does not answer this method",
            )
        })
        .layer(from_fn(move |request: Request, next: Next| {
            let (telemetry, clock) = (telemetry.clone(), Arc::clone(&clock));
            async move { log_request(request, next, &telemetry, &*clock).await }
        }))
}

async fn log_request(
    mut request: Request,
    next: Next,
    telemetry: &Telemetry,
    clock: &dyn Clock,
) -> Response {
    let (at, started) = (clock.now(), clock.monotonic());
    let request_id = request
        .extensions()
        .get::<lambda_http::Context>()
        .map(|context| context.request_id.clone());
    // The pattern and not the path: paths carry tickets and user ids.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str);
    let route = format!("{} {route}", request.method());
    let facts = RequestFacts::new(request_id);
    request.extensions_mut().insert(facts.clone());

    let mut response = next.run(request).await;
    harden(response.headers_mut());

    let outcome = response
        .extensions()
        .get::<OutcomeName>()
        .map_or("ok", |name| name.0);
    let mut members = Map::new();
    let facts = facts.known();
    members.insert("request_id".into(), json!(facts.request_id));
    members.insert("route".into(), json!(route));
    members.insert("status".into(), json!(response.status().as_u16()));
    members.insert("workspace".into(), json!(facts.workspace));
    members.insert("key".into(), json!(facts.key));
    members.insert("connection".into(), json!(facts.connection));
    let took = clock.monotonic().saturating_sub(started);
    let bulk_reads = Metric {
        name: "bulk_reads",
        unit: "Count",
        value: facts.bulk_reads as f64,
    };
    let metrics = [bulk_reads];
    let metrics = metrics.iter().filter(|metric| metric.value > 0.0);
    let metrics: Vec<_> = metrics.copied().collect();
    telemetry.line("request", outcome, at, took, members, &metrics);
    response
}

/// Runs a function that only answers HTTP.
///
/// # Errors
/// When the Lambda runtime API cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(router).await
}

/// Runs a function that answers HTTP and does a scheduled job.
///
/// # Errors
/// When the Lambda runtime API cannot be reached.
pub async fn serve_with_job<F, Fut>(
    router: Router,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    job: F,
) -> Result<(), Error>
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<JobReport, Error>> + Send,
{
    let job = Arc::new(job);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let (router, telemetry) = (router.clone(), telemetry.clone());
        let (clock, job) = (Arc::clone(&clock), Arc::clone(&job));
        async move { dispatch(event, router, &telemetry, &*clock, &*job).await }
    }))
    .await
}

/// Runs a function that does a scheduled job and works off queues.
///
/// # Errors
/// When the Lambda runtime API cannot be reached.
pub async fn serve_jobs<S, SFut, Q, QFut>(
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    scheduled: S,
    queued: Q,
) -> Result<(), Error>
where
    S: Fn(Job) -> SFut + Send + Sync + 'static,
    SFut: Future<Output = Result<JobReport, Error>> + Send,
    Q: Fn(Batch) -> QFut + Send + Sync + 'static,
    QFut: Future<Output = BatchReport> + Send,
{
    let (scheduled, queued) = (Arc::new(scheduled), Arc::new(queued));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let (telemetry, clock) = (telemetry.clone(), Arc::clone(&clock));
        let (scheduled, queued) = (Arc::clone(&scheduled), Arc::clone(&queued));
        async move {
            if event.payload.get("Records").is_some() {
                answer_batch(event, &telemetry, &*clock, &*queued).await
            } else {
                answer_schedule(event, &telemetry, &*clock, &*scheduled).await
            }
        }
    }))
    .await
}

/// Answers one HTTP event of the gateway.
///
/// # Errors
/// When the event is not one.
pub async fn answer(router: Router, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let request: LambdaRequest = serde_json::from_value(event.payload)?;
    let service = tower::service_fn(move |request: lambda_http::Request| {
        let router = router.clone();
        async move { router.oneshot(request).await }
    });
    let answer = lambda_http::Adapter::from(service)
        .oneshot(LambdaEvent::new(request, event.context))
        .await?;
    Ok(serde_json::to_value(answer)?)
}

async fn dispatch<F, Fut>(
    event: LambdaEvent<Value>,
    router: Router,
    telemetry: &Telemetry,
    clock: &dyn Clock,
    job: &F,
) -> Result<Value, Error>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Result<JobReport, Error>>,
{
    if event.payload.get("job").is_none() {
        return answer(router, event).await;
    }
    answer_schedule(event, telemetry, clock, job).await
}

async fn answer_schedule<F, Fut>(
    event: LambdaEvent<Value>,
    telemetry: &Telemetry,
    clock: &dyn Clock,
    job: &F,
) -> Result<Value, Error>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Result<JobReport, Error>>,
{
    let asked: Job = serde_json::from_value(event.payload)?;
    let started = Started::now(clock);
    let name = asked.job.clone();
    let result = job(asked).await;
    let report = match &result {
        Ok(report) => report.clone(),
        Err(error) => {
            tracing::error!(job = name, error = %error, "job failed");
            JobReport {
                outcome: "failed",
                ..JobReport::default()
            }
        }
    };
    started.tell(telemetry, clock, &event.context, &name, report);
    result.map(|_| Value::Null)
}

/// Answers one event of a queue's event source mapping.
///
/// # Errors
/// When the event is not one.
pub async fn answer_batch<F, Fut>(
    event: LambdaEvent<Value>,
    telemetry: &Telemetry,
    clock: &dyn Clock,
    queued: &F,
) -> Result<Value, Error>
where
    F: Fn(Batch) -> Fut,
    Fut: Future<Output = BatchReport>,
{
    let batch: Batch = serde_json::from_value(event.payload)?;
    let started = Started::now(clock);
    let report = queued(batch).await;
    let answer = report.answer();
    started.tell(
        telemetry,
        clock,
        &event.context,
        "batch",
        report.into_report(),
    );
    Ok(answer)
}

/// When a job began.
struct Started {
    at: Timestamp,
    since: Duration,
}

impl Started {
    fn now(clock: &dyn Clock) -> Self {
        Self {
            at: clock.now(),
            since: clock.monotonic(),
        }
    }

    /// Writes the job's line.
    fn tell(
        self,
        telemetry: &Telemetry,
        clock: &dyn Clock,
        context: &Context,
        name: &str,
        mut report: JobReport,
    ) {
        let facts = &mut report.facts;
        facts.insert("request_id".into(), json!(context.request_id));
        facts.insert("job".into(), json!(name));
        let took = clock.monotonic().saturating_sub(self.since);
        telemetry.line(
            "job",
            report.outcome,
            self.at,
            took,
            report.facts,
            &report.metrics,
        );
    }
}

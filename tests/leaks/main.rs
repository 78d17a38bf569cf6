//! What the deployed stack still holds once the end-to-end tests have used it, and what it has
//! answered them: no secret, one event a change, no job that failed, one log line a request.
//!
//! Cargo runs test targets in the order of their names, so this one comes after `e2e`. What it
//! looks at is what those stories left, and a few flows that it leaves half-way itself; without
//! a deployed stack, or one that no story has used, it fails.

mod evidence;
mod search;
#[path = "../e2e/stack/mod.rs"]
#[expect(
    dead_code,
    reason = "the stories' harness can do more than is needed here"
)]
mod stack;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::crypto::hash::digest_of;
use shared::domain::app::API_KEY_PREFIX;

use evidence::{STACK, Secret, dump, parsed, secrets};
use search::Searcher;

#[tokio::test]
async fn h40_h81_no_table_queue_or_log_holds_a_secret_in_any_encoding() {
    let dump = dump().await;
    let secrets = secrets(dump).await;
    let count = |kinds: &[&str]| {
        let among = secrets.iter().filter(|secret| kinds.contains(&secret.kind));
        among.count()
    };
    assert!(
        count(&["access token", "refresh token"]) >= 20,
        "the stories got hardly any token"
    );
    for kind in [
        "authorization code",
        "state",
        "code verifier",
        "client secret",
    ] {
        assert!(count(&[kind]) > 0, "the provider was shown no {kind}");
    }
    let keys: Vec<_> = secrets
        .iter()
        .filter(|secret| secret.value.starts_with(API_KEY_PREFIX))
        .collect();
    assert!(!keys.is_empty(), "the stories noted no API key");

    let refused = |page: bool| {
        let refusals = dump.received.iter();
        refusals
            .filter(|one| one.body.contains("<h1>") == page)
            .count()
    };
    assert!(
        refused(true) >= 50 && refused(false) >= 50,
        "the stories were refused hardly anything"
    );

    // Of an API key the hash is kept. Found as bytes and as hex, it shows that this search of
    // this dump finds what is there.
    let hashes: Vec<_> = keys
        .iter()
        .map(|key| ("hash".to_owned(), digest_of(key.value.as_bytes()).to_vec()))
        .collect();
    let kept = dump.search(&Searcher::new(hashes));
    for encoding in ["as it is", "in hex"] {
        assert!(
            kept.iter().any(|found| found.contains(encoding)),
            "the search did not find the hash of an API key {encoding}"
        );
    }

    let wanted = secrets.iter().map(Secret::telling_part);
    let found = dump.search(&Searcher::new(wanted));
    assert!(
        found.is_empty(),
        "{} times:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The stack is told to log everything. At TRACE the Lambda runtime logs whole requests, and the
/// SDKs whole bodies, so a release has that level no more.
#[tokio::test]
async fn h81_told_to_trace_the_functions_log_down_to_debug_and_no_further() {
    let logs = &dump().await.logs;
    for (name, group) in &STACK.log_groups {
        let lines = logs[group].iter().filter_map(|line| parsed(line));
        let levels: BTreeSet<_> = lines
            .filter_map(|line| line["level"].as_str().map(str::to_owned))
            .collect();
        assert!(levels.contains("DEBUG"), "{name}: {levels:?}");
        assert!(!levels.contains("TRACE"), "{name}: {levels:?}");
    }
}

#[tokio::test]
async fn every_change_is_told_under_an_id_of_its_own_and_without_a_secret() {
    let mut changes: BTreeMap<String, Value> = BTreeMap::new();
    let mut types = BTreeSet::new();
    for body in dump().await.messages(&STACK.events_queue_url) {
        let event = parsed(body).expect("an event is JSON");
        assert_eq!(event["source"], "grantry", "{event}");
        assert_eq!(event["detail-type"], event["detail"]["type"], "{event}");
        let detail = &event["detail"];
        for member in ["id", "time", "workspace_id", "connector_id", "type"] {
            let text = detail[member].as_str();
            assert!(
                text.is_some_and(|text| !text.is_empty()),
                "no {member}: {detail}"
            );
        }
        assert_eq!(secret_members(detail), [""; 0], "{detail}");
        types.insert(detail["type"].as_str().unwrap().to_owned());
        // Delivery is at least once: the same id may come again, and says the same then.
        let id = detail["id"].as_str().unwrap().to_owned();
        let first = changes.entry(id).or_insert_with(|| detail.clone());
        assert_eq!(first, detail, "one id for two changes");
    }
    for wanted in [
        "connector.created",
        "connector.updated",
        "connection.connected",
        "connection.reconnected",
        "connection.reconnect_required",
        "connection.disconnected",
    ] {
        assert!(types.contains(wanted), "no {wanted} among {types:?}");
    }
    let mut told = BTreeMap::new();
    for (id, mut change) in changes {
        change.as_object_mut().unwrap().remove("id");
        if let Some(other) = told.insert(change.to_string(), id.clone()) {
            panic!("one change under the ids {other} and {id}: {change}");
        }
    }
}

#[tokio::test]
async fn no_job_ended_in_a_dead_letter_queue() {
    for url in &STACK.dlq_urls {
        assert_eq!(dump().await.messages(url), [""; 0], "{url}");
    }
}

#[tokio::test]
async fn every_request_left_one_line_in_its_functions_log() {
    let logs = &dump().await.logs;
    for (name, function) in &STACK.functions {
        let group = &logs[&STACK.log_groups[name]];
        let mut logged = BTreeMap::new();
        let mut kinds = BTreeSet::new();
        for line in group.iter().filter_map(|line| parsed(line)) {
            let (kind, subject) = match line["message"].as_str() {
                Some("request") => ("request", "route"),
                Some("job") => ("job", "job"),
                _ => continue,
            };
            for member in ["request_id", subject, "outcome"] {
                let text = line[member].as_str();
                assert!(
                    text.is_some_and(|text| !text.is_empty()),
                    "no {member}: {line}"
                );
            }
            assert!(
                line["duration"].as_f64().is_some_and(|it| it >= 0.0),
                "{line}"
            );
            assert_eq!(line["function"], **function, "{line}");
            let metrics = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(metrics["Namespace"], "Grantry", "{line}");
            let id = line["request_id"].as_str().unwrap().to_owned();
            kinds.insert(kind);
            assert!(
                logged.insert(id, line.clone()).is_none(),
                "a second line: {line}"
            );
        }
        let wanted: &[&str] = match name.as_str() {
            "token-refresher" => &["job"],
            "disconnect" => &["request", "job"],
            _ => &["request"],
        };
        assert!(
            wanted.iter().all(|kind| kinds.contains(kind)),
            "{name} logged only {kinds:?}"
        );

        let invoked: BTreeSet<_> = group.iter().filter_map(|line| invocation(line)).collect();
        let silent: Vec<_> = invoked
            .iter()
            .filter(|id| !logged.contains_key(**id))
            .collect();
        assert!(
            silent.len() <= killed(function, &logs["ministack.log"]),
            "{name} did not log {silent:?}"
        );
        assert!(
            logged.keys().all(|id| invoked.contains(id.as_str())),
            "{name}"
        );
    }
}

/// The request id in the line with which the platform begins an invocation.
fn invocation(line: &str) -> Option<&str> {
    line.strip_prefix("START RequestId: ")?.split(' ').next()
}

/// How many invocations ended with their process: one story kills some, and the dead log nothing.
fn killed(function: &str, emulator: &[String]) -> usize {
    let notice = format!("Lambda {function}: Runtime exited before returning a response");
    emulator
        .iter()
        .filter(|line| line.contains(&notice))
        .count()
}

/// The members, at any depth, whose name promises a secret.
fn secret_members(value: &Value) -> Vec<&str> {
    const SECRET: [&str; 9] = [
        "token",
        "secret",
        "code",
        "verifier",
        "state",
        "password",
        "credential",
        "cookie",
        "key",
    ];
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let named = SECRET.iter().any(|word| name.to_lowercase().contains(word));
                let own = named.then_some(name.as_str());
                own.into_iter().chain(secret_members(value))
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(secret_members).collect(),
        _ => Vec::new(),
    }
}

//! infra/examples/signed-webhooks.yaml, whose function runs here as it stands there (`endpoint.py`),
//! and the receiver of docs/EVENTS.md.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tidy::source::read;
use crate::world::World;

/// A Monday. The function's clock stands wherever a step sets it.
const NOW: i64 = 1_795_420_800;
const CURRENT: &str = "whsec_VGhlIHNlY3JldCB0aGF0IHNpZ25zIG5vdyBhbmQgaGVyZQ==";
/// As the template makes one: without the prefix.
const PREVIOUS: &str = "VGhlIHNlY3JldCB0aGF0IHNpZ25lZCB1bnRpbCBub3cu";

/// What the endpoint was sent, and how each call of the function ended: what was raised, if anything.
#[derive(Deserialize)]
struct Run {
    received: Vec<Webhook>,
    outcomes: Vec<Option<String>>,
}

#[derive(Clone, Deserialize)]
struct Webhook {
    line: String,
    headers: serde_json::Map<String, Value>,
    body: String,
}

impl Webhook {
    fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap()
    }

    /// Whether one of its signatures is that of a secret.
    fn verifies(&self, secret: &str) -> bool {
        let (id, sent) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = format!("{id}.{sent}.{}", self.body);
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
        self.header("webhook-signature").split(' ').any(|one| {
            let tag = STANDARD.decode(one.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
        })
    }

    fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.insert(header.into(), value.into());
        self
    }
}

/// A call of the function, which the endpoint answers with 200.
fn step(at: i64, event: &Value) -> Value {
    json!({"at": at, "event": event, "answer": 200, "secrets": {"AWSCURRENT": CURRENT}})
}

fn event() -> Value {
    json!({"id": "Q2hhbmdlLW9uZQ", "type": "connector.created", "name": "Zoë \u{1f980}"})
}

/// The lines of a file after one and as far as they are indented, without that.
fn block(text: &str, after: &str, indent: &str) -> String {
    let (_, lines) = text.split_once(after).expect(after);
    let lines = lines.lines();
    let block = lines.take_while(|line| line.is_empty() || line.starts_with(indent));
    let lines = block.map(|line| line.strip_prefix(indent).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What a Python program prints, which is told its work as JSON.
fn python(program: &str, work: &Value) -> Value {
    let mut process = Command::new("python3")
        .args(["-B", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    let mut input = process.stdin.take().unwrap();
    input.write_all(work.to_string().as_bytes()).unwrap();
    drop(input);
    let done = process.wait_with_output().unwrap();
    assert!(done.status.success());
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Calls the function once a step, at an endpoint with a certificate of
/// shared/src/oauth/http_client.
fn run_at(certificate: &str, steps: &[Value]) -> Run {
    let template = read("infra/examples/signed-webhooks.yaml");
    let folder = "/../shared/src/oauth/http_client/certificates";
    let work = json!({
        "code": block(&template, "ZipFile: |\n", &" ".repeat(10)),
        "certificates": format!("{}{folder}", env!("CARGO_MANIFEST_DIR")),
        "certificate": certificate,
        "steps": steps,
    });
    let run = python(include_str!("webhooks/endpoint.py"), &work);
    serde_json::from_value(run).unwrap()
}

fn run(steps: &[Value]) -> Run {
    run_at("localhost", steps)
}

/// What the receiver of docs/EVENTS.md says of a call at a time.
fn taken(webhook: &Webhook, at: i64) -> bool {
    const RECEIVE: &str = r"
import json, sys, time
work = json.load(sys.stdin)
time.time = lambda: work['at']
page = {}
exec(work['code'], page)
print(json.dumps(page['verified'](work['body'].encode(), work['headers'], work['secret'])))
";
    let page = read("docs/EVENTS.md");
    let (_, code) = page.split_once("\n```python\n").unwrap();
    let (code, _) = code.split_once("\n```\n").unwrap();
    let (headers, body) = (&webhook.headers, &webhook.body);
    let work = json!({"code": code, "at": at, "headers": headers, "body": body, "secret": CURRENT});
    python(RECEIVE, &work).as_bool().unwrap()
}

/// H-87.
#[tokio::test]
async fn h87_a_webhook_is_signed_over_id_time_and_body_and_carries_no_token() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    world.token("alice", &connector).await;
    world.disconnect("alice", &connector).await;
    let events = world.bus.events();
    let events: Vec<_> = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap())
        .collect();
    assert!(events.len() >= 3);

    let steps: Vec<_> = events.iter().map(|event| step(NOW, event)).collect();
    let run = run(&steps);
    assert!(run.outcomes.iter().all(Option::is_none));
    assert_eq!(run.received.len(), events.len());
    let secrets = world.provider.issued_secrets();
    assert!(secrets.len() >= 4);
    for (webhook, event) in run.received.iter().zip(&events) {
        assert_eq!(webhook.line, "POST /hooks?of=grantry");
        assert_eq!(webhook.header("content-type"), "application/json");
        assert_eq!(
            serde_json::from_str::<Value>(&webhook.body).unwrap(),
            *event
        );
        assert_eq!(webhook.header("webhook-id"), event["id"].as_str().unwrap());
        assert_eq!(webhook.header("webhook-timestamp"), NOW.to_string());
        assert!(webhook.verifies(CURRENT) && !webhook.verifies(PREVIOUS));
        let told = format!("{} {:?}", webhook.body, webhook.headers);
        for secret in &secrets {
            assert!(!told.contains(&secret.value), "{}", secret.value);
        }
        for changed in ["webhook-id", "webhook-timestamp"] {
            assert!(
                !webhook
                    .clone()
                    .with(changed, "1795420801")
                    .verifies(CURRENT)
            );
        }
        let mut other = webhook.clone();
        other.body.push(' ');
        assert!(!other.verifies(CURRENT));
    }
}

/// H-87.
#[test]
fn h87_after_a_rotation_both_secrets_sign_and_a_kept_one_lasts_five_minutes() {
    let rotated = |at| {
        let mut step = step(at, &event());
        step["secrets"] = json!({"AWSCURRENT": CURRENT, "AWSPREVIOUS": PREVIOUS});
        step
    };
    let mut before = step(NOW, &event());
    before["secrets"] = json!({"AWSCURRENT": PREVIOUS});
    let run = run(&[before, rotated(NOW + 299), rotated(NOW + 300)]);
    let verified: Vec<_> = run
        .received
        .iter()
        .map(|webhook| [CURRENT, PREVIOUS].map(|secret| webhook.verifies(secret)))
        .collect();
    assert_eq!(verified, [[false, true], [false, true], [true, true]]);
}

/// H-87: Lambda calls again, and keeps for the queue, what raises.
#[test]
fn h87_what_is_not_taken_is_raised_once_and_tells_neither_body_nor_secret() {
    let refusals = [301, 307, 400, 410, 429, 500, 503];
    let steps = refusals.map(|answer| {
        let mut step = step(NOW, &event());
        step["answer"] = answer.into();
        step
    });
    let run = run(&steps);
    // Not even a redirect is a second call.
    assert_eq!(run.received.len(), refusals.len());
    for (answer, raised) in refusals.iter().zip(&run.outcomes) {
        let raised = raised.as_ref().unwrap();
        let told = format!("RuntimeError: the endpoint answered {answer}\n");
        assert!(raised.ends_with(&told), "{raised}");
        for kept in [&CURRENT[6..], "Q2hhbmdlLW9uZQ", "connector.created"] {
            assert!(!raised.contains(kept), "{raised}");
        }
    }
    // Nor what is no secret, nor that there is none.
    let mut wrong = step(NOW, &event());
    wrong["secrets"] = json!({"AWSCURRENT": "no base64, but confidential"});
    let mut missing = step(NOW, &event());
    missing["secrets"] = json!({});
    let run = self::run(&[wrong, missing]);
    assert!(run.received.is_empty());
    for raised in &run.outcomes {
        assert!(!raised.as_ref().unwrap().contains("confidential"));
    }
}

/// H-87.
#[test]
fn h87_h30_an_endpoint_that_does_not_prove_its_name_is_sent_nothing() {
    for certificate in ["expired", "other_host"] {
        let run = run_at(certificate, &[step(NOW, &event())]);
        let raised = run.outcomes[0].as_ref().unwrap();
        assert!(raised.contains("CERTIFICATE_VERIFY_FAILED"), "{raised}");
        assert!(run.received.is_empty());
    }
}

/// A-27.
#[test]
fn a27_a_call_made_again_has_its_id_and_another_time_that_nobody_else_can_give_it() {
    let run = run(&[step(NOW, &event()), step(NOW + 3600, &event())]);
    let [first, again] = &run.received[..] else {
        panic!("two calls");
    };
    assert_eq!(first.body, again.body);
    let ids: BTreeSet<_> = run
        .received
        .iter()
        .map(|it| it.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 1);
    assert_ne!(
        first.header("webhook-signature"),
        again.header("webhook-signature")
    );
    assert!(first.verifies(CURRENT) && again.verifies(CURRENT));
    let later = again.header("webhook-timestamp");
    assert!(
        !first
            .clone()
            .with("webhook-timestamp", later)
            .verifies(CURRENT)
    );
}

/// A-27: the receiver that docs/EVENTS.md has.
#[test]
fn a27_a_webhook_is_refused_when_it_is_more_than_five_minutes_old_or_changed() {
    let run = run(&[step(NOW, &event())]);
    let webhook = &run.received[0];
    for (at, expected) in [
        (NOW - 301, false),
        (NOW - 300, true),
        (NOW, true),
        (NOW + 300, true),
        (NOW + 301, false),
    ] {
        assert_eq!(taken(webhook, at), expected, "{}", at - NOW);
    }
    let signature = webhook.header("webhook-signature");
    let rotated = format!("v1,bm90IGl0 {signature} v2,bm90IGl0");
    assert!(taken(
        &webhook.clone().with("webhook-signature", &rotated),
        NOW
    ));
    let unknown = signature.replace("v1,", "v2,");
    for (header, value) in [
        ("webhook-signature", unknown.as_str()),
        ("webhook-signature", ""),
        ("webhook-id", "another"),
        ("webhook-timestamp", "1795420801"),
    ] {
        assert!(
            !taken(&webhook.clone().with(header, value), NOW),
            "{header}"
        );
    }
    let mut other = webhook.clone();
    other.body = other.body.replace("created", "deleted");
    assert!(!taken(&other, NOW));
}

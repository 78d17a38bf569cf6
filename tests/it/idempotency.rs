//! `Idempotency-Key` (H-85): a change that is asked for again is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::idempotency::ANSWER_LIFETIME;
use shared::ports::{Clock as _, Entropy as _};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::entropy::SeededEntropy;
use testkit::fake_kms::KmsState;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::isolation::matrix::{Scene, own_calls};
use crate::template::Template;
use crate::world::{Answer, Call, World};

/// Routes that change nothing, whatever their method, and those that a browser walks.
const WITHOUT: [&str; 5] = [
    "POST /v1/connectors/{connector_id}/scope-plan",
    "POST /v1/tokens",
    "POST /v1/oauth/token",
    "POST /oauth/callback/{connector_id}",
    "POST /oauth/confirm",
];

fn is_repeated(answer: &Answer) -> bool {
    answer
        .headers
        .get("idempotency-replayed")
        .map(String::as_str)
        == Some("true")
}

/// The answer without what says that it was given before.
fn content(answer: &Answer) -> (u64, Value, BTreeMap<String, String>) {
    let mut headers = answer.headers.clone();
    headers.remove("idempotency-replayed");
    (answer.status, answer.body.clone(), headers)
}

fn new_key(name: &str) -> Call {
    let make = Call::post("/v1/apps/shop/keys").json(&json!({"name": name}));
    make.admin_of("acme")
}

async fn keys(world: &World) -> usize {
    let list = Call::get("/v1/apps/shop/keys").admin_of("acme");
    let list = world.send(list).await.expect_status(200);
    list.body["items"].as_array().unwrap().len()
}

/// A route that forgets the header fails here.
#[tokio::test]
async fn h85_every_route_that_changes_something_repeats_its_answer() {
    let routes = Template::read().routes();
    let routes = routes.keys().map(|(route, _)| route.as_str());
    let mut left: BTreeSet<_> = routes
        .filter(|route| !route.starts_with("GET ") && !WITHOUT.contains(route))
        .collect();
    let own: BTreeMap<_, _> = own_calls().collect();
    for route in left.clone() {
        let scene = Scene::set().await;
        let call = match route {
            "POST /v1/connectors" => {
                let body = scene.world.connector_body(&["read"]);
                Call::post("/v1/connectors").admin_of("acme").json(&body)
            }
            "POST /v1/connectors/{connector_id}/connect/complete" => {
                let body = json!({"code": "no code of ours"});
                let path = format!("/v1/connectors/{}/connect/complete", scene.own.shared);
                Call::post(&path).admin_of("acme").json(&body)
            }
            "POST /v1/me/connections/complete" => {
                let body = json!({"code": "no code of ours"});
                Call::post("/v1/me/connections/complete")
                    .user("alice")
                    .json(&body)
            }
            _ => own[route](&scene.own).with_key(&scene.world.key_of("acme", "shop")),
        };
        let call = call.header("idempotency-key", "one");
        let first = scene.world.send(call.clone()).await;
        let second = scene.world.send(call.clone()).await;
        assert!(
            !is_repeated(&first) && is_repeated(&second),
            "{route}: {second:?}"
        );
        assert_eq!(content(&first), content(&second), "{route}");
        let other = call.header("if-match", "\"77\"");
        let other = scene.world.send(other).await;
        other.expect_problem(422, "idempotency_key_reused");
        left.remove(route);
    }
    assert!(left.is_empty(), "{left:?}");
}

/// Random requests with few keys, against a list of what was answered.
#[tokio::test]
async fn h85_in_any_order_each_request_is_done_once_and_keeps_its_answer_for_a_day() {
    for seed in 0..8 {
        let world = World::start().await;
        let entropy = SeededEntropy::new(seed);
        let draw = |below: u8| {
            let mut byte = [0];
            entropy.fill(&mut byte);
            byte[0] % below
        };
        let mut done = BTreeMap::<[u8; 3], (u8, Answer, _)>::new();
        let (mut made, mut repeated, mut refused) = (0, 0, 0);
        for step in 0..150 {
            let (who, place, key, body) = (draw(3), draw(2), draw(3), draw(2));
            let call = if place == 0 {
                let mut content = world.connector_body(&["read"]);
                content["name"] = json!(format!("Files {body}"));
                Call::post("/v1/connectors").json(&content)
            } else {
                let content = json!({"name": format!("Shop {body}"), "return_urls": []});
                Call::put("/v1/apps/other").json(&content)
            };
            let (sub, workspace) =
                [("root", "acme"), ("root", "globex"), ("second", "acme")][usize::from(who)];
            let claims = json!({
                "sub": sub, "workspace_id": workspace, "role": "owner", "plan": "builder",
            });
            let call = call
                .claims(claims)
                .header("idempotency-key", &format!("key {key}"));
            let answer = world.send(call).await;
            let now = world.clock.now();
            let of = format!("seed {seed}, step {step}: {answer:?}");
            let known = done.get(&[who, place, key]);
            let known = known.filter(|(_, _, until)| now < *until);
            match known {
                Some((first, kept, _)) if *first == body => {
                    assert!(is_repeated(&answer), "{of}");
                    assert_eq!(content(&answer), content(kept), "{of}");
                    repeated += 1;
                }
                Some(_) => {
                    answer.expect_problem(422, "idempotency_key_reused");
                    refused += 1;
                }
                None => {
                    assert!(!is_repeated(&answer) && answer.status < 300, "{of}");
                    made += usize::from(place == 0);
                    let until = now.after(ANSWER_LIFETIME);
                    done.insert([who, place, key], (body, answer, until));
                }
            }
            if draw(10) == 0 {
                world
                    .clock
                    .advance(Duration::from_secs(u64::from(draw(7)) * 3600));
            }
        }
        let mut there = 0;
        for workspace in ["acme", "globex"] {
            let list = Call::get("/v1/connectors?limit=100").admin_of(workspace);
            let list = world.send(list).await.expect_status(200);
            there += list.body["items"].as_array().unwrap().len();
        }
        assert_eq!(there, made, "seed {seed}");
        assert!(
            repeated > 20 && refused > 20,
            "seed {seed}: {repeated}, {refused}"
        );
    }
}

#[tokio::test]
async fn h85_a_key_that_is_shown_once_is_shown_again_to_who_repeats_and_stored_sealed() {
    let clock = ManualClock::new();
    let engine = LocalDynamo::start(&clock, 2).await;
    let world = World::on(engine.store.clone(), clock).await;
    let call = new_key("second").header("idempotency-key", "k");
    let first = world.send(call.clone()).await.expect_status(201);
    let again = world.send(call).await.expect_status(201);
    assert_eq!(first.text("key"), again.text("key"));
    assert_eq!(keys(&world).await, 2);
    let stored = engine.dump().await;
    let stored: Vec<_> = stored.iter().map(Value::to_string).collect();
    let secret = first.text("key");
    assert!(stored.iter().any(|item| item.contains("\"answered\"")));
    assert!(!stored.iter().any(|item| item.contains(&secret)));
}

#[tokio::test]
async fn h85_without_the_header_nothing_is_kept_and_with_it_kms_is_asked_once() {
    let world = World::start().await;
    let calls = world.kms.calls();
    world.send(new_key("second")).await.expect_status(201);
    assert_eq!(world.kms.calls(), calls);
    for n in 1..=3 {
        let call = new_key("third").header("idempotency-key", "k");
        world.send(call).await.expect_problem(409, "too_many_keys");
        assert_eq!(world.kms.calls(), calls + n);
    }
}

#[tokio::test]
async fn h85_a_key_is_one_value_of_128_printable_characters_at_most() {
    let world = World::start().await;
    for key in ["", &"x".repeat(129), "tab\there", "caf\u{e9}"] {
        let answer = world
            .send(new_key("n").header("idempotency-key", key))
            .await;
        let answer = answer.expect_problem(400, "invalid_request");
        assert_eq!(answer.body["errors"][0]["field"], "idempotency-key");
    }
    let longest = format!("{} ~", "x".repeat(126));
    let call = new_key("n").header("idempotency-key", &longest);
    world.send(call).await.expect_status(201);
}

/// Whoever is nobody is told so, and leaves nothing behind.
#[tokio::test]
async fn h85_who_proves_no_identity_reaches_neither_the_store_nor_kms() {
    let inner = Arc::new(MemoryStore::new(2));
    let touched = Arc::new(AtomicBool::new(false));
    let hook = {
        let touched = Arc::clone(&touched);
        Arc::new(move |method: &'static str, _: Phase| {
            let of_ours = ["begin", "take_over", "finish", "give_up"];
            touched.fetch_or(of_ours.contains(&method), Ordering::Relaxed);
            None
        })
    };
    let world = World::on(FaultyStore::new(inner, hook), ManualClock::new()).await;
    let calls = world.kms.calls();
    let nobodys = json!({"sub": "x"});
    for call in [
        Call::put("/v1/apps/shop").json(&json!({})),
        Call::put("/v1/apps/shop").claims(nobodys).json(&json!({})),
        Call::delete("/v1/users/u/connections/c").bearer("gk_no.key"),
        Call::delete("/v1/users/u/connections/c"),
    ] {
        let answer = world.send(call.header("idempotency-key", "")).await;
        assert!([401, 403].contains(&answer.status), "{answer:?}");
    }
    assert!(!touched.load(Ordering::Relaxed));
    assert_eq!(world.kms.calls(), calls);
    let known = new_key("n").header("idempotency-key", "k");
    world.send(known).await.expect_status(201);
    assert!(touched.load(Ordering::Relaxed));
}

/// A role that was taken away takes the answers along that it got.
#[tokio::test]
async fn h85_an_answer_is_for_who_got_it_in_the_role_they_had() {
    let world = World::start().await;
    let call = new_key("second").header("idempotency-key", "k");
    let first = world.send(call.clone()).await.expect_status(201);
    let viewer = json!({
        "sub": "root", "workspace_id": "acme", "role": "viewer", "plan": "builder",
    });
    let refused = world.send(call.clone().claims(viewer)).await;
    refused.expect_problem(403, "forbidden");
    let other = json!({
        "sub": "other", "workspace_id": "acme", "role": "owner", "plan": "builder",
    });
    let others = world.send(call.clone().claims(other)).await;
    others.expect_problem(409, "too_many_keys");
    assert_eq!(world.send(call).await.text("key"), first.text("key"));
}

#[tokio::test]
async fn h85_while_the_first_is_under_way_the_second_waits_and_a_crashed_one_is_taken_over() {
    let crash = Arc::new(AtomicBool::new(false));
    let hook = {
        let crash = Arc::clone(&crash);
        Arc::new(move |method: &'static str, phase: Phase| {
            let now = method == "put_app" && phase == Phase::Before;
            (now && crash.load(Ordering::Relaxed)).then_some(Fault::Crash)
        })
    };
    let store = FaultyStore::new(Arc::new(MemoryStore::new(2)), hook);
    let world = World::on(store, ManualClock::new()).await;
    let body = json!({"name": "Blog", "return_urls": []});
    let put = |body: &Value| {
        let put = Call::put("/v1/apps/blog").admin_of("acme").json(body);
        put.header("idempotency-key", "k")
    };
    crash.store(true, Ordering::Relaxed);
    // Let go of at its await, which is where a function dies.
    let first = world.send(put(&body));
    assert!(futures_util::FutureExt::now_or_never(first).is_none());
    crash.store(false, Ordering::Relaxed);
    let answer = world.send(put(&body)).await;
    let answer = answer.expect_problem(409, "idempotency_in_progress");
    assert_eq!(answer.headers["retry-after"], "1");
    world.pass(59);
    let answer = world.send(put(&body)).await;
    answer.expect_problem(409, "idempotency_in_progress");
    world.pass(1);
    let other = json!({"name": "Other", "return_urls": []});
    let answer = world.send(put(&other)).await;
    answer.expect_problem(422, "idempotency_key_reused");
    let done = world.send(put(&body)).await.expect_status(201);
    assert!(!is_repeated(&done));
    assert!(is_repeated(&world.send(put(&body)).await));
}

#[tokio::test]
async fn h85_a_fault_of_ours_is_kept_by_nobody_and_a_refusal_is() {
    let world = World::start().await;
    let call = || new_key("second").header("idempotency-key", "k");
    world.kms.become_state(KmsState::Unavailable);
    for _ in 0..2 {
        let answer = world.send(call()).await;
        answer.expect_problem(503, "kms_unavailable");
    }
    // Nothing was done, and what was not done is not remembered.
    assert_eq!(keys(&world).await, 1);
    world.kms.become_state(KmsState::Serving);
    let done = world.send(call()).await.expect_status(201);
    world.kms.become_state(KmsState::Unavailable);
    world
        .send(call())
        .await
        .expect_problem(503, "kms_unavailable");
    world.kms.become_state(KmsState::Serving);
    assert_eq!(world.send(call()).await.text("key"), done.text("key"));
    let wrong = Call::put("/v1/apps/x").admin_of("acme").json(&json!({}));
    let wrong = wrong.header("idempotency-key", "k");
    let refused = world.send(wrong.clone()).await.expect_status(400);
    let again = world.send(wrong).await;
    assert!(is_repeated(&again));
    assert_eq!(content(&again), content(&refused));
}

/// Of two completions with keys of their own, the one that came second is asked to come again: it
/// gets the connection then, and not once more what it heard too early.
#[tokio::test]
async fn h85_an_answer_that_asks_for_another_try_is_not_the_last_word() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let complete = |key: &str| {
        let call = Call::post("/v1/me/connections/complete").json(&json!({"code": code}));
        world.send(call.user("alice").header("idempotency-key", key))
    };
    let (first, second) = tokio::join!(complete("one"), complete("two"));
    let (done, early) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    early.expect_problem(409, "conflict");
    for key in ["one", "two"] {
        let again = complete(key).await.expect_status(200);
        assert_eq!(again.body, done.body);
    }
}

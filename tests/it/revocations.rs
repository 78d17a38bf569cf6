//! Everything that was granted is revoked at once: no token is handed out from the answer on, and the
//! background ends the rest, wherever it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shared::domain::connection::{ConnectionStatus, RevocationOutcome};
use testkit::clock::ManualClock;
use testkit::entropy::SeededEntropy;
use testkit::fake_as::GrantState;
use testkit::faults::{Fault, FaultyStore};
use testkit::memory_store::MemoryStore;
use tokio::sync::Notify;

use crate::world::{Answer, Call, World};

async fn revoke(world: &World, body: Value) -> Answer {
    let call = Call::post("/v1/revocations").admin_of("acme").json(&body);
    world.send(call).await
}

async fn everything(world: &World) {
    let answer = revoke(world, json!({"confirm": "acme"})).await;
    answer.expect_status(202);
}

async fn view(world: &World, connector: &str) -> Value {
    let view = Call::get(&format!("/v1/connectors/{connector}")).admin_of("acme");
    world.send(view).await.expect_status(200).body
}

#[tokio::test]
async fn h89_everything_is_revoked_with_the_answer_and_ended_in_the_background() {
    let world = World::start().await;
    let (files, mail) = (
        world.connector(&["read"]).await,
        world.connector(&["write"]).await,
    );
    for user in ["alice", "bob"] {
        world.connect(user, &files).await;
    }
    world.connect("alice", &mail).await;
    let code = world.authorize("carol", "carol", &mail).await;
    world.pass(1);

    let answer = revoke(&world, json!({"confirm": "acme"})).await;
    let answer = answer.expect_status(202);
    let mut named: Vec<_> = answer.body["connectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|connector| connector["connector_id"].as_str().unwrap())
        .collect();
    let mut both = [files.as_str(), mail.as_str()];
    named.sort_unstable();
    both.sort_unstable();
    assert_eq!(named, both);
    assert_eq!(world.bus.types().last(), Some(&"connections.revoked"));

    // Before the background has come.
    for (user, connector) in [("alice", &files), ("bob", &files), ("alice", &mail)] {
        let refused = world.lookup(user, connector).await;
        refused.expect_problem(404, "not_connected");
        let status = world.status(user, connector).await;
        assert_eq!(status["status"], "not_connected");
    }
    let refused = world.complete("carol", &code).await;
    refused.expect_problem(409, "conflict");
    let shown = view(&world, &files).await;
    assert_eq!(shown["status"], "enabled");
    assert_eq!(shown["revocation"]["remaining"], 2);
    assert_eq!(shown["connections"]["disconnecting"], 2);

    for _ in 0..2 {
        world.tick_revoker().await;
    }
    for user in ["alice", "bob"] {
        assert_eq!(world.provider.grant_state(user), GrantState::Revoked);
    }
    assert_eq!(view(&world, &files).await["revocation"]["remaining"], 0);
    let audit = Call::get("/v1/audit?action=connections.revoked").admin_of("acme");
    let audit = world.send(audit).await.expect_status(200);
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 2);

    // Who connects again stays connected, also when the work is over.
    world.connect("alice", &files).await;
    world.pass(61);
    assert_eq!(world.tick_revoker().await["connectors_revoked"], 2);
    world.pass(61);
    assert_eq!(world.tick_revoker().await["connectors_revoked"], 0);
    world.token("alice", &files).await;
    assert_eq!(view(&world, &files).await["revocation"]["remaining"], 0);
    // The client secret is the one that was there.
    world.pass(3600);
    world.token("alice", &files).await;
}

#[tokio::test]
async fn h89_one_connector_or_one_provider_is_revoked_and_the_others_go_on() {
    let world = World::start().await;
    let (files, mail) = (
        world.connector(&["read"]).await,
        world.connector(&["read"]).await,
    );
    for connector in [&files, &mail] {
        world.connect("alice", connector).await;
    }
    let nobody = revoke(&world, json!({"provider": "google", "confirm": "acme"})).await;
    assert_eq!(nobody.expect_status(202).body["connectors"], json!([]));
    world.token("alice", &files).await;
    let one = json!({"connector_id": files, "confirm": "acme"});
    revoke(&world, one).await.expect_status(202);
    let refused = world.lookup("alice", &files).await;
    refused.expect_problem(404, "not_connected");
    world.tick_revoker().await;
    world.token("alice", &mail).await;
    let all_of_it = json!({"provider": "custom", "confirm": "acme"});
    revoke(&world, all_of_it).await.expect_status(202);
    let refused = world.lookup("alice", &mail).await;
    refused.expect_problem(404, "not_connected");
}

#[tokio::test]
async fn h89_only_who_may_change_and_confirms_revokes_and_no_plan_is_needed() {
    let world = World::start().await;
    let files = world.connector(&["read"]).await;
    world.connect("alice", &files).await;
    for (body, status, code) in [
        (json!({}), 400, "confirmation_required"),
        (json!({"confirm": "Acme"}), 400, "confirmation_required"),
        (
            json!({"confirm": "acme", "provider": "gogle"}),
            400,
            "invalid_request",
        ),
        (
            json!({"confirm": "acme", "provider": "custom", "connector_id": files}),
            400,
            "invalid_request",
        ),
        (
            json!({"confirm": "acme", "connector_id": "nobodys"}),
            404,
            "not_found",
        ),
    ] {
        revoke(&world, body).await.expect_problem(status, code);
    }
    let of = |role: &str, plan: &str| {
        let claims = json!({"sub": "root", "workspace_id": "acme", "role": role, "plan": plan});
        let call = Call::post("/v1/revocations").claims(claims);
        call.json(&json!({"confirm": "acme"}))
    };
    let viewer = world.send(of("viewer", "elite")).await;
    viewer.expect_problem(403, "forbidden");
    world.token("alice", &files).await;
    world.send(of("admin", "free")).await.expect_status(202);
    let refused = world.lookup("alice", &files).await;
    refused.expect_problem(404, "not_connected");
}

#[tokio::test]
async fn h89_who_connects_before_the_background_came_is_kept_and_the_earlier_grant_is_revoked() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let earlier = world.stored("alice", &connector).await.unwrap().id;
    world.pass(1);
    everything(&world).await;
    world.connect("alice", &connector).await;
    let now = world.stored("alice", &connector).await.unwrap().id;
    assert_ne!(now, earlier, "another connection");
    for _ in 0..3 {
        world.pass(61);
        world.tick_revoker().await;
    }
    let grants = world.provider.grants();
    let states: Vec<_> = grants.iter().map(|grant| grant.state).collect();
    assert_eq!(states, [GrantState::Revoked, GrantState::Live]);
    world.token("alice", &connector).await;
}

/// Kills whatever uses the store at the call that it is set to.
#[derive(Default)]
struct Killer {
    calls_left: AtomicUsize,
    struck: Notify,
}

impl Killer {
    fn strike(&self) -> Option<Fault> {
        let left = self.calls_left.load(Ordering::SeqCst);
        if left == 0 {
            return None;
        }
        self.calls_left.store(left - 1, Ordering::SeqCst);
        if left > 1 {
            return None;
        }
        self.struck.notify_one();
        Some(Fault::Crash)
    }
}

/// 120 users, and a worker that is killed ten times and more, before or after any of its calls. Some
/// of its runs live longer than twenty revocations side by side need to begin.
#[tokio::test]
async fn h89_a_revocation_goes_on_wherever_its_worker_is_killed() {
    const USERS: usize = 120;
    let killer = Arc::<Killer>::default();
    let hook = Arc::clone(&killer);
    let store = FaultyStore::new(
        Arc::new(MemoryStore::new(2)),
        Arc::new(move |_, _| hook.strike()),
    );
    let world = World::on(store, ManualClock::new()).await;
    let connector = world.connector(&["read"]).await;
    let user = |n: usize| format!("user{n}");
    for n in 0..USERS {
        world.connect(&user(n), &connector).await;
    }
    world.pass(1);
    everything(&world).await;

    let chance = SeededEntropy::new(89);
    let mut kills = 0;
    loop {
        let calls = 1 + usize::from(shared::crypto::hash::random_id(&chance).as_bytes()[0] % 80);
        killer.calls_left.store(calls, Ordering::SeqCst);
        tokio::select! {
            _ = world.tick_revoker() => {}
            () = killer.struck.notified() => kills += 1,
        }
        killer.calls_left.store(0, Ordering::SeqCst);
        for n in (kills % 7..USERS).step_by(7) {
            let refused = world.lookup(&user(n), &connector).await;
            refused.expect_problem(404, "not_connected");
        }
        world.pass(60);
        if view(&world, &connector).await["revocation"]["remaining"] == 0 {
            break;
        }
        assert!(kills < 500, "it does not end");
    }
    assert!(kills >= 10, "{kills}");
    for n in 0..USERS {
        assert_eq!(world.provider.grant_state(&user(n)), GrantState::Revoked);
        let stored = world.stored(&user(n), &connector).await.unwrap();
        let ended = matches!(
            stored.status,
            ConnectionStatus::Disconnected {
                outcome: RevocationOutcome::Revoked,
                ..
            }
        );
        assert!(ended, "{stored:?}");
    }
}

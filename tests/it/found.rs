//! What the simulator found, told again by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shared::domain::time::Timestamp;
use shared::ports::{Clock as _, Connections, DueTable};
use shared::refresh::RefreshEngine;
use testkit::fake_as::{Behaviour, When};
use testkit::faults::{Fault, FaultyStore, Phase};

use crate::world::World;

/// `everything-strict`, seed 731: postponed, then refreshed while the due table did not take the
/// new entry. The sweep removed the old one all the same, and never came back.
#[tokio::test]
async fn f31_a_postponed_due_entry_stays_until_the_next_one_stands() {
    let mut world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(2880);
    let later = Behaviour::OAuthError {
        status: 503,
        code: "temporarily_unavailable".into(),
    };
    world.provider.push(When::refreshing(), later);
    assert_eq!(world.tick().await, json!({"postponed": 1}));

    let failed = AtomicBool::new(false);
    let once = move |method, phase| {
        let strikes = (method, phase) == ("add_refresh", Phase::Before);
        let strikes = strikes && !failed.swap(true, Ordering::SeqCst);
        strikes.then(Fault::unavailable)
    };
    let due: Arc<dyn DueTable> = Arc::clone(&world.engine.due);
    world.engine = RefreshEngine {
        due: Arc::new(FaultyStore::new(due, Arc::new(once))),
        ..world.engine.clone()
    };
    world.pass(60);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    world.pass(3600);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
}

/// `freeze-fixed`, seed 1580: a sandbox stood still between lease and request, its monotonic clock
/// with it, and asked under a lease that was somebody else's by then.
#[tokio::test]
async fn f37_a_worker_that_thaws_after_its_lease_asks_nobody() {
    let mut world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(2880);
    let frozen = AtomicBool::new(false);
    let clock = world.clock.clone();
    let once = move |method, phase| {
        let leased = (method, phase) == ("acquire_lease", Phase::After);
        if leased && !frozen.swap(true, Ordering::SeqCst) {
            clock.set(Timestamp::from_millis(clock.now().millis() + 60_000));
        }
        None
    };
    let connections: Arc<dyn Connections> = Arc::clone(&world.engine.connections);
    world.engine = RefreshEngine {
        connections: Arc::new(FaultyStore::new(connections, Arc::new(once))),
        ..world.engine.clone()
    };
    assert_eq!(world.tick().await, json!({}));
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
}

/// `everything-strict`, seed 26: a sandbox stood still while the provider's answer waited for it,
/// and the token's lifetime began when it thawed.
#[tokio::test]
async fn f37_a_tokens_lifetime_begins_before_it_is_asked_for() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(2880);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenHold);
    let asked_at = world.clock.now();
    let thaw = async {
        world.provider.wait_until_held(1).await;
        world.pass(120);
        world.provider.release();
    };
    let (answer, ()) = futures_util::future::join(world.tick(), thaw).await;
    assert_eq!(answer, json!({"refreshed": 1}));
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(stored.validity.issued_at, asked_at);
}

//! What the simulator found, told again by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shared::ports::DueTable;
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

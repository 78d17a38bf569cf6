//! Whoever dies between a change and its publication: every event is told, and one that may have
//! been told before has the id that it had then.

use std::sync::Arc;

use serde_json::json;
use shared::domain::ids::EventId;
use testkit::clock::ManualClock;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use super::Faults;
use crate::world::{Call, World};

struct Dying {
    world: World,
    faults: Arc<Faults>,
    /// Through which everything is done.
    connector: String,
}

impl Dying {
    async fn start() -> Self {
        let faults = Arc::<Faults>::default();
        let strikes = Arc::clone(&faults);
        let hook = Arc::new(move |method, phase| strikes.strike(method, phase));
        let store = FaultyStore::new(Arc::new(MemoryStore::new(2)), hook);
        let world = World::on(store, ManualClock::new()).await;
        let connector = world.connector(&["read"]).await;
        Self {
            world,
            faults,
            connector,
        }
    }

    /// The calls that change something, with the store's write that each dies at and what it is
    /// told by.
    async fn changes(&self) -> [(Call, &'static str, &'static str); 5] {
        let create = self.world.connector_body(&["read"]);
        let of_connector = format!("/v1/connectors/{}", self.connector);
        let code = self.world.authorize("alice", "alice", &self.connector);
        let code = json!({"code": code.await});
        let mine = format!("/v1/me/connections/{}", self.connector);
        [
            (
                Call::post("/v1/connectors").admin_of("acme").json(&create),
                "add_connector",
                "connector.created",
            ),
            (
                Call::post("/v1/me/connections/complete")
                    .user("alice")
                    .json(&code),
                "connect",
                "connection.connected",
            ),
            (
                Call::delete(&mine).user("alice"),
                "disconnect",
                "connection.disconnected",
            ),
            (
                Call::post(&format!("{of_connector}/disable")).admin_of("acme"),
                "replace_connector",
                "connector.disabled",
            ),
            (
                Call::post(&format!("{of_connector}/enable")).admin_of("acme"),
                "replace_connector",
                "connector.enabled",
            ),
        ]
    }

    async fn die(&self, at: (&'static str, Phase), call: Call) {
        self.faults.once(at.0, at.1, Fault::Crash);
        tokio::select! {
            answer = self.world.send(call) => panic!("nothing crashed: {answer:?}"),
            () = self.faults.struck.notified() => {}
        }
    }

    /// The ids of the events of this type that the bus took.
    fn told(&self, what: &str) -> Vec<EventId> {
        let events = self.world.bus.events().into_iter();
        let events = events.filter(|event| event.change.detail_type() == what);
        events.map(|event| event.id).collect()
    }

    /// What ticks do when whoever was publishing must be over.
    async fn relay(&self) {
        self.world.pass(31);
        for _ in 0..2 {
            self.world.tick().await;
        }
    }
}

#[tokio::test]
async fn who_dies_between_a_change_and_its_publication_has_told_it_all_the_same() {
    let dying = Dying::start().await;
    for (call, write, what) in dying.changes().await {
        let before = dying.told(what);
        dying.die((write, Phase::After), call).await;
        assert_eq!(dying.told(what), before, "{what}: died before");
        dying.relay().await;
        assert_eq!(dying.told(what).len(), before.len() + 1, "{what}");
    }
}

#[tokio::test]
async fn who_dies_after_the_publication_tells_it_again_under_the_same_id() {
    let dying = Dying::start().await;
    for (call, _, what) in dying.changes().await {
        let before = dying.told(what).len();
        dying.die(("remove_event", Phase::Before), call).await;
        dying.relay().await;
        let told = dying.told(what);
        assert_eq!(told.len(), before + 2, "{what}");
        assert_eq!(told[before], told[before + 1], "{what}");
    }
}

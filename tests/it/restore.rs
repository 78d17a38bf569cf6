//! The drill of a restore: connections are refreshed, a backup from before is put in their place, and
//! then there are look-ups and sweeps as on any day.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::domain::connection::ConnectionStatus;
use shared::domain::event::Change;
use shared::events::connector_event;
use shared::ports::Clock as _;
use testkit::clock::ManualClock;
use testkit::fake_as::{GrantState, Rotation};
use testkit::faults::FaultyStore;
use testkit::memory_store::MemoryStore;

use crate::world::{Call, Limits, World};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// When everybody is refreshed, counted from the beginning: their tokens last an hour.
const REFRESHED: u64 = 54 * MINUTE;
/// When the backup is put in place: its access tokens would still be good for a look-up.
const RESTORED: u64 = 56 * MINUTE;

struct Drill {
    world: World,
    connector: String,
    users: Vec<String>,
}

impl Drill {
    /// Everybody is connected, backed up, and then refreshed; carol has disconnected since. Now
    /// the backup stands in the table.
    async fn of(rotation: Rotation, config: serde_json::Value, count: usize) -> Self {
        let store = Arc::new(MemoryStore::new(2));
        let restored_at = ManualClock::new()
            .now()
            .after(Duration::from_secs(RESTORED));
        let limits = Limits {
            restored_at: Some(restored_at),
            ..Limits::default()
        };
        let faultless = FaultyStore::new(Arc::clone(&store), Arc::new(|_, _| None));
        let world = World::limited_on(faultless, limits).await;
        world
            .provider
            .configure(|settings| settings.rotation = rotation);
        let mut body = world.connector_body(&["read"]);
        let members = config.as_object().unwrap().clone();
        body["config"].as_object_mut().unwrap().extend(members);
        let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
        let connector = world.send(create).await.expect_status(201).text("id");
        let users: Vec<_> = (0..count).map(|n| format!("user{n}")).collect();
        for user in users.iter().map(String::as_str).chain(["carol"]) {
            world.connect(user, &connector).await;
        }
        let backup = store.back_up();
        world.pass(REFRESHED);
        world.tick().await;
        for user in &users {
            let stored = world.stored(user, &connector).await.unwrap();
            assert_eq!(stored.generation, 2, "refreshed since the backup");
        }
        world
            .disconnect("carol", &connector)
            .await
            .expect_status(200);
        world.pass(RESTORED - REFRESHED);
        store.restore(backup);
        let drill = Self {
            world,
            connector,
            users,
        };
        assert_eq!(drill.revocations(), 1, "carol's own");
        drill
    }

    fn revocations(&self) -> u64 {
        self.world.provider.counters().total.revoke
    }

    /// Looks everybody's token up; how many answers there were of each kind. A token that is
    /// handed out is one that the provider issued for that user.
    async fn look_up(&self) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for user in &self.users {
            let answer = self.world.lookup(user, &self.connector).await;
            let kind = match answer.status {
                200 => {
                    let token = answer.text("access_token");
                    let issued = self.world.provider.issued_secrets().into_iter();
                    let mut of = issued.filter(|secret| secret.value == token);
                    assert_eq!(&of.next().expect("issued").account, user);
                    "token".to_owned()
                }
                409 => answer.text("reason"),
                _ => answer.text("code"),
            };
            *answers.entry(kind).or_default() += 1;
        }
        answers
    }

    /// A minute and more of background work.
    async fn minute(&self) {
        self.world.pass(61);
        self.world.tick().await;
        self.world.tick_revoker().await;
    }

    fn all(&self, kind: &str) -> BTreeMap<String, usize> {
        BTreeMap::from([(kind.to_owned(), self.users.len())])
    }

    /// Carol had disconnected, and her grant is revoked: no token of hers is handed out.
    async fn carol_gets_nothing(&self) {
        for _ in 0..3 {
            let answer = self.world.lookup("carol", &self.connector).await;
            assert!(matches!(answer.status, 404 | 409 | 503), "{answer:?}");
            self.minute().await;
        }
        let answer = self.world.lookup("carol", &self.connector).await;
        let answer = answer.expect_problem(409, "reconnect_required");
        assert_eq!(answer.text("reason"), "refresh_outcome_lost");
    }
}

#[tokio::test]
async fn h90_where_the_old_refresh_token_is_good_everybody_goes_on() {
    for (rotation, config) in [
        (Rotation::None, json!({"rotation": "none"})),
        (
            Rotation::Grace { seconds: 32_400 },
            json!({"rotation": "grace", "grace_seconds": "32400"}),
        ),
    ] {
        let drill = Drill::of(rotation, config, 5).await;
        let refreshes = drill.world.provider.counters().total.refreshes();
        assert_eq!(drill.look_up().await, drill.all("token"));
        let since = drill.world.provider.counters().total.refreshes() - refreshes;
        assert_eq!(since, 5, "each is refreshed before it is handed out");
        // And proven by that.
        assert_eq!(drill.look_up().await, drill.all("token"));
        let since = drill.world.provider.counters().total.refreshes() - refreshes;
        assert_eq!(since, 5);
        for _ in 0..3 {
            drill.world.pass(HOUR);
            drill.minute().await;
            assert_eq!(drill.look_up().await, drill.all("token"));
        }
        drill.carol_gets_nothing().await;
        assert_eq!(drill.revocations(), 1);
    }
}

#[tokio::test]
async fn h90_where_it_was_rotated_since_each_is_asked_to_connect_again_and_nothing_is_revoked() {
    let drill = Drill::of(Rotation::Strict, json!({"rotation": "strict"}), 5).await;
    assert_eq!(drill.look_up().await, drill.all("provider_unavailable"));
    drill.minute().await;
    assert_eq!(drill.look_up().await, drill.all("refresh_outcome_lost"));
    drill.carol_gets_nothing().await;
    for _ in 0..3 {
        drill.minute().await;
    }
    assert_eq!(drill.revocations(), 1, "carol's own");
    // Who connects again is well.
    let user = &drill.users[0];
    drill.world.connect(user, &drill.connector).await;
    drill.world.token(user, &drill.connector).await;
    assert_eq!(drill.world.provider.grant_state(user), GrantState::Live);
}

#[tokio::test]
async fn h90_a_mass_of_refused_grants_is_held_by_the_breaker_for_a_day() {
    let drill = Drill::of(Rotation::Strict, json!({"rotation": "strict"}), 40).await;
    for _ in 0..5 {
        assert_eq!(drill.look_up().await, drill.all("provider_unavailable"));
        drill.minute().await;
    }
    for user in &drill.users {
        let stored = drill.world.stored(user, &drill.connector).await.unwrap();
        let suspect = matches!(stored.status, ConnectionStatus::Suspect { .. });
        assert!(suspect, "{stored:?}");
    }
    let told = drill.world.bus.types();
    assert!(!told.contains(&"connection.reconnect_required"));
    assert_eq!(drill.revocations(), 1, "carol's own");
    drill.world.pass(24 * HOUR);
    assert_eq!(drill.look_up().await, drill.all("refresh_outcome_lost"));
    assert_eq!(drill.revocations(), 1);
}

/// The work of a deletion outlives a registry that was restored to before it.
#[tokio::test]
async fn h90_work_of_a_deletion_that_nobody_knows_of_any_more_ends_nothing() {
    let world = World::start().await;
    let id = world.connector(&["read"]).await;
    world.connect("alice", &id).await;
    let key = world.stored("alice", &id).await.unwrap().key;
    let registry = &world.engine.registry;
    let read = async || {
        let connector = registry.connector(&key.workspace, &key.connector).await;
        connector.unwrap().unwrap()
    };
    let before = read().await;
    let delete = Call::delete(&format!("/v1/connectors/{id}?confirm=Files")).admin_of("acme");
    world.send(delete).await.expect_status(202);
    let deleting = read().await;
    let now = world.clock.now();
    let told = connector_event(
        &*world.engine.entropy,
        &before,
        Change::ConnectorUpdated,
        now,
    );
    let back = registry.replace_connector(&before, deleting.version, &told);
    assert!(back.await.unwrap());

    for _ in 0..3 {
        world.pass(61);
        world.tick_revoker().await;
    }
    assert_eq!(world.provider.counters().total.revoke, 0);
    world.token("alice", &id).await;
}

//! Clocks that are set, and workers of two versions on one table (F39, F47).

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join;
use serde_json::json;
use shared::ports::Clock as _;
use shared::storage::schema::{PK, SK};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::fake_as::Behaviour;

use super::{HOUR, at_every_provider};
use crate::world::World;

#[tokio::test]
async fn f39_a_wall_clock_that_is_set_back_keeps_nobody_waiting_longer() {
    at_every_provider(async |story| {
        let clock = &story.world.clock;
        story.world.pass(600);
        story.provider_does(Behaviour::Hang);
        let holder = story.ask();
        let waiter = async {
            story.world.provider.wait_until_held(1).await;
            let begun = clock.monotonic();
            let set_back = async {
                // In the middle of the waiting.
                while clock.monotonic() == begun {
                    tokio::task::yield_now().await;
                }
                clock.set(clock.now().before(Duration::from_secs(300)));
            };
            join(story.ask_in_vain(), set_back).await;
            story.world.provider.release();
            clock.monotonic() - begun
        };
        let (held, waited) = join(holder, waiter).await;
        held.expect_status(200);
        assert!(waited < Duration::from_millis(5500), "{waited:?}");
        story.is_kept().await;
    })
    .await;
}

/// Alice's item, as the table has it.
async fn item(engine: &LocalDynamo) -> BTreeMap<String, AttributeValue> {
    let pages = engine.client.scan().table_name(&engine.tables.connections);
    let mut items = pages.send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 1);
    items.remove(0).into_iter().collect()
}

#[tokio::test]
async fn f47_a_connection_of_a_version_that_kept_less_is_handed_out_and_refreshed() {
    let clock = ManualClock::new();
    let engine = LocalDynamo::start(&clock, 2).await;
    let world = World::on(engine.store.clone(), clock).await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    // What was added since, or is not there before the first refresh.
    let since = "open_attempts, open_since, outcome_lost, failures, next_attempt_at, grant_expires_at, \
                 last_read_at, last_attempt, refreshed_at, lease_owner, lease_until";
    let before = item(&engine).await;
    engine
        .client
        .update_item()
        .table_name(&engine.tables.connections)
        .key(PK, before[PK].clone())
        .key(SK, before[SK].clone())
        .update_expression(format!("REMOVE {since}"))
        .send()
        .await
        .unwrap();
    assert!(item(&engine).await.len() < before.len());

    world.token("alice", &connector).await;
    world.pass(HOUR);
    world.token("alice", &connector).await;
    world.pass(HOUR - 600);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    assert_eq!(world.provider.counters().total.refreshes(), 2);
}

/// The other way round, for as long as both are at work: what the first version cannot do without
/// stays, and stays what it is.
#[tokio::test]
async fn f47_a_refresh_leaves_an_item_that_the_first_version_reads() {
    let clock = ManualClock::new();
    let engine = LocalDynamo::start(&clock, 2).await;
    let world = World::on(engine.store.clone(), clock).await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let needed = |item: &BTreeMap<String, AttributeValue>| {
        let text = ["id", "status"].iter().all(|name| item[*name].is_s());
        let numbers = [
            "generation",
            "connector_generation",
            "issued_at",
            "expires_at",
            "due_at",
            "created_at",
            "connected_at",
        ];
        let numbers = numbers.iter().all(|name| item[*name].is_n());
        let scopes = ["requested_scopes", "granted_scopes"];
        let scopes = scopes.iter().all(|name| item[*name].is_l());
        text && numbers && scopes && item["sealed"].is_b() && item["refreshable"].is_bool()
    };
    assert!(needed(&item(&engine).await));
    world.pass(HOUR);
    world.token("alice", &connector).await;
    let refreshed = item(&engine).await;
    assert!(needed(&refreshed));
    assert_eq!(refreshed["status"], AttributeValue::S("active".into()));
}

//! Machines whose clock is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::Client;
use serde_json::json;
use shared::ports::KeyTable as _;
use shared::storage::dynamodb::DynamoStore;
use shared::storage::dynamodb::server_time::ServerTime;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use crate::world::World;

#[tokio::test]
async fn f38_a_machine_whose_clock_is_off_takes_no_lease_and_still_hands_out_what_is_fresh() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.clock.distrust(true);
    world.token("alice", &connector).await;
    world.pass(3600);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    world.tick().await;
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(stored.open_attempts, 0, "nothing was begun");

    world.clock.distrust(false);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn f38_every_answer_of_the_table_is_a_measurement_of_the_clock() {
    let off = Arc::<AtomicBool>::default();
    // This clock stands still in the past.
    let compared = ServerTime::new(ManualClock::new(), Arc::clone(&off));
    let engine = LocalDynamo::start(&ManualClock::new(), 1).await;
    let config = engine.client.config().to_builder().interceptor(compared);
    let client = Client::from_conf(config.build());
    let store = DynamoStore::new(client, engine.tables.clone(), 1);
    assert!(!off.load(Ordering::SeqCst));
    store.root_key(1).await.unwrap();
    assert!(off.load(Ordering::SeqCst));
}

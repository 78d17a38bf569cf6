//! Stories of the caps on the hand-out: who is refused, until when, and what that costs.

use std::sync::Arc;

use serde_json::json;
use shared::domain::rate::Caps;
use testkit::clock::ManualClock;
use testkit::memory_store::MemoryStore;

use crate::world::{Answer, Call, World};

const CAPS: Caps = Caps {
    credential: 5,
    workspace: 8,
};

async fn capped() -> World {
    let clock = ManualClock::new();
    let products = Arc::new(clock.clone());
    World::capped(MemoryStore::new(2), clock, products, CAPS).await
}

async fn read(world: &World, key: &str, connector: &str) -> Answer {
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let read = Call::post("/v1/tokens").bearer(key).json(&body);
    world.send(read).await
}

#[tokio::test]
async fn h25_a_key_and_a_workspace_beyond_their_cap_are_refused_until_the_minute_is_over() {
    let world = capped().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let make = Call::post("/v1/apps/shop/keys").admin_of("acme");
    let make = make.json(&json!({"name": "second"}));
    let second = world.send(make).await.expect_status(201).text("key");
    let first = world.key_of("acme", "shop");
    world.pass(20);
    for _ in 0..CAPS.credential {
        read(&world, &first, &connector).await.expect_status(200);
    }
    let refused = read(&world, &first, &connector).await;
    let refused = refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(refused.text("detail").contains("API key"));

    // The other key has a cap of its own, and shares the workspace's.
    for _ in CAPS.credential..CAPS.workspace {
        read(&world, &second, &connector).await.expect_status(200);
    }
    let refused = read(&world, &second, &connector).await;
    let refused = refused.expect_problem(429, "rate_limited");
    assert!(refused.text("detail").contains("workspace"));

    world.pass(wait - 1);
    read(&world, &first, &connector)
        .await
        .expect_problem(429, "rate_limited");
    world.pass(1);
    read(&world, &first, &connector).await.expect_status(200);
}

#[tokio::test]
async fn h25_nobody_without_the_key_uses_up_its_cap_or_the_workspaces() {
    let world = capped().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let key = world.key_of("acme", "shop");
    let mut wrong = key.clone();
    wrong.replace_range(key.len() - 1.., if key.ends_with('A') { "B" } else { "A" });
    for _ in 0..2 * CAPS.workspace {
        read(&world, &wrong, &connector)
            .await
            .expect_problem(401, "unauthenticated");
    }
    read(&world, &key, &connector).await.expect_status(200);
}

#[tokio::test]
async fn h25_another_workspaces_reads_are_its_own() {
    let world = capped().await;
    world.register_app("globex", "shop").await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let theirs = world.key_of("globex", "shop");
    for _ in 0..CAPS.credential {
        read(&world, &theirs, &connector)
            .await
            .expect_problem(404, "not_connected");
    }
    // What finds nothing counts as well: who tries out names is a reader, too.
    read(&world, &theirs, &connector)
        .await
        .expect_problem(429, "rate_limited");
    let ours = world.key_of("acme", "shop");
    read(&world, &ours, &connector).await.expect_status(200);
}

#[tokio::test]
async fn h25_a_refused_read_opens_nothing_and_asks_no_provider() {
    let world = capped().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    // The token has expired, and the keys are out of memory.
    world.pass(3600);
    for _ in 0..CAPS.credential {
        world
            .lookup("nobody", &connector)
            .await
            .expect_problem(404, "not_connected");
    }
    let kms = world.kms.calls();
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(429, "rate_limited");
    assert_eq!(world.kms.calls(), kms);
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    world.pass(60);
    world.token("alice", &connector).await;
}

//! Stories of the caps on the hand-out: who is refused, until when, and what that costs.

use serde_json::json;
use shared::domain::rate::Caps;

use crate::world::{Answer, Call, Limits, World};

const CAPS: Caps = Caps {
    credential: 5,
    workspace: 8,
};

async fn capped() -> World {
    let limits = Limits {
        caps: CAPS,
        ..Limits::default()
    };
    World::limited(limits).await
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

/// bulk theft with one credential.
#[tokio::test]
async fn a21_a_key_that_reads_everybody_is_slowed_down_told_of_once_and_leaves_every_entry() {
    const CONNECTIONS: u32 = 60;
    let caps = Caps {
        credential: 40,
        workspace: 1000,
    };
    let limits = Limits {
        caps,
        bulk_connections: 20,
        ..Limits::default()
    };
    let world = World::limited(limits).await;
    let connector = world.connector(&["read"]).await;
    for n in 0..CONNECTIONS {
        world.connect(&format!("user-{n}"), &connector).await;
    }
    world.lines.lock().unwrap().clear();
    let told = || {
        let types = world.bus.types();
        types
            .iter()
            .filter(|it| **it == "credential.bulk_read")
            .count()
    };
    for n in 0..caps.credential {
        world.token(&format!("user-{n}"), &connector).await;
        assert_eq!(told(), usize::from(n >= 20), "{n}");
    }
    for n in caps.credential..CONNECTIONS {
        world
            .lookup(&format!("user-{n}"), &connector)
            .await
            .expect_problem(429, "rate_limited");
    }
    world.pass(60);
    for n in caps.credential..CONNECTIONS {
        world.token(&format!("user-{n}"), &connector).await;
    }
    // What was read before is not read anew, and another hour of the same day is not told of.
    world.pass(60);
    world.token("user-0", &connector).await;
    world.pass(3600);
    for n in 0..caps.credential {
        world.token(&format!("user-{n}"), &connector).await;
    }
    assert_eq!(told(), 1);
    let events = world.bus.events();
    let event = events.iter().find(|event| event.connector_id.is_none());
    let event = serde_json::to_value(event.unwrap()).unwrap();
    assert_eq!(
        (&event["app_id"], &event["connections"]),
        (&json!("shop"), &json!(21))
    );
    assert_eq!(event["actor"]["kind"], "app_key");
    let metrics = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["bulk_reads"].as_f64()
    };
    let lines = world.lines.lock().unwrap().clone();
    let measured: Vec<_> = lines.iter().filter_map(|line| metrics(line)).collect();
    assert_eq!(measured, [1.0]);

    let count = async |action: &str| {
        let (mut found, mut cursor) = (0, String::new());
        loop {
            let path = format!("/v1/audit?limit=100&action={action}{cursor}");
            let page = world.send(Call::get(&path).admin_of("acme")).await;
            let page = page.expect_status(200).body;
            found += page["items"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    assert_eq!(count("token.read").await, 60 + 40);
    assert_eq!(count("credential.bulk_read").await, 1);
    // The next day is another.
    world.pass(24 * 3600);
    for n in 0..caps.credential {
        world.token(&format!("user-{n}"), &connector).await;
    }
    assert_eq!(told(), 2);
}

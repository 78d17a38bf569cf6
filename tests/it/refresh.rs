//! Stories of the refresh protocol (refresh.md sections 3 and 5), told with a provider that
//! rotates strictly unless a story says otherwise.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use shared::domain::connection::ConnectionStatus;
use shared::refresh::{NotFresh, RefreshEngine};
use testkit::fake_as::{Behaviour, GrantState, Rotation, When};
use testkit::faults::{FaultyStore, Phase};

use crate::world::World;

async fn connected() -> (World, String) {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    (world, connector)
}

#[tokio::test]
async fn the_sweep_refreshes_what_is_due_ahead_of_its_expiry() {
    let (world, connector) = connected().await;
    let first = world.token("alice", &connector).await;
    world.pass(3600 - 14 * 60);
    assert_eq!(
        world.tick().await,
        json!({}),
        "a fifth of the hour is 12 minutes, and a minute is looked ahead"
    );
    world.pass(60);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    let second = world.token("alice", &connector).await;
    assert_ne!(first, second);
    assert_eq!(world.tick().await, json!({}));
    assert_eq!(world.provider.counters().total.refreshes(), 1);
}

#[tokio::test]
async fn b7_a_rotated_refresh_token_is_the_one_used_next() {
    let (world, connector) = connected().await;
    for round in 1..=5 {
        world.pass(3600);
        world.token("alice", &connector).await;
        assert_eq!(world.provider.counters().total.refreshes(), round);
    }
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
}

#[tokio::test]
async fn an_on_demand_refresh_moves_the_due_entry_and_the_sweep_finds_nothing() {
    let (world, connector) = connected().await;
    world.pass(3600);
    world.token("alice", &connector).await;
    assert_eq!(world.tick().await, json!({}));
    world.pass(48 * 60);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
}

#[tokio::test]
async fn h79_two_sweeps_at_once_make_one_call_a_connection() {
    let (world, _) = connected().await;
    world.pass(3000);
    join(world.tick(), world.tick()).await;
    assert_eq!(world.provider.counters().max_in_flight(), 1);
    assert_eq!(world.provider.counters().total.refreshes(), 1);
}

#[tokio::test]
async fn f8_a_lost_answer_is_settled_before_the_same_token_is_tried_again() {
    let (world, connector) = connected().await;
    world
        .provider
        .configure(|settings| settings.rotation = Rotation::Grace { seconds: 60 });
    world.pass(3600);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenDrop);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    world.pass(18);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert_eq!(
        world.provider.counters().total.refreshes(),
        1,
        "the lease settles"
    );
    world.pass(2);
    world.token("alice", &connector).await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
}

#[tokio::test]
async fn f8_an_answer_lost_by_a_strict_provider_is_named_as_such() {
    let (world, connector) = connected().await;
    world.pass(3600);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenDrop);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    // A first refusal proves nothing yet, here as elsewhere.
    world.pass(22);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    world.pass(60);
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "refresh_outcome_lost");
    assert_eq!(
        world.bus.types().last(),
        Some(&"connection.reconnect_required")
    );
    // And the user repairs it.
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
}

/// F23.
#[tokio::test]
async fn h64_one_refusal_makes_suspect_and_a_second_a_minute_later_makes_reconnect() {
    let (world, connector) = connected().await;
    world.provider.withdraw_grants("alice");
    world.pass(3600);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    let stored = world.stored("alice", &connector).await.unwrap();
    assert!(
        matches!(stored.status, ConnectionStatus::Suspect { .. }),
        "{:?}",
        stored.status
    );
    world.pass(59);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert_eq!(world.provider.counters().total.refreshes(), 1);
    world.pass(1);
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "grant_revoked");
    assert_eq!(world.provider.counters().total.refreshes(), 2);
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "reconnect_required"
    );
    // Nothing is asked any more.
    world.pass(3600);
    world.tick().await;
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(world.provider.counters().total.refreshes(), 2);
}

/// F23.
#[tokio::test]
async fn h64_a_providers_passing_refusal_costs_nobody_a_reconnect() {
    let (world, connector) = connected().await;
    world.pass(3600);
    let mood = Behaviour::OAuthError {
        status: 400,
        code: "invalid_grant".into(),
    };
    world.provider.push(When::refreshing(), mood);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    world.pass(60);
    world.token("alice", &connector).await;
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(stored.status, ConnectionStatus::Active);
}

/// F26.
#[tokio::test]
async fn h77_refused_client_credentials_flip_nobody() {
    let (world, connector) = connected().await;
    world.pass(3600);
    let wrong = Behaviour::OAuthError {
        status: 401,
        code: "invalid_client".into(),
    };
    world.provider.always(When::refreshing(), wrong);
    for _ in 0..60 {
        world.tick().await;
        world.pass(60);
    }
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(stored.status, ConnectionStatus::Active);
    assert!(
        world.provider.counters().total.refreshes() < 60,
        "and the provider is not hammered"
    );
    world.provider.clear_script();
    world.pass(3600);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn f18_an_answer_without_a_refresh_token_keeps_the_old_one() {
    let (world, connector) = connected().await;
    world.provider.configure(|settings| {
        settings.rotation = Rotation::None;
        settings.omit_refresh_token = true;
    });
    for _ in 0..3 {
        world.pass(3600);
        world.token("alice", &connector).await;
    }
}

#[tokio::test]
async fn f21_fewer_scopes_than_before_are_stored_and_told_once() {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    world.connect("alice", &connector).await;
    let fewer = Behaviour::Amend {
        set: [("scope".to_owned(), json!("read"))].into_iter().collect(),
        remove: vec![],
    };
    world.provider.always(When::refreshing(), fewer);
    for _ in 0..3 {
        world.pass(3600);
        world.token("alice", &connector).await;
    }
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(stored.granted_scopes.join(" "), "read");
    let told = world.bus.types();
    let told = told.iter().filter(|name| name.ends_with("scopes_changed"));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn f15_an_unreadable_answer_is_an_unknown_outcome() {
    let (world, connector) = connected().await;
    world
        .provider
        .configure(|settings| settings.rotation = Rotation::Grace { seconds: 60 });
    for behaviour in [
        Behaviour::Garbage,
        Behaviour::TruncatedJson,
        Behaviour::HugeBody { bytes: 1 << 20 },
    ] {
        world.pass(3600);
        world.provider.push(When::refreshing(), behaviour);
        world
            .lookup("alice", &connector)
            .await
            .expect_problem(503, "provider_unavailable");
        world.pass(22);
        world.token("alice", &connector).await;
    }
}

/// F17.
#[tokio::test]
async fn h33_a_redirect_is_not_followed_and_flips_nobody() {
    let (world, connector) = connected().await;
    world.pass(3600);
    let elsewhere = Behaviour::Redirect {
        to: format!("{}/token", world.provider.url()),
    };
    world.provider.push(When::refreshing(), elsewhere);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(503, "provider_unavailable");
    assert_eq!(
        world.provider.counters().total.token,
        2,
        "the exchange and one refresh"
    );
    world.pass(3600);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn c17_a_reconnect_during_a_refresh_wins() {
    let (world, connector) = connected().await;
    world.pass(3600);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenHold);
    let code = world.authorize("alice", "alice", &connector).await;
    let refresh = world.lookup("alice", &connector);
    let reconnect = async {
        world.provider.wait_until_held(1).await;
        world.complete("alice", &code).await.expect_status(200);
        let held = world.stored("alice", &connector).await.unwrap();
        world.provider.release();
        held
    };
    let (answer, reconnected) = join(refresh, reconnect).await;
    let handed_out = answer.expect_status(200).text("access_token");
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(
        stored.generation, reconnected.generation,
        "the refresh stored nothing over it"
    );
    assert_eq!(world.token("alice", &connector).await, handed_out);
}

#[tokio::test]
async fn f30_tokens_that_arrive_after_a_disconnect_are_revoked_and_handed_to_nobody() {
    let (world, connector) = connected().await;
    world.pass(3600);
    world
        .provider
        .push(When::refreshing(), Behaviour::ProcessThenHold);
    let refresh = world.lookup("alice", &connector);
    let disconnect = async {
        world.provider.wait_until_held(1).await;
        world
            .disconnect("alice", &connector)
            .await
            .expect_status(200);
        world.provider.release();
    };
    let (answer, ()) = join(refresh, disconnect).await;
    answer.expect_problem(404, "not_connected");
    world.pass(120);
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    assert!(
        world
            .stored("alice", &connector)
            .await
            .unwrap()
            .sealed
            .is_none()
    );
}

/// B4.
#[tokio::test]
async fn h66_a_waiter_answers_within_five_seconds_and_never_asks_the_provider_itself() {
    let (world, connector) = connected().await;
    world.pass(3600);
    world.provider.push(When::refreshing(), Behaviour::Hang);
    let holder = world.lookup("alice", &connector);
    let waiter = async {
        world.provider.wait_until_held(1).await;
        let begun = world.clock.now();
        let answer = world.lookup("alice", &connector).await;
        let took = world.clock.now().since(begun);
        world.provider.release();
        (answer, took)
    };
    use shared::ports::Clock as _;
    let (held, (waited, took)) = join(holder, waiter).await;
    waited.expect_problem(503, "provider_unavailable");
    assert!(took.as_millis() <= 5400, "{took:?}");
    held.expect_status(200);
    assert_eq!(world.provider.counters().total.refreshes(), 1);
}

#[tokio::test]
async fn h66_a_look_up_that_a_slow_table_has_made_late_asks_nobody() {
    let (world, connector) = connected().await;
    world.pass(3600);
    let stored = world.stored("alice", &connector).await.unwrap();
    let (of, id) = (&stored.key.workspace, &stored.key.connector);
    let read = world.engine.registry.connector(of, id).await.unwrap();
    let clock = world.clock.clone();
    let slow = move |method, phase| {
        if (method, phase) == ("acquire_lease", Phase::After) {
            clock.advance(Duration::from_secs(2));
        }
        None
    };
    let engine = RefreshEngine {
        connections: Arc::new(FaultyStore::new(
            Arc::clone(&world.connections),
            Arc::new(slow),
        )),
        ..world.engine.clone()
    };
    let minute = Duration::from_secs(60);
    let late = engine.fresh_tokens(&read.unwrap(), stored, minute).await;
    assert!(matches!(late, Err(NotFresh::ProviderUnavailable { .. })));
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_alive_weekly_and_not_hourly() {
    let (world, connector) = connected().await;
    let day = 24 * 3600;
    // In use for a day after the connect, idle from then on.
    for _ in 0..(3 * 24) {
        world.pass(3600);
        world.tick().await;
    }
    let warm = world.provider.counters().total.refreshes();
    for _ in 0..(14 * 24) {
        world.pass(day / 24);
        world.tick().await;
    }
    let idle = world.provider.counters().total.refreshes() - warm;
    assert!(
        (1..=3).contains(&idle),
        "{idle} refreshes in two idle weeks"
    );
    world.token("alice", &connector).await;
}

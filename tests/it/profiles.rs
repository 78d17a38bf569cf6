//! Stories of grants that live and die in their provider's own way: no refresh token, no
//! expiry, an exchange of access tokens, an absolute limit. None of it is an error.

use serde_json::json;
use testkit::fake_as::{Behaviour, Endpoint, Exchange};

use crate::world::{Call, World};

const DAY: u64 = 24 * 3600;

/// A connector whose admin told more of the provider.
async fn connector(world: &World, told: &[(&str, &str)]) -> String {
    let mut body = world.connector_body(&["read"]);
    for (field, value) in told {
        body["config"][field] = json!(value);
    }
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

/// A provider that exchanges access tokens of sixty days, and issues no refresh tokens.
async fn exchanging() -> World {
    let world = World::start().await;
    world.provider.configure(|settings| {
        settings.omit_refresh_token = true;
        settings.access_token_lifetime_s = 60 * DAY as i64;
        settings.exchange = Some(Exchange {
            grant_type: "x_exchange".into(),
            token_param: "x_token".into(),
        });
    });
    world
}

const EXCHANGE: [(&str, &str); 2] = [
    ("exchange_grant_type", "x_exchange"),
    ("exchange_param", "x_token"),
];

/// A look-up that tells alice to connect again, without asking the provider.
async fn expect_over(world: &World, connector: &str) {
    let asked = world.provider.counters().total.token;
    let refused = world
        .lookup("alice", connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "refresh_expired");
    assert_eq!(world.provider.counters().total.token, asked);
    let shown = world.status("alice", connector).await;
    assert_eq!(shown["status"], "reconnect_required");
}

#[tokio::test]
async fn an_access_token_is_exchanged_by_the_sweep_long_before_it_expires() {
    let world = exchanging().await;
    let connector = connector(&world, &EXCHANGE).await;
    world.connect("alice", &connector).await;
    let first = world.token("alice", &connector).await;
    world.pass(26 * DAY);
    assert_eq!(world.tick().await, json!({}), "half the life, less a tenth");
    world.pass(4 * DAY);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    let second = world.token("alice", &connector).await;
    assert_ne!(first, second);
    // For as long as it goes on.
    for _ in 0..10 {
        world.pass(30 * DAY);
        assert_eq!(world.tick().await, json!({"refreshed": 1}));
    }
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn an_access_token_that_expired_cannot_be_exchanged_and_nobody_tries() {
    let world = exchanging().await;
    let connector = connector(&world, &EXCHANGE).await;
    world.connect("alice", &connector).await;
    world.pass(60 * DAY);
    expect_over(&world, &connector).await;
    assert_eq!(
        world.bus.types().last(),
        Some(&"connection.reconnect_required")
    );
    // And the user repairs it.
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn h50_an_exchange_in_a_query_leaves_no_token_in_our_log() {
    let world = exchanging().await;
    let url = format!("{}/exchange", world.provider.url());
    let told = [
        ("exchange_method", "get"),
        ("exchange_url", &url),
        ("exchange_min_age", "86400"),
    ];
    let connector = connector(&world, &[&EXCHANGE[..], &told].concat()).await;
    world.connect("alice", &connector).await;
    let first = world.token("alice", &connector).await;
    // A caller who wants more than is left makes the look-up exchange.
    world.pass(60 * DAY - 600);
    let wanted = json!({"connector_id": connector, "user_id": "alice", "min_ttl": 3600});
    world
        .provider
        .push(Endpoint::Exchange, Behaviour::ProcessThenDrop);
    world
        .lookup_with(wanted.clone())
        .await
        .expect_problem(503, "provider_unavailable");
    world.pass(22);
    let answer = world.lookup_with(wanted).await.expect_status(200);
    assert_ne!(answer.text("access_token"), first);
    let asked = world.provider.requests();
    let exchanges: Vec<_> = asked
        .iter()
        .filter(|request| request.request == "GET /exchange")
        .collect();
    assert_eq!(exchanges.len(), 2);
    for exchange in exchanges {
        let query = exchange.query.as_deref().unwrap();
        assert!(
            query.contains(&first) && !query.contains("client"),
            "{query}"
        );
        assert_eq!(exchange.authorization, None);
    }
    let lines = world.lines.lock().unwrap();
    assert!(!lines.is_empty());
    for secret in world.provider.issued_secrets() {
        assert!(!lines.iter().any(|line| line.contains(&secret.value)));
    }
}

#[tokio::test]
async fn a_grant_without_refresh_token_is_good_until_it_expires_and_never_due() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world
        .provider
        .configure(|settings| settings.omit_refresh_token = true);
    world.connect("alice", &connector).await;
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!((stored.refreshable, stored.due_at), (false, None));
    world.pass(3000);
    assert_eq!(world.tick().await, json!({}));
    world.token("alice", &connector).await;
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "connected"
    );
    world.pass(600);
    expect_over(&world, &connector).await;
}

#[tokio::test]
async fn a_grant_without_expiry_is_handed_out_for_ever_and_asks_for_nothing() {
    let world = World::start().await;
    world.provider.configure(|settings| {
        settings.omit_expires_in = true;
        settings.omit_refresh_token = true;
    });
    let connector = connector(&world, &[("assumed_lifetime", "never")]).await;
    world.connect("alice", &connector).await;
    let first = world.token("alice", &connector).await;
    for _ in 0..20 {
        world.pass(100 * DAY);
        assert_eq!(world.tick().await, json!({}));
        assert_eq!(world.token("alice", &connector).await, first);
    }
}

#[tokio::test]
async fn h76_a_refresh_token_is_kept_alive_beside_an_access_token_without_expiry() {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.omit_expires_in = true);
    let told = [("assumed_lifetime", "never"), ("idle_days", "10")];
    let connector = connector(&world, &told).await;
    world.connect("alice", &connector).await;
    for _ in 0..5 {
        world.pass(5 * DAY);
        assert_eq!(world.tick().await, json!({"refreshed": 1}));
    }
}

#[tokio::test]
async fn an_absolute_limit_ends_a_grant_however_well_it_is_kept() {
    let world = World::start().await;
    let connector = connector(&world, &[("hard_limit_days", "30")]).await;
    world.connect("alice", &connector).await;
    for _ in 0..29 {
        world.pass(DAY);
        world.tick().await;
        world.token("alice", &connector).await;
    }
    let refreshes = world.provider.counters().total.refreshes();
    assert!(refreshes >= 29, "{refreshes}");
    world.pass(DAY);
    world.tick().await;
    expect_over(&world, &connector).await;
    // A consent starts anew.
    world.connect("alice", &connector).await;
    world.pass(29 * DAY);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn a_refresh_token_that_was_said_to_die_is_renewed_in_time_or_not_asked_with() {
    let world = World::start().await;
    world.provider.configure(|settings| {
        let told = json!(2 * DAY);
        settings
            .token_extras
            .insert("refresh_token_expires_in".into(), told);
    });
    let told = [("refresh_expires_in", "refresh_token_expires_in")];
    let connector = connector(&world, &told).await;
    world.connect("alice", &connector).await;
    let ends = async || {
        let stored = world.stored("alice", &connector).await.unwrap();
        stored.validity.grant_expires_at.unwrap()
    };
    let first = ends().await;
    for _ in 0..14 {
        world.pass(DAY);
        world.tick().await;
    }
    assert!(ends().await > first, "each rotation moves the end");
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "connected"
    );
    // The sweep is away for longer than the token lives.
    world.pass(2 * DAY);
    expect_over(&world, &connector).await;
}

#[tokio::test]
async fn the_last_access_token_of_a_dead_grant_is_handed_out_until_it_expires() {
    let world = World::start().await;
    world.provider.configure(|settings| {
        settings
            .token_extras
            .insert("x_expires_in".into(), json!(1800));
    });
    let connector = connector(&world, &[("refresh_expires_in", "x_expires_in")]).await;
    world.connect("alice", &connector).await;
    let last = world.token("alice", &connector).await;
    world.pass(3000);
    assert_eq!(world.token("alice", &connector).await, last);
    // There is none that lives longer, and that is no reason to end this one.
    let wanted = json!({"connector_id": connector, "user_id": "alice", "min_ttl": 1800});
    let refused = world
        .lookup_with(wanted)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "refresh_expired");
    assert_eq!(world.token("alice", &connector).await, last);
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "connected"
    );
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    world.pass(600);
    expect_over(&world, &connector).await;
}

//! Stories of connectors whose provider fails, throttles or refuses them: who may ask, who finds
//! out whether it works again, and what is told of it.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::domain::connector::Connector;
use shared::domain::event::Change;
use shared::domain::health::{Misconfiguration, Seen};
use shared::domain::ids::{ConnectorId, WorkspaceId};
use shared::domain::time::Timestamp;
use shared::ports::Clock as _;
use shared::refresh::{Admitted, RefreshEngine, Watch};
use testkit::faults::{Fault, FaultyStore, Phase};

use crate::world::{Call, World};

const THROTTLED: Seen = Seen::Throttled {
    after: std::time::Duration::from_secs(120),
};

/// A connector that is a while old, so that what is counted now counts.
async fn connector() -> (World, Connector) {
    let world = World::start().await;
    let id = world.connector(&["read"]).await;
    world.pass(60);
    let connector = stored(&world, &id).await;
    (world, connector)
}

async fn stored(world: &World, id: &str) -> Connector {
    let workspace = WorkspaceId::parse("acme").unwrap();
    let id = ConnectorId::parse(id).unwrap();
    let read = world.engine.registry.connector(&workspace, &id);
    read.await.unwrap().unwrap()
}

#[track_caller]
fn let_through(admitted: Admitted) -> Watch {
    match admitted {
        Admitted::Go(watch) => watch,
        Admitted::Paused { until } => panic!("paused until {until}"),
    }
}

/// One worker's request.
async fn ask(world: &World, connector: &Connector, seen: Seen) -> Watch {
    let watch = let_through(world.engine.admit(connector).await);
    world.engine.observe(connector, &watch, &[seen]).await;
    watch
}

async fn paused_until(world: &World, connector: &Connector) -> Option<Timestamp> {
    match world.engine.admit(connector).await {
        Admitted::Go(_) => None,
        Admitted::Paused { until } => Some(until),
    }
}

async fn health_of(world: &World, connector: &Connector) -> Value {
    let path = format!("/v1/connectors/{}", connector.id);
    let viewed = world.send(Call::get(&path).admin_of("acme")).await;
    viewed.expect_status(200).body["health"].clone()
}

/// Changes the connector as an admin would; the connector as it is then.
async fn change(world: &World, connector: &Connector) -> Connector {
    let path = format!("/v1/connectors/{}", connector.id);
    let update = Call::patch(&path)
        .admin_of("acme")
        .header("if-match", &format!("\"{}\"", connector.version))
        .json(&json!({"client_secret": "another-secret"}));
    world.send(update).await.expect_status(200);
    stored(world, connector.id.as_str()).await
}

fn told(world: &World) -> Vec<Misconfiguration> {
    let events = world.bus.events().into_iter();
    let causes = events.filter_map(|event| match event.change {
        Change::ConnectorMisconfigured { cause } => Some(cause),
        _ => None,
    });
    causes.collect()
}

#[tokio::test]
async fn one_worker_of_many_opens_the_breaker_and_all_are_paused() {
    let (world, connector) = connector().await;
    // Every worker has begun before any has learnt anything.
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(let_through(world.engine.admit(&connector).await));
    }
    for watch in &watches[..19] {
        let failed = [Seen::Failed];
        world.engine.observe(&connector, watch, &failed).await;
        assert_eq!(paused_until(&world, &connector).await, None);
    }
    world
        .engine
        .observe(&connector, &watches[19], &[Seen::Failed])
        .await;
    let until = world.clock.now().after(std::time::Duration::from_secs(30));
    assert_eq!(paused_until(&world, &connector).await, Some(until));
    let health = health_of(&world, &connector).await;
    let expected = json!({"status": "paused", "cause": "provider_failing", "until": until});
    assert_eq!(health, expected);
    assert_eq!(told(&world), [], "an outage is no admin's to mend");
}

#[tokio::test]
async fn a_batch_with_as_many_failures_as_successes_opens_it_too() {
    let (world, connector) = connector().await;
    let watch = let_through(world.engine.admit(&connector).await);
    let batch = [[Seen::Tokens; 10], [Seen::Failed; 10]].concat();
    world.engine.observe(&connector, &watch, &batch).await;
    assert!(paused_until(&world, &connector).await.is_some());
}

#[tokio::test]
async fn f11_a_retry_after_is_kept_by_every_worker() {
    let (world, connector) = connector().await;
    ask(&world, &connector, THROTTLED).await;
    world.pass(119);
    assert!(paused_until(&world, &connector).await.is_some());
    world.pass(1);
    assert!(ask(&world, &connector, Seen::Tokens).await.is_probe());
    assert_eq!(paused_until(&world, &connector).await, None);
}

#[tokio::test]
async fn of_50_callers_one_probes_and_the_others_wait_for_what_it_finds() {
    let (world, connector) = connector().await;
    ask(&world, &connector, THROTTLED).await;
    world.pass(120);
    let callers = (0..50).map(|_| world.engine.admit(&connector));
    let admitted = futures_util::future::join_all(callers).await;
    let probe_over = world.clock.now().after(std::time::Duration::from_secs(30));
    let mut probes = Vec::new();
    for admitted in admitted {
        match admitted {
            Admitted::Go(watch) => probes.push(watch),
            Admitted::Paused { until } => assert_eq!(until, probe_over),
        }
    }
    let [probe] = &probes[..] else {
        panic!("{} probe", probes.len());
    };
    assert!(probe.is_probe());
    // It crashed: half a minute later the next one may try.
    world.pass(30);
    let watch = ask(&world, &connector, Seen::GrantRefused).await;
    assert!(watch.is_probe());
    assert_eq!(paused_until(&world, &connector).await, None);
    // What comes of the first probe so late changes nothing.
    let late = [Seen::ClientRefused];
    world.engine.observe(&connector, probe, &late).await;
    assert_eq!(paused_until(&world, &connector).await, None);
}

/// F26.
#[tokio::test]
async fn h77_a_refused_client_is_told_once_however_long_it_stays_refused() {
    let (world, connector) = connector().await;
    let since = world.clock.now();
    let workers = [world.engine.clone(), world.engine.clone()];
    let mut watches = Vec::new();
    for worker in &workers {
        watches.push(let_through(worker.admit(&connector).await));
    }
    for (worker, watch) in workers.iter().zip(&watches) {
        let refused = [Seen::ClientRefused; 3];
        worker.observe(&connector, watch, &refused).await;
    }
    let mut probes = 0;
    for _ in 0..60 {
        world.pass(60);
        if let Admitted::Go(watch) = world.engine.admit(&connector).await {
            let refused = [Seen::ClientRefused];
            world.engine.observe(&connector, &watch, &refused).await;
            probes += 1;
        }
    }
    assert_eq!(probes, 8, "1, 2, 4, 8 and then 10 minutes apart");
    assert_eq!(told(&world), [Misconfiguration::ClientRefused]);
    let health = health_of(&world, &connector).await;
    let expected = json!({"status": "misconfigured", "cause": "client_refused", "since": since});
    assert_eq!(health, expected);
}

#[tokio::test]
async fn h77_what_is_told_is_in_the_outbox_where_the_bus_is_down() {
    let (world, connector) = connector().await;
    world.bus.set_down(true);
    ask(&world, &connector, Seen::Redirected).await;
    assert_eq!(told(&world), []);
    world.bus.set_down(false);
    world.pass(31);
    world.tick().await;
    assert_eq!(told(&world), [Misconfiguration::Redirected]);
}

#[tokio::test]
async fn an_admins_change_lets_a_connector_be_tried_at_once() {
    let (world, before) = connector().await;
    ask(&world, &before, Seen::ClientRefused).await;
    assert!(paused_until(&world, &before).await.is_some());
    let after = change(&world, &before).await;
    assert_eq!(health_of(&world, &after).await, json!({"status": "ok"}));
    let watch = ask(&world, &after, Seen::ClientRefused).await;
    assert!(!watch.is_probe());
    assert!(paused_until(&world, &after).await.is_some());
    assert_eq!(told(&world).len(), 2, "the change did not mend it");

    let mended = change(&world, &after).await;
    ask(&world, &mended, Seen::Tokens).await;
    assert_eq!(paused_until(&world, &mended).await, None);
    // Who still has the connector as it was does not spoil it.
    let watch = let_through(world.engine.admit(&after).await);
    world
        .engine
        .observe(&after, &watch, &[Seen::ClientRefused])
        .await;
    assert_eq!(paused_until(&world, &mended).await, None);
}

#[tokio::test]
async fn healthy_refreshes_write_nothing_and_after_trouble_they_are_counted_for_a_quarter_of_an_hour()
 {
    let (world, connector) = connector().await;
    let known = async || {
        let now = world.clock.now();
        let health = &world.engine.health;
        let read = health.health(&connector.workspace, &connector.id, now);
        read.await
            .unwrap()
            .minutes
            .into_values()
            .collect::<Vec<_>>()
    };
    ask(&world, &connector, Seen::Tokens).await;
    assert_eq!(known().await, []);
    ask(&world, &connector, Seen::Other).await;
    world.pass(60);
    ask(&world, &connector, Seen::Tokens).await;
    assert_eq!(known().await.len(), 2);
    world.pass(840);
    assert_eq!(known().await.len(), 1);
    ask(&world, &connector, Seen::Tokens).await;
    assert_eq!(known().await.len(), 1, "all is well again");
}

/// F25.
#[tokio::test]
async fn h78_a_storm_of_refused_grants_holds_all_flips_until_it_is_over() {
    let (world, connector) = connector().await;
    for refused in 1..=20 {
        assert!(!world.engine.holds_flips(&connector).await, "{refused}");
        ask(&world, &connector, Seen::GrantRefused).await;
    }
    assert!(world.engine.holds_flips(&connector).await);
    assert_eq!(paused_until(&world, &connector).await, None);
    // Longer than until those who were held are looked at again.
    world.pass(660);
    assert!(world.engine.holds_flips(&connector).await);
    world.pass(240);
    assert!(!world.engine.holds_flips(&connector).await);
}

/// The engine over a table of health whose calls fail.
fn blind(world: &World, fails: fn(&str) -> bool) -> RefreshEngine {
    let hook = move |method: &'static str, phase| {
        (phase == Phase::Before && fails(method)).then(Fault::unavailable)
    };
    let health = Arc::clone(&world.engine.health);
    RefreshEngine {
        health: Arc::new(FaultyStore::new(health, Arc::new(hook))),
        ..world.engine.clone()
    }
}

#[tokio::test]
async fn a_table_that_does_not_answer_stops_nobody_and_lets_nobody_be_declared_dead() {
    let (world, connector) = connector().await;
    ask(&world, &connector, Seen::ClientRefused).await;
    let engine = blind(&world, |_| true);
    let watch = let_through(engine.admit(&connector).await);
    let refused = [Seen::ClientRefused];
    engine.observe(&connector, &watch, &refused).await;
    assert!(engine.holds_flips(&connector).await);
    assert_eq!(told(&world).len(), 1);

    // What can be read but not written: there is nobody to claim the probe from.
    world.pass(60);
    let engine = blind(&world, |method| method == "trip");
    let watch = let_through(engine.admit(&connector).await);
    assert!(watch.is_probe());
    engine.observe(&connector, &watch, &[Seen::Tokens]).await;
    assert_eq!(paused_until(&world, &connector).await, None);
}

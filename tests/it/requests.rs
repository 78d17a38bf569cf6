//! What each operation asks of DynamoDB: the table in docs/ARCHITECTURE.md, "Tables and access
//! patterns", counted on the wire against a real engine.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde_json::json;
use shared::domain::health::Seen;
use shared::domain::ids::{ConnectorId, WorkspaceId};
use shared::refresh::Admitted;
use shared::storage::DynamoStore;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use crate::world::{Call, RETURN, World};

const SHARDS: u32 = 8;

/// Notes the operation of each request that leaves, retries included.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context
            .request()
            .headers()
            .get("x-amz-target")
            .unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        self.0.lock().unwrap().push(operation.to_owned());
        Ok(())
    }
}

/// A world on DynamoDB.
struct Counted {
    world: World,
    requests: Requests,
    _engine: LocalDynamo,
}

impl Counted {
    async fn start() -> Self {
        let clock = ManualClock::new();
        let engine = LocalDynamo::start(&clock, SHARDS).await;
        let requests = Requests::default();
        let config = engine
            .client
            .config()
            .to_builder()
            .interceptor(requests.clone())
            .build();
        let store = DynamoStore::new(Client::from_conf(config), engine.tables.clone(), SHARDS);
        let world = World::on(store, clock).await;
        Self {
            world,
            requests,
            _engine: engine,
        }
    }

    /// The requests since the last time, in order.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_fresh_look_up_is_one_request_and_no_kms_call_and_no_write() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    counted.requests();
    world.token("alice", &connector).await;
    assert_eq!(
        counted.requests(),
        ["BatchGetItem", "UpdateItem"],
        "the hourly note"
    );
    let kms = world.kms.calls();
    for _ in 0..3 {
        world.token("alice", &connector).await;
        assert_eq!(counted.requests(), ["BatchGetItem"]);
    }
    assert_eq!(world.kms.calls(), kms);
}

#[tokio::test]
async fn an_expired_look_up_leases_stores_and_moves_its_due_entry() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600 - 60 + 1);
    counted.requests();
    world.token("alice", &connector).await;
    assert_eq!(
        counted.requests(),
        [
            "BatchGetItem", // with the workspace's keys, which are out of memory by now
            "GetItem",      // the root key
            "Query",        // the connector's health
            "UpdateItem",   // lease
            "UpdateItem",   // store
            "PutItem",      // due entry
            "DeleteItem",   // due entry
            "UpdateItem",   // last read
        ]
    );
}

#[tokio::test]
async fn a_flow_costs_what_the_table_says() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let body = world.connector_body(&["read"]);
    let create = || Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create()).await.expect_status(201);
    counted.requests();
    let connector = world.send(create()).await.expect_status(201).text("id");
    assert_eq!(
        counted.requests(),
        ["TransactWriteItems", "DeleteItem"],
        "create"
    );

    let path = format!("/v1/connectors/{connector}");
    world
        .send(Call::get(&path).admin_of("acme"))
        .await
        .expect_status(200);
    assert_eq!(counted.requests(), ["GetItem", "Query"], "view");

    let begin = json!({"connector_id": connector, "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
    let link = world
        .send(begin)
        .await
        .expect_status(201)
        .text("connect_url");
    assert_eq!(
        counted.requests(),
        ["GetItem", "GetItem", "PutItem"],
        "begin"
    );

    let link = link.strip_prefix(crate::world::API).unwrap();
    let (authorize_url, cookie) = world.follow(link).await;
    assert_eq!(
        counted.requests(),
        ["GetItem", "GetItem", "UpdateItem"],
        "follow the link"
    );

    let callback = world.consent(&authorize_url, "alice").await;
    let back = world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(303);
    assert_eq!(counted.requests(), ["GetItem", "UpdateItem"], "callback");

    let code = back.location_params()["code"].clone();
    world.complete("alice", &code).await.expect_status(200);
    assert_eq!(
        counted.requests(),
        [
            "GetItem",
            "GetItem",
            "UpdateItem",
            "GetItem",
            "TransactWriteItems",
            "DeleteItem"
        ],
        "complete"
    );

    world.status("alice", &connector).await;
    assert_eq!(counted.requests(), ["Query", "Query"], "a user's list");
    let list = format!("/v1/connectors/{connector}/connections");
    world
        .send(Call::get(&list).admin_of("acme"))
        .await
        .expect_status(200);
    assert_eq!(
        counted.requests(),
        ["GetItem", "Query", "BatchGetItem"],
        "a connector's list"
    );

    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_eq!(
        counted.requests(),
        [
            "GetItem",
            "TransactWriteItems",
            "DeleteItem",
            "GetItem",
            "UpdateItem",
            "DeleteItem"
        ],
        "disconnect"
    );
}

#[tokio::test]
async fn a_run_of_the_sweep_reads_what_is_due_and_nothing_else() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    counted.requests();
    world.tick().await;
    let idle = counted.requests();
    assert_eq!(idle.len(), 2 * SHARDS as usize, "{idle:?}");
    assert!(idle.iter().all(|operation| operation == "Query"));

    world.pass(3000);
    world.tick().await;
    let mut busy = counted.requests();
    busy.retain(|operation| operation != "Query");
    assert_eq!(
        busy,
        [
            "GetItem",    // the connector, once a run
            "UpdateItem", // lease
            "GetItem",    // the workspace's keys, which are out of memory by now
            "GetItem",    // the root key
            "UpdateItem", // store
            "PutItem",    // due entry
            "DeleteItem", // due entry
        ]
    );
}

#[tokio::test]
async fn a_connectors_health_costs_a_read_and_while_all_is_well_no_write() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let id = ConnectorId::parse(world.connector(&["read"]).await).unwrap();
    let workspace = WorkspaceId::parse("acme").unwrap();
    let read = world.engine.registry.connector(&workspace, &id);
    let connector = read.await.unwrap().unwrap();
    counted.requests();
    let ask = async |seen: Seen| {
        if let Admitted::Go(watch) = world.engine.admit(&connector).await {
            world.engine.observe(&connector, &watch, &[seen; 25]).await;
        }
        counted.requests()
    };
    assert_eq!(ask(Seen::Tokens).await, ["Query"]);
    assert_eq!(ask(Seen::GrantRefused).await, ["Query", "UpdateItem"]);
    let told = [
        "Query",
        "UpdateItem",         // the tally
        "TransactWriteItems", // breaker and event
        "DeleteItem",         // event
    ];
    assert_eq!(ask(Seen::ClientRefused).await, told);
    assert_eq!(ask(Seen::Tokens).await, ["Query"], "paused");
    world.pass(60);
    let probed = [
        "Query",
        "UpdateItem", // the claim
        "UpdateItem", // the tally
        "UpdateItem", // the breaker closes
    ];
    assert_eq!(ask(Seen::Tokens).await, probed);
}

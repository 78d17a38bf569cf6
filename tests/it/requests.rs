//! What each operation asks of DynamoDB: the table in docs/ARCHITECTURE.md, "Tables and access
//! patterns", counted on the wire against a real engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::domain::health::Seen;
use shared::domain::ids::{ConnectorId, WorkspaceId};
use shared::refresh::Admitted;
use shared::storage::DynamoStore;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::fake_as::{Behaviour, When, consent_by_form};

use crate::tidy::source::read;
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
pub(crate) struct Counted {
    pub(crate) world: World,
    requests: Requests,
    engine: LocalDynamo,
}

impl Counted {
    pub(crate) async fn start() -> Self {
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
            engine,
        }
    }

    /// The requests since the last time, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
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
        ["BatchGetItem", "PutItem", "UpdateItem", "UpdateItem"],
        "the hourly entry, count and note"
    );
    let kms = world.kms.calls();
    for _ in 0..3 {
        world.token("alice", &connector).await;
        assert_eq!(counted.requests(), ["BatchGetItem"]);
    }
    assert_eq!(world.kms.calls(), kms);
}

#[tokio::test]
async fn a_fresh_look_up_of_an_apps_own_account_is_one_request_too() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.shared_connector().await;
    world.connect_shared("acme", "shop", &connector).await;
    world.lookup_shared(&connector).await.expect_status(200);
    counted.requests();
    world.lookup_shared(&connector).await.expect_status(200);
    assert_eq!(counted.requests(), ["BatchGetItem"]);
}

/// Base44's SDK: a user's token is asked for as any other, the app's by its provider after its
/// connector is found.
#[tokio::test]
async fn a_look_up_by_provider_reads_the_key_and_the_connectors_first() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let own = world.connector(&["read"]).await;
    world.connect("alice", &own).await;
    let connector = world.shared_connector().await;
    world.connect_shared("acme", "shop", &connector).await;
    let key = world.key_of("acme", "shop");
    let ask = |path: &str| Call::get(&format!("/api/apps/shop/{path}")).bearer(&key);
    let users = ask(&format!("app-user-auth/connectors/{own}/token"));
    let users = || users.clone().on_behalf_of(&world.jwt("alice"));
    let by_type = || ask("external-auth/tokens/custom");
    for call in [users(), by_type()] {
        world.send(call).await.expect_status(200);
    }
    counted.requests();
    world.send(users()).await.expect_status(200);
    assert_eq!(counted.requests(), ["BatchGetItem"]);
    world.send(by_type()).await.expect_status(200);
    let alone = ["GetItem", "Query", "BatchGetItem"];
    assert_eq!(counted.requests(), alone);
    // A younger one is there too, and not looked at.
    world.pass(1);
    world.shared_connector().await;
    counted.requests();
    world.send(by_type()).await.expect_status(200);
    let of_two = ["GetItem", "Query", "GetItem", "BatchGetItem"];
    assert_eq!(counted.requests(), of_two);
}

/// H-25: what the caps cost.
#[tokio::test]
async fn h25_of_300_look_ups_in_a_minute_six_write_what_they_counted() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
    counted.requests();
    for _ in 1..300 {
        world.token("alice", &connector).await;
    }
    let requests = counted.requests();
    let of = |operation: &str| requests.iter().filter(|it| *it == operation).count();
    // The key's 6,000 by 60, the workspace's 30,000 by 300.
    assert_eq!((of("BatchGetItem"), of("UpdateItem")), (299, 5 + 1));
    assert_eq!(requests.len(), 299 + 6);
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
            "PutItem",      // audit
            "UpdateItem",   // connections that the key has read
            "UpdateItem",   // last read
        ]
    );
}

#[tokio::test]
async fn other_scopes_than_before_are_written_down_before_the_tokens_are_stored() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    let more = Behaviour::Amend {
        set: [("scope".to_owned(), json!("read more"))]
            .into_iter()
            .collect(),
        remove: Vec::new(),
    };
    world.provider.push(When::refreshing(), more);
    counted.requests();
    world.token("alice", &connector).await;
    let mut requests = counted.requests();
    let lease = requests.iter().position(|request| request == "UpdateItem");
    assert_eq!(
        requests.split_off(lease.unwrap() + 1),
        [
            "PutItem",    // event
            "UpdateItem", // store
            "PutItem",    // due entry
            "DeleteItem", // due entry
            "DeleteItem", // event
            "PutItem",    // audit
            "UpdateItem", // connections that the key has read
            "UpdateItem", // last read
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

    let put = || {
        Call::put("/v1/connectors/files")
            .admin_of("acme")
            .json(&body)
    };
    world.send(put()).await.expect_status(201);
    let created = ["GetItem", "TransactWriteItems", "DeleteItem"];
    assert_eq!(counted.requests(), created, "create with a chosen id");
    world.send(put()).await.expect_status(200);
    assert_eq!(counted.requests(), ["GetItem"], "the same again");

    let path = format!("/v1/connectors/{connector}");
    world
        .send(Call::get(&path).admin_of("acme"))
        .await
        .expect_status(200);
    assert_eq!(counted.requests(), ["GetItem", "Query", "Query"], "view");

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
    assert_eq!(
        counted.requests(),
        ["GetItem", "GetItem", "UpdateItem"],
        "callback"
    );

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
    assert_eq!(
        counted.requests(),
        ["GetItem", "Query", "Query"],
        "a user's list"
    );
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
async fn the_confirm_page_and_its_buttons_cost_what_the_table_says() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let app = json!({"name": "Shop", "return_urls": [RETURN], "completion": "screen"});
    let put = Call::put("/v1/apps/shop").admin_of("acme").json(&app);
    world.send(put).await.expect_status(200);
    let connector = world.connector(&["read"]).await;
    for decision in ["connect", "cancel"] {
        let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
        let callback = world.consent(&authorize_url, "alice").await;
        let back = world.send(Call::get(&callback).cookie(&cookie)).await;
        counted.requests();
        let show = back.location();
        let show = Call::get(show.strip_prefix(crate::world::API).unwrap());
        world.send(show.cookie(&cookie)).await.expect_status(200);
        assert_eq!(counted.requests(), ["GetItem"; 3], "the page");

        let code = &back.location_params()["code"];
        let press = Call::post("/oauth/confirm").form(&[("code", code), ("decision", decision)]);
        world.send(press.cookie(&cookie)).await.expect_status(303);
        let expected = match decision {
            "connect" => &[
                "GetItem",
                "GetItem",
                "GetItem",
                "UpdateItem",
                "GetItem",
                "TransactWriteItems",
                "DeleteItem",
            ][..],
            _ => &["GetItem", "GetItem", "UpdateItem", "GetItem", "PutItem"],
        };
        assert_eq!(counted.requests(), expected, "{decision}");
    }
}

#[tokio::test]
async fn the_last_page_in_a_popup_costs_two_reads() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    let body = json!({"connector_id": connector, "return_url": RETURN, "display": "popup"});
    let begin = Call::post("/v1/me/connections").user("alice").json(&body);
    let link = world.send(begin).await.text("connect_url");
    let link = link.strip_prefix(crate::world::API).unwrap();
    let (authorize_url, cookie) = world.follow(link).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    counted.requests();
    let page = back.location();
    let page = Call::get(page.strip_prefix(crate::world::API).unwrap());
    world.send(page.cookie(&cookie)).await.expect_status(200);
    assert_eq!(counted.requests(), ["GetItem"; 2]);
}

#[tokio::test]
async fn a_posted_callback_costs_one_read_more() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let mut body = world.connector_body(&["read"]);
    body["config"]["response_mode"] = json!("form_post");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.text("id");
    let (authorize_url, _) = world.follow(&world.begin("alice", &connector).await).await;
    let (path, fields) = consent_by_form(&authorize_url, "alice").await;
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    counted.requests();
    let post = Call::post(path.strip_prefix(crate::world::API).unwrap()).form(&fields);
    world.send(post).await.expect_status(200);
    assert_eq!(counted.requests(), ["GetItem"]);
}

#[tokio::test]
async fn a_tick_reads_each_shard_once_for_refreshes_and_once_for_events() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    counted.requests();
    world.tick().await;
    assert_eq!(counted.requests(), vec!["Query"; 2 * SHARDS as usize]);
}

#[tokio::test]
async fn a_worker_reads_its_shard_and_writes_four_times_a_connection() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    world.pass(3000);
    world.tick_alone().await;
    counted.requests();
    let jobs = world.jobs.drain();
    for job in &jobs {
        let message = serde_json::to_string(job).unwrap();
        let done = world.deliver(&[&message]).await;
        assert_eq!(done.counts["refreshed"], 2 / jobs.len() as u64);
    }
    let mut busy = counted.requests();
    let reads: Vec<_> = busy
        .extract_if(.., |it| it == "Query" || it == "GetItem")
        .collect();
    busy.sort();
    assert_eq!(
        busy,
        [
            "DeleteItem", // due entries
            "DeleteItem",
            "PutItem", // due entries
            "PutItem",
            "UpdateItem", // leases and stores
            "UpdateItem",
            "UpdateItem",
            "UpdateItem",
        ]
    );
    // A shard, its connector and that one's health once a run, and the keys, which are out of
    // memory by now.
    let expected = 3 * jobs.len() + 2;
    assert_eq!(reads.len(), expected, "{reads:?}");
}

#[tokio::test]
async fn while_there_are_two_secrets_one_write_an_hour_says_which_works() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    let path = format!("/v1/connectors/{connector}");
    let rotate = json!({"client_secret": "the-new-secret", "keep_previous_secret": true});
    let rotate = Call::patch(&path).admin_of("acme").json(&rotate);
    let rotated = world.send(rotate.header("if-match", "\"1\"")).await;
    rotated.expect_status(200);
    world.pass(3600);
    let writes = async |user: &str| {
        counted.requests();
        world.token(user, &connector).await;
        let requests = counted.requests();
        requests.iter().filter(|it| *it == "UpdateItem").count()
    };
    // Lease, store, and the two notes of a reading.
    assert_eq!(writes("alice").await, 4 + 1);
    assert_eq!(writes("bob").await, 4);
}

/// The size by which DynamoDB counts units: of names and values, lists and maps with an overhead.
fn size(row: &HashMap<String, AttributeValue>) -> usize {
    fn of(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::N(digits) => digits.len() / 2 + 2,
            AttributeValue::L(items) => 3 + items.iter().map(|item| 1 + of(item)).sum::<usize>(),
            AttributeValue::M(members) => 3 + members.len() + size(members),
            _ => 1,
        }
    }
    row.iter().map(|(name, value)| name.len() + of(value)).sum()
}

#[tokio::test]
async fn a_refresh_writes_as_many_units_as_capacity_md_reckons_with() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let long = Behaviour::Amend {
        set: [("access_token", 2048), ("refresh_token", 1024)]
            .map(|(name, length)| (name.to_owned(), json!("x".repeat(length))))
            .into_iter()
            .collect(),
        remove: Vec::new(),
    };
    world.provider.push(When::refreshing(), long);
    world.pass(3000);
    assert_eq!(world.tick().await, json!({"refreshed": 1}));
    let units = async |table: &str| {
        let scan = counted.engine.client.scan().table_name(table);
        let rows = scan.send().await.unwrap().items.unwrap();
        assert_eq!(rows.len(), 1, "{table}");
        size(&rows[0]).div_ceil(1024)
    };
    let tables = &counted.engine.tables;
    let (connection, due) = (units(&tables.connections).await, units(&tables.due).await);
    // Lease and store, due entry in and out.
    let written = 2 * connection + 2 * due;
    let row = format!("| write units a refresh, *u* | {written} |");
    let reckoned = read("docs/CAPACITY.md");
    assert!(
        reckoned.contains(&row),
        "docs/CAPACITY.md does not say: {row}"
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

#[tokio::test]
async fn h85_a_keyed_change_asks_for_two_requests_more_and_asked_again_for_one() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let body = json!({"name": "Blog", "return_urls": []});
    let put = || Call::put("/v1/apps/blog").admin_of("acme").json(&body);
    counted.requests();
    world.send(put()).await.expect_status(201);
    let change = counted.requests();
    let keyed = || put().header("idempotency-key", "k");
    world.send(keyed()).await.expect_status(200);
    let mut expected = vec!["PutItem".to_owned()]; // the run
    expected.extend(change.iter().map(|it| it.to_string()));
    expected.push("UpdateItem".into()); // its answer
    assert_eq!(counted.requests(), expected);
    world.send(keyed()).await.expect_status(200);
    assert_eq!(counted.requests(), ["PutItem"]);
}

#[tokio::test]
async fn who_rides_along_costs_no_request_and_an_erasure_four_a_connection() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.token("alice", &connector).await;
    let key = world.key_of("acme", "shop");
    counted.requests();
    let ask = Call::post("/v1/tokens").json(&json!({"connector_id": connector}));
    let ask = ask.bearer(&key).on_behalf_of(&world.jwt("alice"));
    world.send(ask).await.expect_status(200);
    assert_eq!(counted.requests(), ["BatchGetItem"]);
    let erase = || Call::delete("/v1/users/alice").bearer(&key);
    world.send(erase()).await.expect_status(202);
    let expected = [
        "GetItem",            // key
        "Query",              // connections
        "PutItem",            // audit
        "GetItem",            // connection
        "TransactWriteItems", // connection, revocation, due entry, event, audit
        "DeleteItem",         // event
        "UpdateItem",         // what it says of the user
    ];
    assert_eq!(counted.requests(), expected);
    world.send(erase()).await.expect_status(202);
    assert_eq!(counted.requests(), ["GetItem", "Query"]);
}

//! A DynamoDB of a test's own, in its process: tables, store, and all items to search through.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use dynoxide::{Database, ImportOptions, server, storage_backend};
use serde_json::{Value, json};
use shared::ports::Clock;
use shared::storage::schema::{
    APP_PK, BY_APP, BY_CONNECTOR, BY_CONNECTOR_SHOWS, BY_USER, GSI_PK, GSI_SK, PK, SK, TTL,
};
use shared::storage::{DynamoStore, Tables};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::ManualClock;

/// An engine with Grantry's six tables, empty. Stops when dropped.
pub struct LocalDynamo {
    /// The store under test.
    pub store: DynamoStore,
    /// For what the store cannot do.
    pub client: Client,
    /// What the tables are called.
    pub tables: Tables,
    database: Database,
    server: JoinHandle<()>,
}

impl LocalDynamo {
    /// Starts an engine whose time is `clock`'s. Needs a Tokio runtime.
    pub async fn start(clock: &ManualClock, shards: u32) -> Self {
        let engine_clock = Arc::new(EngineClock(clock.clone()));
        let database = Database::memory_with_clock(engine_clock).expect("an empty database opens");
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let server = tokio::spawn(server::serve_on(listener, database.clone()));
        let client = client(&format!("http://{address}"));
        let tables = Tables {
            registry: "registry".into(),
            connections: "connections".into(),
            sessions: "sessions".into(),
            due: "due".into(),
            keys: "keys".into(),
            audit: "audit".into(),
        };
        create_tables(&client, &tables).await;
        Self {
            store: DynamoStore::new(client.clone(), tables.clone(), shards),
            client,
            tables,
            database,
            server,
        }
    }

    /// Removes what its TTL says is over. On AWS that takes up to days; never sooner than this.
    pub fn collect_garbage(&self) -> usize {
        self.database.sweep_ttl().expect("a sweep succeeds")
    }

    /// Puts items straight into the engine: by the million where requests would take an hour.
    ///
    /// # Panics
    /// When the engine does not take them.
    pub fn import(&self, table: &str, rows: Vec<HashMap<String, AttributeValue>>) {
        let items = rows.into_iter().map(engine_item).collect();
        self.database
            .import_items(table, items, ImportOptions::default())
            .expect("the engine takes the items");
    }

    /// Every item of every table, as JSON with binary values in lower-case hexadecimal: for a
    /// search for what must not be there (H-40).
    pub async fn dump(&self) -> Vec<Value> {
        let tables = &self.tables;
        let mut items = Vec::new();
        for table in [
            &tables.registry,
            &tables.connections,
            &tables.sessions,
            &tables.due,
            &tables.keys,
            &tables.audit,
        ] {
            let mut pages = self.client.scan().table_name(table).into_paginator().send();
            while let Some(page) = pages.next().await {
                for item in page.expect("a scan succeeds").items.unwrap_or_default() {
                    items.push(json!({"table": table, "item": readable(AttributeValue::M(item))}));
                }
            }
        }
        items
    }
}

impl Drop for LocalDynamo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client of a DynamoDB-compatible engine at `endpoint`.
pub fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "testkit"))
        .build();
    Client::from_conf(config)
}

/// Creates the six tables as `infra/template.yaml` declares them.
pub async fn create_tables(client: &Client, tables: &Tables) {
    for table in [
        &tables.registry,
        &tables.connections,
        &tables.sessions,
        &tables.due,
        &tables.keys,
        &tables.audit,
    ] {
        let mut request = client
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(key_schema(PK, SK)))
            .attribute_definitions(text(PK))
            .attribute_definitions(text(SK));
        let indexes = [
            (
                &tables.connections,
                (BY_CONNECTOR, GSI_PK),
                projection(&BY_CONNECTOR_SHOWS),
            ),
            (&tables.connections, (BY_APP, APP_PK), keys_only()),
            (&tables.audit, (BY_USER, GSI_PK), everything()),
        ];
        let of_table = indexes.into_iter().filter(|(of, _, _)| *of == table);
        for (number, (_, (name, partition), shown)) in of_table.enumerate() {
            let index = GlobalSecondaryIndex::builder()
                .index_name(name)
                .set_key_schema(Some(key_schema(partition, GSI_SK)))
                .projection(shown)
                .build()
                .expect("the index is complete");
            // What they share is defined once.
            if number == 0 {
                request = request.attribute_definitions(text(GSI_SK));
            }
            request = request
                .attribute_definitions(text(partition))
                .global_secondary_indexes(index);
        }
        request.send().await.expect("the table can be created");
    }
    let collected = [
        &tables.sessions,
        &tables.connections,
        &tables.due,
        &tables.audit,
    ];
    for table in collected {
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build()
            .expect("the specification is complete");
        client
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(ttl)
            .send()
            .await
            .expect("the TTL can be set");
    }
}

fn everything() -> Projection {
    let all = Projection::builder().projection_type(ProjectionType::All);
    all.build()
}

fn keys_only() -> Projection {
    let keys = Projection::builder().projection_type(ProjectionType::KeysOnly);
    keys.build()
}

/// Of these attributes besides keys.
fn projection(shown: &[&str]) -> Projection {
    let names = shown.iter().map(|name| (*name).to_owned());
    Projection::builder()
        .projection_type(ProjectionType::Include)
        .set_non_key_attributes(Some(names.collect()))
        .build()
}

fn key_schema(partition: &str, sort: &str) -> Vec<KeySchemaElement> {
    let element = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .expect("the element is complete")
    };
    vec![
        element(partition, KeyType::Hash),
        element(sort, KeyType::Range),
    ]
}

fn text(name: &str) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .expect("the definition is complete")
}

fn engine_item(row: HashMap<String, AttributeValue>) -> dynoxide::Item {
    row.into_iter()
        .map(|(name, value)| (name, engine_value(value)))
        .collect()
}

fn engine_value(value: AttributeValue) -> dynoxide::AttributeValue {
    match value {
        AttributeValue::S(text) => dynoxide::AttributeValue::S(text),
        AttributeValue::N(digits) => dynoxide::AttributeValue::N(digits),
        AttributeValue::B(blob) => dynoxide::AttributeValue::B(blob.into_inner()),
        AttributeValue::Bool(flag) => dynoxide::AttributeValue::BOOL(flag),
        AttributeValue::L(values) => {
            dynoxide::AttributeValue::L(values.into_iter().map(engine_value).collect())
        }
        AttributeValue::M(members) => dynoxide::AttributeValue::M(engine_item(members)),
        other => panic!("no item of ours has {other:?}"),
    }
}

fn readable(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => Value::String(text),
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::B(blob) => {
            let hex = blob.as_ref().iter().map(|byte| format!("{byte:02x}"));
            Value::String(hex.collect())
        }
        AttributeValue::L(values) => values.into_iter().map(readable).collect(),
        AttributeValue::M(values) => values
            .into_iter()
            .map(|(name, value)| (name, readable(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => Value::String(format!("{other:?}")),
    }
}

/// The engine's clock, shown the test's time.
struct EngineClock(ManualClock);

impl storage_backend::Clock for EngineClock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.0.now().seconds()).unwrap_or(0)
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now().millis() as f64 / 1000.0
    }
}

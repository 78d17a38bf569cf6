//! A world on DynamoDB with any number of connections, whose requests are metered.
//!
//! The rows are those that the product writes: each connection goes through `connect`, and what
//! that would send is kept and put into the engine with the others, by the thousand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::types::AttributeValue;
use shared::domain::event::Change;
use shared::domain::ids::SessionId;
use shared::events::connection_event;
use shared::ports::{Clock as _, ConnectWrite, Connections as _, DueTable as _};
use shared::storage::DynamoStore;
use shared::storage::schema::{PK, SK};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::dynamo_meter::{Bill, Meter};

use super::crowd::{self, Counting, tokens};
use crate::world::World;

/// The default of the template.
pub(crate) const SHARDS: u32 = 32;
/// How many connections are put into the engine at a time.
const LOT: usize = 10_000;
/// What is due now is due before the next tick, everything else a day later at least.
const NOW: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(24 * 3600);

type Row = HashMap<String, AttributeValue>;

/// A world of one connector, and a provider that answers at once.
pub(crate) struct Stock {
    pub(crate) world: World,
    /// Of the world's requests, and of those made with [`Stock::client`].
    pub(crate) meter: Meter,
    client: Client,
    store: DynamoStore,
    dynamo: LocalDynamo,
}

impl Stock {
    /// `stored` connections in an engine of [`SHARDS`], of which the first `due` are due. They
    /// are the same ones whatever else is stored.
    pub(crate) async fn start(
        dynamo: LocalDynamo,
        clock: ManualClock,
        due: usize,
        stored: usize,
    ) -> Self {
        let meter = Meter::default();
        let client = meter.on(&dynamo.client);
        let store = DynamoStore::new(client.clone(), dynamo.tables.clone(), SHARDS);
        let mut world = World::on(store.clone(), clock.clone()).await;
        world.engine.providers = Arc::new(Counting::new(clock, Duration::ZERO, tokens));
        let connector = world.connector(&["read"]).await;
        let stock = Self {
            world,
            meter,
            client,
            store,
            dynamo,
        };
        stock.fill(&connector, due, stored).await;
        stock.meter.take();
        stock
    }

    async fn fill(&self, connector: &str, due: usize, stored: usize) {
        let kept = Kept::default();
        let config = self.client.config().to_builder().interceptor(kept.clone());
        let client = Client::from_conf(config.build());
        let writer = DynamoStore::new(client, self.dynamo.tables.clone(), SHARDS);
        for first in (0..stored).step_by(LOT) {
            for n in first..stored.min(first + LOT) {
                let due_in = match n < due {
                    true => NOW,
                    false => LATER + Duration::from_millis(n as u64),
                };
                let write = self.write(connector, n, due_in).await;
                let refusal = writer.connect(&write).await;
                refusal.expect_err("what is kept is not sent");
            }
            for (table, rows) in kept.take() {
                self.dynamo.import(&table, rows);
            }
        }
    }

    async fn write(&self, connector: &str, n: usize, due_in: Duration) -> ConnectWrite {
        let world = &self.world;
        let key = crowd::key("acme", connector, n);
        let connection = crowd::connection(world, key, due_in).await;
        let entropy = &*world.engine.entropy;
        let now = world.clock.now();
        ConnectWrite {
            session: SessionId::parse("consented").unwrap(),
            event: connection_event(entropy, &connection, Change::Connected, now),
            connection,
            replaces: None,
        }
    }

    /// A minute of the scheduled refresh: the tick, and every worker it hands a shard to. Answers
    /// how many connections were refreshed; nothing else may have become of any.
    pub(crate) async fn sweep(&self) -> (u64, Bill) {
        let outcomes = self.world.tick().await;
        let outcomes = outcomes.as_object().unwrap();
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["refreshed"]);
        let refreshed = outcomes["refreshed"].as_u64().unwrap();
        (refreshed, self.meter.take())
    }

    /// Finds what is due as the workers do, and nothing more.
    pub(crate) async fn find(&self) -> (usize, Bill) {
        let end = self.world.clock.now().after(2 * NOW);
        let mut found = 0;
        for shard in 0..SHARDS {
            let mut after = None;
            loop {
                let page = self.store.due_refreshes(shard, end, after.as_deref(), 500);
                let page = page.await.unwrap();
                found += page.items.len();
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        (found, self.meter.take())
    }

    /// Finds the same with a scan of the due table.
    pub(crate) async fn scan(&self) -> (usize, Bill) {
        let end = self.world.clock.now().after(2 * NOW).millis();
        let scan = self
            .client
            .scan()
            .table_name(&self.dynamo.tables.due)
            .filter_expression("begins_with(#pk, :kind) AND #sk < :end")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":kind", AttributeValue::S("REFRESH#".into()))
            .expression_attribute_values(":end", AttributeValue::S(format!("{end:015}")));
        let mut pages = scan.into_paginator().send();
        let mut found = 0;
        while let Some(page) = pages.next().await {
            found += page.unwrap().items().len();
        }
        (found, self.meter.take())
    }
}

/// Keeps the rows that a connect would write, and sends nothing.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<HashMap<String, Vec<Row>>>>);

impl Kept {
    fn take(&self) -> HashMap<String, Vec<Row>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Intercept for Kept {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let write = context.input().downcast_ref::<TransactWriteItemsInput>();
        let write = write.ok_or("only a connect is kept")?;
        let mut kept = self.0.lock().unwrap();
        for put in write.transact_items().iter().filter_map(|it| it.put()) {
            // Events are removed once they are published, which they are at once.
            let lasts = |pk: &AttributeValue| !pk.as_s().is_ok_and(|pk| pk.starts_with("EVENT#"));
            if put.item().get(PK).is_some_and(lasts) {
                let rows = kept.entry(put.table_name().to_owned()).or_default();
                rows.push(put.item().clone());
            }
        }
        Err("kept".into())
    }
}

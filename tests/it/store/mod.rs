//! What every store must do, run against the reference in memory and against DynamoDB.
//!
//! A fact is a function over [`AnyStore`]; `facts!` makes two tests of each. What only DynamoDB
//! has (indexes, TTL, items of other versions) is in `items`.

mod audit;
mod connecting;
mod disconnecting;
mod due;
mod escrow;
mod fixtures;
mod health;
mod idempotency;
mod items;
mod keys;
mod leases;
mod lost_answers;
mod model;
mod refreshing;
mod registry;
mod sessions;

use shared::ports::{
    Audit, Connections, ConnectorHealth, DueTable, Idempotency, KeyTable, Lookup, Registry,
    Sessions,
};

/// How many callers meet in a race.
const CALLERS: usize = 50;

/// All stores at once.
trait AnyStore:
    Registry
    + Sessions
    + Idempotency
    + Connections
    + DueTable
    + ConnectorHealth
    + Lookup
    + KeyTable
    + Audit
{
}

impl<
    S: Registry
        + Sessions
        + Idempotency
        + Connections
        + DueTable
        + ConnectorHealth
        + Lookup
        + KeyTable
        + Audit,
> AnyStore for S
{
}

/// Two tests of each fact: `in_memory` and `on_dynamodb`.
macro_rules! facts {
    ($($fact:ident)*) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(&testkit::memory_store::MemoryStore::new(4)).await;
            })*
        }

        mod on_dynamodb {
            $(#[tokio::test]
            async fn $fact() {
                let clock = testkit::clock::ManualClock::new();
                let engine = testkit::dynamo::LocalDynamo::start(&clock, 4).await;
                super::$fact(&engine.store).await;
            })*
        }
    };
}

use facts;

/// Lets all callers go at once; their answers.
async fn race<T>(caller: impl AsyncFn(usize) -> T) -> Vec<T> {
    let caller = &caller;
    futures_util::future::join_all((0..CALLERS).map(async |n| caller(n).await)).await
}

/// How many of a race's answers are `true`.
async fn winners<E: std::fmt::Debug>(caller: impl AsyncFn(usize) -> Result<bool, E>) -> usize {
    let answers = race(caller).await.into_iter();
    answers.filter(|won| *won.as_ref().unwrap()).count()
}

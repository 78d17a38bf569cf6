//! What only DynamoDB has: the sparse index, TTL, items of other versions.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::domain::app::KeyScope;
use shared::domain::census::Life;
use shared::domain::connection::RevocationOutcome;
use shared::domain::ending::Ending;
use shared::domain::session::{CODE_LIFETIME, Redirected, Returned, Stage};
use shared::ports::{Connections, DueTable, LeaseWrite, Registry, Sessions, StoreError};
use shared::storage::schema::{BY_CONNECTOR, GSI_PK, PK, SK};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use super::fixtures::{
    api_key, at, connected, connection_id, connector_id, due_users, entry, event, key, leased,
    revocation, session, session_id, stored, tokens, workspace,
};

async fn engine() -> (ManualClock, LocalDynamo) {
    let clock = ManualClock::at(at(0));
    let engine = LocalDynamo::start(&clock, 4).await;
    (clock, engine)
}

/// Sets one attribute of the item of `u1`, as no store would.
async fn tamper(engine: &LocalDynamo, name: &str, value: AttributeValue) {
    engine
        .client
        .update_item()
        .table_name(&engine.tables.connections)
        .key(PK, AttributeValue::S("W#w1#A#shop#U#u1".into()))
        .key(SK, AttributeValue::S("C#c1".into()))
        .update_expression("SET #name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_tombstone_is_kept_for_30_days_and_then_collected() {
    let (clock, engine) = engine().await;
    let store = &engine.store;
    let read = connected(store, "u1").await;
    connected(store, "u2").await;
    let told = event("gone", at(5));
    let work = revocation(&read, at(5));
    assert!(store.disconnect(&read, Some(&work), &told).await.unwrap());
    let outcome = RevocationOutcome::Revoked;
    store
        .settle_revocation(&read.key, &read.id, outcome, at(5))
        .await
        .unwrap();

    // The sessions of both users have ended long before.
    clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(engine.collect_garbage(), 2);
    assert!(store.connection(&key("u1")).await.unwrap().is_some());
    clock.advance(Duration::from_secs(10));
    assert_eq!(engine.collect_garbage(), 1);
    assert_eq!(store.connection(&key("u1")).await.unwrap(), None);
    assert!(store.connection(&key("u2")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_made_over_a_tombstone_is_not_collected_with_it() {
    let (clock, engine) = engine().await;
    let store = &engine.store;
    let read = connected(store, "u1").await;
    assert!(
        store
            .disconnect(&read, None, &event("gone", at(5)))
            .await
            .unwrap()
    );
    let tombstone = stored(store, "u1").await;
    let mut new = read;
    new.generation = tombstone.generation + 1;
    new.id = connection_id("k-second");
    super::fixtures::connect(store, "s2", &new, Some(&tombstone)).await;
    clock.advance(Duration::from_secs(365 * 24 * 3600));
    engine.collect_garbage();
    assert_eq!(stored(store, "u1").await, new);
}

#[tokio::test]
async fn h02_a_session_is_collected_after_its_time_and_never_before() {
    let (clock, engine) = engine().await;
    let added = session("s1", Stage::Ended(Ending::Denied));
    engine.store.add(&added).await.unwrap();
    clock.advance(Duration::from_secs(600));
    assert_eq!(engine.collect_garbage(), 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(engine.collect_garbage(), 1);
    let found = engine.store.session(&session_id("s1")).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_session_whose_code_arrived_late_is_collected_after_its_new_time() {
    let (clock, engine) = engine().await;
    let there = Stage::Redirected(Redirected {
        state: [1; 32],
        verifier: None,
        nonce: Some([7; 32]),
    });
    let added = session("s1", there);
    engine.store.add(&added).await.unwrap();
    let until = at(590).after(CODE_LIFETIME);
    let (id, to) = (&added.id, returned());
    assert!(engine.store.arrive(id, &[1; 32], &to, until).await.unwrap());
    clock.set(at(650));
    assert_eq!(engine.collect_garbage(), 0);
    clock.set(at(712));
    assert_eq!(engine.collect_garbage(), 1);
}

#[tokio::test]
async fn c08_a_code_that_is_being_redeemed_is_kept_nowhere() {
    let (_, engine) = engine().await;
    let added = session("s1", Stage::Returned(returned()));
    let kept = async || {
        let dump = format!("{:?}", engine.dump().await);
        ["c0dec0de", "0ec1f1e4"].map(|canary| dump.contains(canary))
    };
    engine.store.add(&added).await.unwrap();
    assert_eq!(kept().await, [true, true]);
    let begun = engine.store.begin_exchange(&added.id, &[3; 32]).await;
    assert!(begun.unwrap());
    assert_eq!(kept().await, [false, false]);
}

/// With bytes that a dump can be searched for.
fn returned() -> Returned {
    Returned {
        completion: [3; 32],
        code: vec![0xc0, 0xde, 0xc0, 0xde],
        verifier: Some(vec![0x0e, 0xc1, 0xf1, 0xe4]),
        nonce: Some([7; 32]),
        kept: [("realm_id".to_owned(), "12345".to_owned())].into(),
    }
}

#[tokio::test]
async fn h63_not_even_the_owner_of_the_lease_brings_back_a_connection_that_is_gone() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    // A disconnect ends the lease; this is one that did not.
    tamper(&engine, "status", AttributeValue::S("revoking".into())).await;
    tamper(&engine, "since", AttributeValue::N("1".into())).await;
    let refused = store
        .store_tokens(&lease, &tokens("new", at(1)), at(1))
        .await;
    assert!(matches!(refused.unwrap(), LeaseWrite::Refused(Some(_))));
    assert!(!stored(store, "u1").await.status.is_live());
}

#[tokio::test]
async fn the_index_holds_no_disconnected_connection_and_a_refresh_leaves_it_alone() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    let indexed = async || {
        let items = engine.dump().await.into_iter();
        let items = items.filter(|item| item["table"] == engine.tables.connections.as_str());
        let items = items.filter(|item| item["item"].get(GSI_PK).is_some());
        items
            .map(|item| item["item"][GSI_PK].clone())
            .collect::<Vec<_>>()
    };
    let shown = async || {
        let all = engine.client.query().table_name(&engine.tables.connections);
        let all = all.index_name(BY_CONNECTOR);
        let all = all.key_condition_expression("gsi_pk = :of");
        let all = all.expression_attribute_values(":of", AttributeValue::S("W#w1#C#c1".into()));
        all.send().await.unwrap().items.unwrap()
    };
    let read = connected(store, "u1").await;
    assert_eq!(indexed().await, ["W#w1#C#c1"]);
    let before = shown().await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    store
        .store_tokens(&lease, &tokens("new", at(1)), at(1))
        .await
        .unwrap();
    assert_eq!(shown().await, before, "other scopes were granted, and yet");
    let sealed = before.iter().any(|row| row.contains_key("sealed"));
    assert!(before.len() == 1 && !sealed, "{before:?}");

    let now = stored(store, "u1").await;
    let work = revocation(&now, at(5));
    let told = event("gone", at(5));
    assert!(store.disconnect(&now, Some(&work), &told).await.unwrap());
    assert_eq!(indexed().await, ["W#w1#C#c1"]);
    let outcome = RevocationOutcome::Revoked;
    store
        .settle_revocation(&read.key, &read.id, outcome, at(6))
        .await
        .unwrap();
    assert!(indexed().await.is_empty());
}

#[tokio::test]
async fn k01_after_a_disconnect_the_ciphertext_is_in_the_revocation_only() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    let read = connected(store, "u1").await;
    let sealed: String = read
        .sealed
        .iter()
        .flatten()
        .map(|b| format!("{b:02x}"))
        .collect();
    let holders = async || {
        let items = engine.dump().await.into_iter();
        let items = items.filter(|item| item.to_string().contains(&sealed));
        items.map(|item| item["table"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(holders().await, ["connections"]);
    let work = revocation(&read, at(5));
    let told = event("gone", at(5));
    assert!(store.disconnect(&read, Some(&work), &told).await.unwrap());
    assert_eq!(holders().await, ["due"]);
    let kept = store.revocation_work(&work);
    store.remove_revocation(&kept).await.unwrap();
    assert!(holders().await.is_empty());
}

#[tokio::test]
async fn f47_what_a_newer_version_added_is_ignored_and_outlives_a_refresh() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    let before = connected(store, "u1").await;
    tamper(&engine, "from_the_future", AttributeValue::Bool(true)).await;
    assert_eq!(stored(store, "u1").await, before);
    let lease = leased(store, "u1", "a1", at(0)).await;
    let written = store
        .store_tokens(&lease, &tokens("new", at(1)), at(1))
        .await;
    assert!(matches!(written.unwrap(), LeaseWrite::Written));
    let dump = engine.dump().await;
    assert!(
        dump.iter()
            .any(|item| item["item"].get("from_the_future").is_some())
    );
}

/// F47.
#[tokio::test]
async fn a_key_from_before_there_were_scopes_has_all_and_a_newer_ones_scopes_allow_nothing_here() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    let made = api_key("k1", at(0));
    assert!(store.add_api_key(&made, &entry()).await.unwrap());
    let hash: String = made.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = async |update: &str, scopes: Option<AttributeValue>| {
        engine
            .client
            .update_item()
            .table_name(&engine.tables.registry)
            .key(PK, AttributeValue::S(format!("KEY#{hash}")))
            .key(SK, AttributeValue::S("KEY".into()))
            .update_expression(update)
            .set_expression_attribute_values(scopes.map(|it| [(":scopes".into(), it)].into()))
            .send()
            .await
            .unwrap();
        store.api_key(&made.hash).await.unwrap().unwrap().scopes
    };
    assert_eq!(written("REMOVE scopes", None).await, KeyScope::all());
    let newer = ["tokens:read", "tokens:forge"].map(|text| AttributeValue::S(text.into()));
    let newer = Some(AttributeValue::L(newer.into()));
    let known = written("SET scopes = :scopes", newer).await;
    assert_eq!(known, [KeyScope::TokensRead].into());
}

/// F47.
#[tokio::test]
async fn a_connection_that_an_older_version_stored_is_listed_as_live() {
    let (_, engine) = engine().await;
    connected(&engine.store, "u1").await;
    engine
        .client
        .update_item()
        .table_name(&engine.tables.connections)
        .key(PK, AttributeValue::S("W#w1#A#shop#U#u1".into()))
        .key(SK, AttributeValue::S("C#c1".into()))
        .update_expression("REMOVE life, consented_scopes")
        .send()
        .await
        .unwrap();
    let (of, c1) = (workspace(), connector_id("c1"));
    let listed = engine.store.listed(&of, &c1, None, 5).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].life, Life::Live);
    assert!(listed.items[0].consented_scopes.is_empty());
}

#[tokio::test]
async fn f35_an_item_that_cannot_be_read_is_an_error_and_is_not_overwritten() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    connected(store, "u1").await;
    tamper(&engine, "status", AttributeValue::S("unheard of".into())).await;
    let read = store.connection(&key("u1")).await;
    assert!(matches!(read, Err(StoreError::Corrupt("connection"))));
    let attempt = super::fixtures::attempt("a1");
    let lease = store
        .acquire_lease(&key("u1"), &attempt, at(0), at(17))
        .await;
    assert!(matches!(lease, Err(StoreError::Corrupt("connection"))));
    let error = read.unwrap_err().to_string();
    assert_eq!(error, "stored connection cannot be read");
}

#[tokio::test]
async fn one_unreadable_entry_does_not_stop_its_shard() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    for shard in 0..store.shards() {
        engine
            .client
            .put_item()
            .table_name(&engine.tables.due)
            .item(PK, AttributeValue::S(format!("REFRESH#{shard}")))
            .item(SK, AttributeValue::S("000000000000000#broken".into()))
            .send()
            .await
            .unwrap();
    }
    let id = connection_id("k1");
    store.add_refresh(&key("u1"), &id, at(1)).await.unwrap();
    assert_eq!(due_users(store, at(1)).await, ["u1"]);
    // Who looks at the first alone is told that there is something.
    for shard in 0..store.shards() {
        let head = store.due_refreshes(shard, at(1), None, 1).await.unwrap();
        assert!(head.items.is_empty() && head.next.is_some());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_unavailable() {
    let (_, engine) = engine().await;
    let missing = shared::storage::Tables {
        connections: "elsewhere".into(),
        ..engine.tables.clone()
    };
    let store = shared::storage::DynamoStore::new(engine.client.clone(), missing, 4);
    let answer = store.connection(&key("u1")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    let answer = store
        .by_id(
            &key("u1").workspace,
            &key("u1").connector,
            &connection_id("k"),
        )
        .await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn what_the_index_shows_too_long_is_not_listed() {
    let (_, engine) = engine().await;
    let store = &engine.store;
    let read = connected(store, "u1").await;
    // The index lags: the table has the tombstone, the index still the connection.
    tamper(&engine, "status", AttributeValue::S("disconnected".into())).await;
    tamper(&engine, "outcome", AttributeValue::S("revoked".into())).await;
    tamper(&engine, "since", AttributeValue::N("1".into())).await;
    let (of, connector) = (&read.key.workspace, &read.key.connector);
    let page = store.of_connector(of, connector, None, 5).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    let found = store.by_id(of, connector, &read.id).await.unwrap();
    assert_eq!(found, None);
}

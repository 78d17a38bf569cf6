//! H-68: a write that was made and whose answer was lost is recognised when it is repeated.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use shared::domain::connection::ReconnectReason;
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::session::{Redirected, Returned, Stage};
use shared::ports::{
    ConnectAnswer, Connections, EscrowWrite, LeaseAnswer, LeaseWrite, Sessions, StoreError,
};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use super::AnyStore;
use super::fixtures::{
    at, attempt, connect_write, connected, connection, event, key, leased, session, session_id,
    stored, tokens,
};

#[tokio::test]
async fn h68_in_memory() {
    repeated_after_a_lost_answer(Arc::new(MemoryStore::new(4))).await;
}

#[tokio::test]
async fn h68_on_dynamodb() {
    let engine = LocalDynamo::start(&ManualClock::new(), 4).await;
    repeated_after_a_lost_answer(Arc::new(engine.store.clone())).await;
}

/// Loses the first answer to each method.
fn forgetful<S>(store: Arc<S>) -> FaultyStore<S> {
    let lost = Mutex::new(BTreeSet::new());
    let hook = move |method, phase| match phase {
        Phase::Before => None,
        Phase::After => lost.lock().unwrap().insert(method).then(Fault::unavailable),
    };
    FaultyStore::new(store, Arc::new(hook))
}

/// The answer to the second try.
async fn again<T: std::fmt::Debug>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let lost = call().await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    call().await.unwrap()
}

async fn repeated_after_a_lost_answer<S: AnyStore>(store: Arc<S>) {
    sessions(&*store, &forgetful(store.clone())).await;
    connected(&*store, "u1").await;
    connecting(&*store, &forgetful(store.clone())).await;
    refreshing(&*store, &forgetful(store.clone())).await;
}

async fn sessions<S: AnyStore>(store: &S, faulty: &FaultyStore<S>) {
    let id = session_id("s1");
    let started = Stage::Started { ticket: [1; 32] };
    store.add(&session("s1", started)).await.unwrap();
    let there = Redirected {
        state: [2; 32],
        verifier: Some(vec![1]),
        nonce: Some([7; 32]),
    };
    assert!(again(async || faulty.redirect(&id, &[1; 32], &[3; 32], &there).await).await);
    let back = Returned {
        completion: [4; 32],
        code: vec![2],
        verifier: Some(vec![1]),
        nonce: Some([7; 32]),
        kept: [("realm_id".to_owned(), "1".to_owned())].into(),
    };
    assert!(again(async || faulty.arrive(&id, &[2; 32], &back, at(120)).await).await);
}

async fn connecting<S: AnyStore>(store: &S, faulty: &FaultyStore<S>) {
    let completion = [5; 32];
    let exchanging = Stage::Exchanging { completion };
    store.add(&session("s2", exchanging)).await.unwrap();
    let write = connect_write("s2", &connection("u2"), None);
    let answer = again(async || faulty.connect(&write).await).await;
    assert_eq!(answer, ConnectAnswer::Connected);
}

async fn refreshing<S: AnyStore>(store: &S, faulty: &FaultyStore<S>) {
    let (key, name) = (key("u1"), attempt("a1"));
    let acquire = async || faulty.acquire_lease(&key, &name, at(0), at(17)).await;
    let LeaseAnswer::Granted(lease) = again(acquire).await else {
        panic!("not granted");
    };
    assert_eq!(lease.connection.open_attempts, 1);
    let new = tokens("new", at(1));
    let answer = again(async || faulty.store_tokens(&lease, &new, at(1)).await).await;
    assert!(matches!(answer, LeaseWrite::Written));
    assert_eq!(stored(store, "u1").await.generation, 2);

    let lease = leased(store, "u1", "a2", at(2)).await;
    let pause = FailedAttempt::Pause {
        next_attempt_at: at(3),
    };
    let answer = again(async || faulty.record_failure(&lease, &pause).await).await;
    assert!(matches!(answer, LeaseWrite::Written));
    assert_eq!(stored(store, "u1").await.failures, 1);

    let lease = leased(store, "u1", "a3", at(3)).await;
    let rescued = again(async || faulty.store_escrowed(&lease, &new, at(3)).await).await;
    assert!(matches!(rescued, EscrowWrite::Ended(LeaseWrite::Written)));
    assert_eq!(stored(store, "u1").await.generation, 3);

    let lease = leased(store, "u1", "a4", at(3)).await;
    let (reason, told) = (ReconnectReason::GrantRevoked, event("dead", at(4)));
    let flip = async || faulty.require_reconnect(&lease, reason, at(4), &told).await;
    assert!(matches!(again(flip).await, LeaseWrite::Written));
}

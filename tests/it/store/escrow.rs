//! Tokens that come out of escrow, while others may be at work on their connection.

use shared::domain::connection::Lease;
use shared::ports::{EscrowWrite, LeaseWrite};

use super::fixtures::{at, connected, event, leased, revocation, stored, tokens};
use super::{AnyStore, facts};

facts! {
    h69_tokens_out_of_escrow_yield_to_the_lease_of_another_attempt
    h68_escrow_whose_store_was_not_answered_is_known_under_the_lease_of_another
    h63_a_disconnect_fences_tokens_in_escrow
}

async fn rescue(store: &dyn AnyStore, lease: &Lease, now: i64) -> EscrowWrite {
    let tokens = tokens("escrowed", at(now));
    store.store_escrowed(lease, &tokens, at(now)).await.unwrap()
}

fn is_stored(answer: &EscrowWrite) -> bool {
    matches!(answer, EscrowWrite::Ended(LeaseWrite::Written))
}

/// Whoever holds the lease may have asked the provider.
async fn h69_tokens_out_of_escrow_yield_to_the_lease_of_another_attempt(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let first = leased(store, "u1", "a1", at(0)).await;
    let second = leased(store, "u1", "a2", at(20)).await;
    for now in [20, 37, 38, 39] {
        let answer = rescue(store, &first, now).await;
        assert!(matches!(answer, EscrowWrite::Yields), "{now}");
    }
    assert_eq!(stored(store, "u1").await, second.connection);
    // 17 seconds of lease and 2 of skew.
    assert!(is_stored(&rescue(store, &first, 40).await));
    let rescued = stored(store, "u1").await;
    assert_eq!(rescued.sealed, Some(b"escrowed".to_vec()));
    assert_eq!((rescued.generation, rescued.open_attempts), (2, 0));
    // Its own lease is in nobody's way, and ends with it.
    let own = leased(store, "u1", "a3", at(41)).await;
    assert!(is_stored(&rescue(store, &own, 42).await));
    let next = leased(store, "u1", "a4", at(42)).await;
    // Nor is one that was given back.
    store.release_lease(&next).await.unwrap();
    assert!(is_stored(&rescue(store, &next, 43).await));
    assert_eq!(stored(store, "u1").await.generation, 4);
}

async fn h68_escrow_whose_store_was_not_answered_is_known_under_the_lease_of_another(
    store: &dyn AnyStore,
) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    assert!(is_stored(&rescue(store, &lease, 5).await));
    leased(store, "u1", "a2", at(6)).await;
    assert!(is_stored(&rescue(store, &lease, 7).await));
    assert_eq!(stored(store, "u1").await.generation, 2);
}

async fn h63_a_disconnect_fences_tokens_in_escrow(store: &dyn AnyStore) {
    let connection = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let work = revocation(&connection, at(1));
    let told = event("gone", at(1));
    let gone = store.disconnect(&connection, Some(&work), &told).await;
    assert!(gone.unwrap());
    let EscrowWrite::Ended(refused) = rescue(store, &lease, 2).await else {
        panic!("waits for what is gone");
    };
    let LeaseWrite::Refused(Some(standing)) = refused else {
        panic!("not refused by a connection: {refused:?}");
    };
    assert_eq!(standing.sealed, None);
}

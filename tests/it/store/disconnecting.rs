//! Disconnecting, and the provider's part of it.

use shared::domain::connection::{Connection, ConnectionStatus, Readers, RevocationOutcome};
use shared::ports::{ConnectAnswer, LeaseWrite};

use super::fixtures::{
    at, connect, connected, connection_id, connector_id, due_revocations, due_users, event, key,
    leased, revocation, stored, tokens, unsent, workspace,
};
use super::{AnyStore, facts, winners};

facts! {
    k01_a_disconnect_stops_hand_out_and_hands_its_ciphertext_to_a_revocation
    k09_of_50_disconnects_one_counts
    a_connection_that_changed_since_it_was_read_is_not_disconnected
    a_dead_grant_can_be_disconnected
    k06_without_a_revocation_it_is_disconnected_at_once
    a_settled_revocation_leaves_a_tombstone_that_no_list_shows
    the_outcome_of_an_old_revocation_does_not_touch_a_new_connection
    k10_a_disconnect_and_a_reconnect_of_the_same_connection_exclude_each_other
    a_reading_is_written_down_once_and_never_backwards
    h88_what_is_forgotten_keeps_out_what_comes_late_and_says_nothing_of_its_user
}

async fn listed(store: &dyn AnyStore) -> Vec<Connection> {
    let page = store
        .of_connector(&workspace(), &connector_id("c1"), None, 10)
        .await;
    page.unwrap().items
}

async fn disconnect(store: &dyn AnyStore, read: &Connection, now: i64) -> bool {
    let work = revocation(read, at(now));
    let told = event(&format!("gone-{now}"), at(now));
    store.disconnect(read, Some(&work), &told).await.unwrap()
}

async fn k01_a_disconnect_stops_hand_out_and_hands_its_ciphertext_to_a_revocation(
    store: &dyn AnyStore,
) {
    let before = connected(store, "u1").await;
    assert!(disconnect(store, &before, 5).await);
    let expected = Connection {
        status: ConnectionStatus::Revoking { since: at(5) },
        generation: 2,
        sealed: None,
        due_at: None,
        ..before.clone()
    };
    assert_eq!(stored(store, "u1").await, expected);
    assert_eq!(listed(store).await, [expected]);
    assert!(due_users(store, at(10_000)).await.is_empty());
    assert_eq!(unsent(store).await, ["e-made-u1", "e-s-u1", "gone-5"]);

    let work = revocation(&before, at(5));
    assert!(due_revocations(store, at(4)).await.is_empty());
    assert_eq!(
        due_revocations(store, at(5)).await,
        std::slice::from_ref(&work)
    );
    // Whoever disconnected can settle it without looking for it.
    let kept = store.revocation_work(&work);
    store.remove_revocation(&kept).await.unwrap();
    assert!(due_revocations(store, at(5)).await.is_empty());
}

async fn k09_of_50_disconnects_one_counts(store: &dyn AnyStore) {
    let read = connected(store, "u1").await;
    let won = winners(async |n| {
        let work = revocation(&read, at(5));
        let told = event(&format!("gone-{n}"), at(5));
        store.disconnect(&read, Some(&work), &told).await
    });
    assert_eq!(won.await, 1);
    assert_eq!(unsent(store).await.len(), 3);
    assert_eq!(due_revocations(store, at(5)).await.len(), 1);
    // Read again, it is gone: there is nothing to disconnect.
    let gone = stored(store, "u1").await;
    assert!(!disconnect(store, &gone, 6).await);
}

async fn a_connection_that_changed_since_it_was_read_is_not_disconnected(store: &dyn AnyStore) {
    let read = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    store
        .store_tokens(&lease, &tokens("new", at(1)), at(1))
        .await
        .unwrap();
    assert!(!disconnect(store, &read, 5).await);
    let now = stored(store, "u1").await;
    assert!(now.status.is_live());
    assert!(disconnect(store, &now, 6).await);
    let revocations = due_revocations(store, at(6)).await;
    assert_eq!(revocations[0].sealed, b"new");
}

async fn a_dead_grant_can_be_disconnected(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let reason = shared::domain::connection::ReconnectReason::RefreshExpired;
    let told = event("dead", at(1));
    store
        .require_reconnect(&lease, reason, at(1), &told)
        .await
        .unwrap();
    let dead = stored(store, "u1").await;
    assert!(disconnect(store, &dead, 5).await);
    assert_eq!(due_revocations(store, at(5)).await.len(), 1);
}

async fn k06_without_a_revocation_it_is_disconnected_at_once(store: &dyn AnyStore) {
    let read = connected(store, "u1").await;
    let told = event("gone", at(5));
    assert!(store.disconnect(&read, None, &told).await.unwrap());
    let expected = Connection {
        status: ConnectionStatus::Disconnected {
            outcome: RevocationOutcome::Unsupported,
            since: at(5),
        },
        generation: 2,
        sealed: None,
        due_at: None,
        ..read
    };
    assert_eq!(stored(store, "u1").await, expected);
    assert!(listed(store).await.is_empty());
    assert!(due_revocations(store, at(10_000)).await.is_empty());
    assert!(due_users(store, at(10_000)).await.is_empty());
}

async fn a_settled_revocation_leaves_a_tombstone_that_no_list_shows(store: &dyn AnyStore) {
    let read = connected(store, "u1").await;
    let settle = async |id: &str, outcome, now| {
        let id = connection_id(id);
        store
            .settle_revocation(&read.key, &id, outcome, now)
            .await
            .unwrap();
    };
    // A live connection has nothing to settle.
    settle("k-u1", RevocationOutcome::Revoked, at(1)).await;
    assert_eq!(stored(store, "u1").await, read);

    assert!(disconnect(store, &read, 5).await);
    settle("k-other", RevocationOutcome::Revoked, at(6)).await;
    assert_eq!(listed(store).await.len(), 1);
    settle("k-u1", RevocationOutcome::Failed, at(7)).await;
    settle("k-u1", RevocationOutcome::Revoked, at(8)).await;
    let tombstone = stored(store, "u1").await;
    let status = ConnectionStatus::Disconnected {
        outcome: RevocationOutcome::Failed,
        since: at(7),
    };
    assert_eq!(tombstone.status, status);
    assert!(listed(store).await.is_empty());
    let by_id = store
        .by_id(&workspace(), &connector_id("c1"), &read.id)
        .await;
    assert_eq!(by_id.unwrap(), None);
    assert!(!disconnect(store, &tombstone, 9).await);
}

async fn the_outcome_of_an_old_revocation_does_not_touch_a_new_connection(store: &dyn AnyStore) {
    let read = connected(store, "u1").await;
    assert!(disconnect(store, &read, 5).await);
    let revoking = stored(store, "u1").await;
    let new = Connection {
        id: connection_id("k-second"),
        status: ConnectionStatus::Active,
        generation: revoking.generation + 1,
        sealed: Some(b"second".to_vec()),
        ..revoking.clone()
    };
    let answer = connect(store, "s2", &new, Some(&revoking)).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    let outcome = RevocationOutcome::Revoked;
    store
        .settle_revocation(&read.key, &read.id, outcome, at(6))
        .await
        .unwrap();
    assert_eq!(stored(store, "u1").await, new);
    assert_eq!(listed(store).await, [new]);
}

async fn k10_a_disconnect_and_a_reconnect_of_the_same_connection_exclude_each_other(
    store: &dyn AnyStore,
) {
    for round in 0..10 {
        let user = format!("u{round}");
        let read = connected(store, &user).await;
        let new = Connection {
            generation: 2,
            sealed: Some(b"reconnected".to_vec()),
            ..read.clone()
        };
        let session = format!("again-{round}");
        let (gone, answer) = futures_util::join!(
            disconnect(store, &read, 5),
            connect(store, &session, &new, Some(&read)),
        );
        let standing = stored(store, &user).await;
        if gone {
            assert_eq!(answer, ConnectAnswer::Changed);
            assert_eq!(standing.sealed, None);
        } else {
            assert_eq!(answer, ConnectAnswer::Connected);
            assert_eq!(standing, new);
        }
    }
}

async fn a_reading_is_written_down_once_and_never_backwards(store: &dyn AnyStore) {
    store
        .record_read(&key("u1"), &Readers::new(), at(3))
        .await
        .unwrap();
    assert_eq!(store.connection(&key("u1")).await.unwrap(), None);

    let before = connected(store, "u1").await;
    for (read_at, known) in [(3, 3), (2, 3), (3, 3), (9, 9)] {
        store
            .record_read(&before.key, &Readers::new(), at(read_at))
            .await
            .unwrap();
        let expected = Connection {
            last_read_at: Some(at(known)),
            ..before.clone()
        };
        assert_eq!(stored(store, "u1").await, expected);
    }
    // A reading does not come between a lease and its store.
    let lease = leased(store, "u1", "a1", at(10)).await;
    store
        .record_read(&before.key, &Readers::new(), at(11))
        .await
        .unwrap();
    store
        .store_tokens(&lease, &tokens("new", at(12)), at(12))
        .await
        .unwrap();
    let now = stored(store, "u1").await;
    assert_eq!((now.generation, now.last_read_at), (2, Some(at(11))));
}

async fn h88_what_is_forgotten_keeps_out_what_comes_late_and_says_nothing_of_its_user(
    store: &dyn AnyStore,
) {
    let read = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let key = key("u1");
    store.forget(&key).await.unwrap();
    // Only what is gone is forgotten.
    assert_eq!(
        stored(store, "u1").await.granted_scopes,
        read.granted_scopes
    );
    let read = stored(store, "u1").await;
    assert!(disconnect(store, &read, 5).await);
    assert!(!stored(store, "u1").await.is_forgotten());
    store.forget(&key).await.unwrap();
    let forgotten = stored(store, "u1").await;
    assert!(forgotten.is_forgotten());
    assert_eq!((&forgotten.id, forgotten.generation), (&read.id, 2));
    let late = tokens("late", at(6));
    let late = store.store_tokens(&lease, &late, at(6));
    assert!(matches!(late.await.unwrap(), LeaseWrite::Refused(_)));
    let outcome = RevocationOutcome::Revoked;
    let settled = store.settle_revocation(&key, &read.id, outcome, at(7));
    settled.await.unwrap();
    assert!(stored(store, "u1").await.is_forgotten());
    // Nobody is forgotten who was never there.
    store.forget(&super::fixtures::key("u2")).await.unwrap();
    let nobody = store.connection(&super::fixtures::key("u2")).await;
    assert_eq!(nobody.unwrap(), None);
}

//! The lease: who gets it, for how long, and how it is given back.

use shared::domain::connection::ConnectionStatus;
use shared::domain::refresh_protocol::FailedAttempt;
use shared::ports::{LeaseAnswer, LeaseWrite};

use super::fixtures::{
    acquire, at, attempt, connect, connected, connection, connector, event, key, leased,
    revocation, stored, tokens,
};
use super::{AnyStore, facts, race};

facts! {
    h60_of_50_attempts_one_gets_the_lease
    h67_a_lease_answers_with_the_connection_it_protects
    h68_a_lease_whose_answer_was_lost_is_granted_again_and_counted_once
    h66_a_lease_is_taken_over_only_when_it_ended_and_the_clocks_may_differ
    b03_only_its_owner_gives_a_lease_back
    h69_the_first_of_the_open_attempts_is_known_by_when_it_began
    nobody_gets_a_lease_before_the_next_attempt_is_allowed
    there_is_nothing_to_lease_on_a_connection_that_is_not_live
    there_is_nothing_to_lease_without_a_ciphertext
}

/// B1.
async fn h60_of_50_attempts_one_gets_the_lease(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let answers = race(async |n| acquire(store, "u1", &format!("a{n}"), at(0)).await).await;
    let mut granted = 0;
    for answer in answers {
        match answer {
            LeaseAnswer::Granted(_) => granted += 1,
            LeaseAnswer::NotNow(found) => assert_eq!(found.open_attempts, 1),
            LeaseAnswer::Gone => panic!("the connection is live"),
        }
    }
    assert_eq!(granted, 1);
}

/// B5.
async fn h67_a_lease_answers_with_the_connection_it_protects(store: &dyn AnyStore) {
    let mut expected = connected(store, "u1").await;
    expected.open_attempts = 1;
    expected.open_since = Some(at(0));
    let lease = leased(store, "u1", "a1", at(0)).await;
    assert_eq!(lease.connection, expected);
    assert_eq!(lease.attempt, attempt("a1"));
    assert_eq!(stored(store, "u1").await, expected);
}

async fn h68_a_lease_whose_answer_was_lost_is_granted_again_and_counted_once(store: &dyn AnyStore) {
    connected(store, "u1").await;
    for _ in 0..2 {
        let lease = leased(store, "u1", "a1", at(0)).await;
        assert_eq!(lease.connection.open_attempts, 1);
    }
    // The same attempt in another call is another call.
    let later = acquire(store, "u1", "a1", at(1)).await;
    assert!(matches!(later, LeaseAnswer::NotNow(_)));
}

async fn h66_a_lease_is_taken_over_only_when_it_ended_and_the_clocks_may_differ(
    store: &dyn AnyStore,
) {
    connected(store, "u1").await;
    leased(store, "u1", "a1", at(0)).await;
    // 17 seconds of lease and 2 of skew.
    for now in [1, 17, 18, 19] {
        let answer = acquire(store, "u1", "a2", at(now)).await;
        assert!(matches!(answer, LeaseAnswer::NotNow(_)), "{now}");
    }
    let lease = leased(store, "u1", "a2", at(20)).await;
    assert_eq!(lease.connection.open_attempts, 2);
}

async fn b03_only_its_owner_gives_a_lease_back(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let first = leased(store, "u1", "a1", at(0)).await;
    let second = leased(store, "u1", "a2", at(20)).await;
    store.release_lease(&first).await.unwrap();
    let answer = acquire(store, "u1", "a3", at(21)).await;
    assert!(matches!(answer, LeaseAnswer::NotNow(_)));

    store.release_lease(&second).await.unwrap();
    // The first attempt never said how it ended: it stays open.
    assert_eq!(stored(store, "u1").await.open_attempts, 1);
    let third = leased(store, "u1", "a3", at(21)).await;
    store.release_lease(&third).await.unwrap();
    store.release_lease(&third).await.unwrap();
    assert_eq!(stored(store, "u1").await.open_attempts, 1);
}

async fn h69_the_first_of_the_open_attempts_is_known_by_when_it_began(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let given_back = leased(store, "u1", "a1", at(0)).await;
    store.release_lease(&given_back).await.unwrap();
    assert_eq!(stored(store, "u1").await.open_since, None);

    leased(store, "u1", "a2", at(10)).await;
    let next = leased(store, "u1", "a3", at(30)).await;
    assert_eq!(next.connection.open_since, Some(at(10)));
    store.release_lease(&next).await.unwrap();
    assert_eq!(stored(store, "u1").await.open_since, Some(at(10)));

    let last = leased(store, "u1", "a4", at(31)).await;
    let unknown = FailedAttempt::Unknown {
        next_attempt_at: at(51),
    };
    store.record_failure(&last, &unknown).await.unwrap();
    assert_eq!(stored(store, "u1").await.open_since, None);
    let lease = leased(store, "u1", "a5", at(51)).await;
    assert_eq!(lease.connection.open_since, Some(at(51)));
}

async fn nobody_gets_a_lease_before_the_next_attempt_is_allowed(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let pause = FailedAttempt::Pause {
        next_attempt_at: at(30),
    };
    let written = store.record_failure(&lease, &pause).await.unwrap();
    assert!(matches!(written, LeaseWrite::Written));
    let early = acquire(store, "u1", "a2", at(29)).await;
    assert!(matches!(early, LeaseAnswer::NotNow(_)));
    leased(store, "u1", "a2", at(30)).await;
}

async fn there_is_nothing_to_lease_on_a_connection_that_is_not_live(store: &dyn AnyStore) {
    let gone = async |user, name| {
        let answer = acquire(store, user, name, at(100)).await;
        assert!(matches!(answer, LeaseAnswer::Gone), "{answer:?}");
    };
    gone("nobody", "a1").await;
    assert_eq!(store.connection(&key("nobody")).await.unwrap(), None);

    let connection = connected(store, "u1").await;
    let told = event("gone", at(1));
    let work = revocation(&connection, at(1));
    assert!(
        store
            .disconnect(&connection, Some(&work), &told)
            .await
            .unwrap()
    );
    gone("u1", "a2").await;

    connected(store, "u2").await;
    let lease = leased(store, "u2", "a3", at(0)).await;
    let reason = shared::domain::connection::ReconnectReason::GrantRevoked;
    let told = event("dead", at(1));
    store
        .require_reconnect(&lease, reason, at(1), &told)
        .await
        .unwrap();
    gone("u2", "a4").await;

    // A suspect connection is still tried.
    connected(store, "u3").await;
    let lease = leased(store, "u3", "a5", at(0)).await;
    let suspect = FailedAttempt::Suspect {
        since: at(1),
        next_attempt_at: at(61),
    };
    store.record_failure(&lease, &suspect).await.unwrap();
    let lease = leased(store, "u3", "a6", at(61)).await;
    let status = ConnectionStatus::Suspect { since: at(1) };
    assert_eq!(lease.connection.status, status);
    let refreshed = store
        .store_tokens(&lease, &tokens("new", at(62)), at(62))
        .await;
    assert!(matches!(refreshed.unwrap(), LeaseWrite::Written));
    assert_eq!(stored(store, "u3").await.status, ConnectionStatus::Active);
}

async fn there_is_nothing_to_lease_without_a_ciphertext(store: &dyn AnyStore) {
    let made = event("made", at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let mut bare = connection("u1");
    bare.sealed = None;
    connect(store, "s1", &bare, None).await;
    let answer = acquire(store, "u1", "a1", at(0)).await;
    assert!(matches!(answer, LeaseAnswer::Gone), "{answer:?}");
    assert_eq!(stored(store, "u1").await, bare);
}

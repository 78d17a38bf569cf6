//! How an attempt ends: tokens, a failure, or a grant that is dead. And who is refused.

use shared::domain::connection::{
    Connection, ConnectionStatus, Lease, ReconnectReason, RevocationOutcome,
};
use shared::domain::refresh_protocol::FailedAttempt;
use shared::ports::{ConnectAnswer, LeaseAnswer, LeaseWrite};

use super::fixtures::{
    acquire, at, connect, connected, due_users, event, leased, revocation, stored, tokens, unsent,
};
use super::{AnyStore, facts};

facts! {
    h44_tokens_their_times_and_the_end_of_the_lease_are_one_write
    h68_a_store_whose_answer_was_lost_is_written_when_repeated
    f37_a_worker_that_thaws_before_its_successor_has_stored_loses_no_tokens
    h62_a_worker_that_comes_late_does_not_overwrite_newer_tokens
    h60_who_stores_late_leaves_the_lease_to_whoever_holds_it_by_then
    h62_tokens_are_stored_over_the_leased_generation_only
    h63_a_disconnect_fences_a_refresh_in_flight
    c17_a_reconnect_fences_a_refresh_in_flight
    f37_a_worker_whose_lease_ran_out_still_stores_if_nobody_took_over
    a_pause_ends_the_lease_and_counts_a_failure
    f08_an_unknown_outcome_keeps_the_lease_and_is_remembered_until_tokens_are_stored
    h69_an_attempt_that_never_reports_is_known_to_the_next_one
    h64_a_dead_grant_is_told_leaves_the_schedule_and_keeps_its_ciphertext
    h64_a_grant_is_not_declared_dead_by_a_worker_that_lost_its_lease
    h68_failures_whose_answer_was_lost_count_once
}

fn is_written(answer: &LeaseWrite) -> bool {
    matches!(answer, LeaseWrite::Written)
}

/// What stands where a write was refused.
fn refused_by(answer: LeaseWrite) -> Connection {
    match answer {
        LeaseWrite::Refused(Some(standing)) => *standing,
        other => panic!("not refused by a connection: {other:?}"),
    }
}

async fn refresh(store: &dyn AnyStore, lease: &Lease, sealed: &str, now: i64) -> LeaseWrite {
    let tokens = tokens(sealed, at(now));
    store.store_tokens(lease, &tokens, at(now)).await.unwrap()
}

/// B8.
async fn h44_tokens_their_times_and_the_end_of_the_lease_are_one_write(store: &dyn AnyStore) {
    let before = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(10)).await;
    assert!(is_written(&refresh(store, &lease, "new", 12).await));
    let new = tokens("new", at(12));
    let expected = Connection {
        generation: 2,
        sealed: Some(b"new".to_vec()),
        validity: new.validity,
        granted_scopes: new.granted_scopes,
        due_at: new.due_at,
        refreshed_at: Some(at(12)),
        ..before
    };
    assert_eq!(stored(store, "u1").await, expected);
    // The lease has ended: the next attempt need not wait.
    let next = leased(store, "u1", "a2", at(13)).await;
    assert_eq!(next.connection.open_attempts, 1);
    // A token that never expires has neither expiry nor due time, and its grant no end.
    let mut forever = tokens("forever", at(14));
    forever.validity.expires_at = None;
    forever.validity.grant_expires_at = None;
    forever.due_at = None;
    forever.refreshable = false;
    store.store_tokens(&next, &forever, at(14)).await.unwrap();
    let kept = stored(store, "u1").await;
    assert_eq!((kept.validity, kept.due_at), (forever.validity, None));
    assert!(!kept.refreshable);
}

/// F5.
async fn h68_a_store_whose_answer_was_lost_is_written_when_repeated(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    for _ in 0..3 {
        assert!(is_written(&refresh(store, &lease, "new", 2).await));
    }
    assert_eq!(stored(store, "u1").await.generation, 2);
    // Once others have moved on, what stands is theirs.
    let next = leased(store, "u1", "a2", at(3)).await;
    assert!(is_written(&refresh(store, &next, "newer", 4).await));
    let standing = refused_by(refresh(store, &lease, "new", 5).await);
    assert_eq!(standing.sealed.as_deref(), Some(&b"newer"[..]));
}

async fn h62_a_worker_that_comes_late_does_not_overwrite_newer_tokens(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let late = leased(store, "u1", "a1", at(0)).await;
    let second = leased(store, "u1", "a2", at(20)).await;
    assert!(is_written(&refresh(store, &second, "new", 22).await));
    let standing = refused_by(refresh(store, &late, "old", 23).await);
    assert_eq!(
        (standing.generation, standing.sealed),
        (2, Some(b"new".to_vec()))
    );
}

async fn f37_a_worker_that_thaws_before_its_successor_has_stored_loses_no_tokens(
    store: &dyn AnyStore,
) {
    connected(store, "u1").await;
    let thawed = leased(store, "u1", "a1", at(0)).await;
    let second = leased(store, "u1", "a2", at(20)).await;
    assert!(is_written(&refresh(store, &thawed, "thawed", 21).await));
    // Its successor learns of it and changes nothing.
    let failure = FailedAttempt::Pause {
        next_attempt_at: at(60),
    };
    let standing = refused_by(store.record_failure(&second, &failure).await.unwrap());
    assert_eq!((standing.generation, standing.failures), (2, 0));
    let standing = refused_by(refresh(store, &second, "second", 22).await);
    assert_eq!(standing.sealed, Some(b"thawed".to_vec()));
}

/// Told by the simulator, `everything-strict`, seed 43917: the second worker had asked already, and
/// a third one asked because the first one's store had ended the lease.
async fn h60_who_stores_late_leaves_the_lease_to_whoever_holds_it_by_then(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let thawed = leased(store, "u1", "a1", at(0)).await;
    leased(store, "u1", "a2", at(20)).await;
    for _ in 0..2 {
        assert!(is_written(&refresh(store, &thawed, "thawed", 21).await));
    }
    let third = acquire(store, "u1", "a3", at(22)).await;
    assert!(matches!(third, LeaseAnswer::NotNow(_)));
    let third = leased(store, "u1", "a3", at(40)).await;
    assert_eq!(third.connection.generation, 2);
}

async fn h62_tokens_are_stored_over_the_leased_generation_only(store: &dyn AnyStore) {
    let before = connected(store, "u1").await;
    let mut lease = leased(store, "u1", "a1", at(0)).await;
    lease.connection.generation += 1;
    refused_by(refresh(store, &lease, "new", 2).await);
    let (reason, told) = (ReconnectReason::GrantRevoked, event("dead", at(2)));
    let flip = store.require_reconnect(&lease, reason, at(2), &told).await;
    refused_by(flip.unwrap());
    assert_eq!(stored(store, "u1").await.sealed, before.sealed);
}

async fn h63_a_disconnect_fences_a_refresh_in_flight(store: &dyn AnyStore) {
    let connection = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let work = revocation(&connection, at(1));
    let gone = store
        .disconnect(&connection, Some(&work), &event("gone", at(1)))
        .await;
    assert!(gone.unwrap());
    let standing = refused_by(refresh(store, &lease, "new", 2).await);
    assert_eq!(standing.status, ConnectionStatus::Revoking { since: at(1) });
    assert_eq!(standing.sealed, None);
    store.release_lease(&lease).await.unwrap();
    let pause = FailedAttempt::Pause {
        next_attempt_at: at(30),
    };
    refused_by(store.record_failure(&lease, &pause).await.unwrap());

    let outcome = RevocationOutcome::Revoked;
    let settled = store
        .settle_revocation(&connection.key, &connection.id, outcome, at(3))
        .await;
    settled.unwrap();
    let standing = refused_by(refresh(store, &lease, "new", 4).await);
    assert_eq!((standing.sealed, standing.generation), (None, 2));
}

async fn c17_a_reconnect_fences_a_refresh_in_flight(store: &dyn AnyStore) {
    let old = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let new = Connection {
        generation: 2,
        sealed: Some(b"reconnected".to_vec()),
        ..old.clone()
    };
    let answer = connect(store, "s2", &new, Some(&old)).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    assert_eq!(
        refused_by(refresh(store, &lease, "refreshed", 2).await),
        new
    );
    assert_eq!(stored(store, "u1").await, new);
    // The old lease does not keep the new grant from being refreshed.
    leased(store, "u1", "a2", at(3)).await;
}

async fn f37_a_worker_whose_lease_ran_out_still_stores_if_nobody_took_over(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    assert!(is_written(&refresh(store, &lease, "new", 600).await));
}

async fn a_pause_ends_the_lease_and_counts_a_failure(store: &dyn AnyStore) {
    let before = connected(store, "u1").await;
    for (n, failures) in [(0, 1), (1, 2)] {
        let begun = at(n * 100);
        let lease = leased(store, "u1", &format!("a{n}"), begun).await;
        let next_attempt_at = at(n * 100 + 50);
        let pause = FailedAttempt::Pause { next_attempt_at };
        assert!(is_written(
            &store.record_failure(&lease, &pause).await.unwrap()
        ));
        let expected = Connection {
            failures,
            next_attempt_at: Some(next_attempt_at),
            ..before.clone()
        };
        assert_eq!(stored(store, "u1").await, expected);
    }
    let lease = leased(store, "u1", "a9", at(200)).await;
    assert!(is_written(&refresh(store, &lease, "new", 201).await));
    let healed = stored(store, "u1").await;
    assert_eq!((healed.failures, healed.next_attempt_at), (0, None));
}

async fn f08_an_unknown_outcome_keeps_the_lease_and_is_remembered_until_tokens_are_stored(
    store: &dyn AnyStore,
) {
    connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let unknown = FailedAttempt::Unknown {
        next_attempt_at: at(18),
    };
    assert!(is_written(
        &store.record_failure(&lease, &unknown).await.unwrap()
    ));
    for now in [8, 17, 18, 19] {
        let answer = acquire(store, "u1", "a2", at(now)).await;
        assert!(matches!(answer, LeaseAnswer::NotNow(_)), "{now}");
    }
    let next = leased(store, "u1", "a2", at(20)).await;
    assert_eq!(
        (next.connection.open_attempts, next.connection.failures),
        (1, 1)
    );
    assert!(next.connection.outcome_lost);
    // The attempt after it ends cleanly; the lost answer is still not accounted for.
    let pause = FailedAttempt::Pause {
        next_attempt_at: at(30),
    };
    store.record_failure(&next, &pause).await.unwrap();
    assert!(stored(store, "u1").await.outcome_lost);
    let last = leased(store, "u1", "a3", at(30)).await;
    assert!(is_written(&refresh(store, &last, "new", 31).await));
    let healed = stored(store, "u1").await;
    assert_eq!((healed.open_attempts, healed.outcome_lost), (0, false));
}

async fn h69_an_attempt_that_never_reports_is_known_to_the_next_one(store: &dyn AnyStore) {
    connected(store, "u1").await;
    leased(store, "u1", "a1", at(0)).await;
    let next = leased(store, "u1", "a2", at(20)).await;
    assert_eq!(next.connection.open_attempts, 2);
    let settle = FailedAttempt::Settle {
        next_attempt_at: at(40),
    };
    assert!(is_written(
        &store.record_failure(&next, &settle).await.unwrap()
    ));
    let settled = stored(store, "u1").await;
    assert_eq!((settled.open_attempts, settled.failures), (0, 0));
    assert!(settled.outcome_lost);
    assert!(matches!(
        acquire(store, "u1", "a3", at(39)).await,
        LeaseAnswer::NotNow(_)
    ));
    let third = leased(store, "u1", "a3", at(40)).await;
    assert_eq!(third.connection.open_attempts, 1);
}

async fn h64_a_dead_grant_is_told_leaves_the_schedule_and_keeps_its_ciphertext(
    store: &dyn AnyStore,
) {
    let before = connected(store, "u1").await;
    let lease = leased(store, "u1", "a1", at(0)).await;
    let (reason, since) = (ReconnectReason::GrantRevoked, at(5));
    for _ in 0..2 {
        let told = event("dead", at(5));
        let written = store.require_reconnect(&lease, reason, since, &told).await;
        assert!(is_written(&written.unwrap()));
    }
    let expected = Connection {
        status: ConnectionStatus::ReconnectRequired { reason, since },
        due_at: None,
        ..before
    };
    assert_eq!(stored(store, "u1").await, expected);
    assert!(due_users(store, at(10_000)).await.is_empty());
    assert_eq!(unsent(store).await, ["dead", "e-made-u1", "e-s-u1"]);
}

async fn h64_a_grant_is_not_declared_dead_by_a_worker_that_lost_its_lease(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let loser = leased(store, "u1", "a1", at(0)).await;
    let winner = leased(store, "u1", "a2", at(20)).await;
    let flip = async || {
        let (reason, told) = (ReconnectReason::GrantRevoked, event("dead", at(21)));
        let answer = store.require_reconnect(&loser, reason, at(21), &told).await;
        refused_by(answer.unwrap())
    };
    assert_eq!(flip().await.status, ConnectionStatus::Active);
    assert!(is_written(&refresh(store, &winner, "new", 22).await));
    assert_eq!(flip().await.generation, 2);
    let suspect = FailedAttempt::Suspect {
        since: at(23),
        next_attempt_at: at(83),
    };
    refused_by(store.record_failure(&loser, &suspect).await.unwrap());
    assert_eq!(stored(store, "u1").await.status, ConnectionStatus::Active);
    assert!(!unsent(store).await.contains(&"dead".to_owned()));
    assert_eq!(due_users(store, at(2700)).await, ["u1"]);
}

async fn h68_failures_whose_answer_was_lost_count_once(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let (since, next_attempt_at) = (at(1), at(10));
    for (n, failure) in [
        FailedAttempt::Pause { next_attempt_at },
        FailedAttempt::Suspect {
            since,
            next_attempt_at,
        },
        FailedAttempt::Unknown { next_attempt_at },
    ]
    .into_iter()
    .enumerate()
    {
        let begun = at(10 * n as i64);
        let lease = leased(store, "u1", &format!("a{n}"), begun).await;
        for _ in 0..2 {
            let written = store.record_failure(&lease, &failure).await.unwrap();
            assert!(is_written(&written), "{failure:?}");
        }
        assert_eq!(stored(store, "u1").await.failures, n as u32 + 1);
    }
    let stored = stored(store, "u1").await;
    assert_eq!((stored.open_attempts, stored.outcome_lost), (0, true));
}

//! Due work: found when it is due, oldest first, until it is removed.

use std::collections::BTreeSet;

use shared::domain::time::Timestamp;
use shared::ports::Revocation;

use super::fixtures::{
    at, connection, connection_id, due_revocations, due_users, event, key, revocation, unsent,
    user_of,
};
use super::{AnyStore, facts};

facts! {
    a_refresh_is_due_from_its_instant_on_until_it_is_removed
    a_refresh_added_twice_is_one
    work_comes_oldest_first_and_in_bounded_batches
    a_page_goes_on_where_the_last_one_ended
    what_was_found_is_removed_as_it_was_found
    work_is_spread_over_all_shards
    a_revocation_reads_back_as_written
    k04_a_postponed_revocation_waits_and_is_still_one
    f30_two_grants_of_one_connection_are_two_revocations
    f07_an_event_stays_until_it_is_published
}

async fn a_refresh_is_due_from_its_instant_on_until_it_is_removed(store: &dyn AnyStore) {
    let id = connection_id("k1");
    store.add_refresh(&key("u1"), &id, at(10)).await.unwrap();
    let just_before = Timestamp::from_millis(at(10).millis() - 1);
    assert!(due_users(store, just_before).await.is_empty());
    assert_eq!(due_users(store, at(10)).await, ["u1"]);
    // Removing what was due at another instant removes nothing.
    store.remove_refresh(&id, at(11)).await.unwrap();
    assert_eq!(due_users(store, at(99)).await, ["u1"]);
    store.remove_refresh(&id, at(10)).await.unwrap();
    store.remove_refresh(&id, at(10)).await.unwrap();
    assert!(due_users(store, at(99)).await.is_empty());
}

async fn a_refresh_added_twice_is_one(store: &dyn AnyStore) {
    for _ in 0..2 {
        let added = store
            .add_refresh(&key("u1"), &connection_id("k1"), at(10))
            .await;
        added.unwrap();
    }
    assert_eq!(due_users(store, at(10)).await, ["u1"]);
}

async fn work_comes_oldest_first_and_in_bounded_batches(store: &dyn AnyStore) {
    // One connection is in one shard, whenever it is due.
    let id = connection_id("k1");
    for (user, due) in [("third", 30), ("first", 10), ("second", 20)] {
        store.add_refresh(&key(user), &id, at(due)).await.unwrap();
    }
    let mut batches = Vec::new();
    for shard in 0..store.shards() {
        let due = store.due_refreshes(shard, at(99), None, 2).await.unwrap();
        let due = due.items;
        if !due.is_empty() {
            batches.push(due);
        }
    }
    let [batch] = &batches[..] else {
        panic!("one shard expected: {batches:?}");
    };
    let found: Vec<_> = batch
        .iter()
        .map(|(work, key)| (work.due_at, user_of(key)))
        .collect();
    assert_eq!(found, [(at(10), "first"), (at(20), "second")]);
}

async fn a_page_goes_on_where_the_last_one_ended(store: &dyn AnyStore) {
    let id = connection_id("k1");
    for n in 0..5 {
        let user = format!("u{n}");
        store.add_refresh(&key(&user), &id, at(n)).await.unwrap();
    }
    let mut found = Vec::new();
    for shard in 0..store.shards() {
        let mut after = None;
        loop {
            let page = store.due_refreshes(shard, at(3), after.as_deref(), 2).await;
            let page = page.unwrap();
            assert!(page.items.len() <= 2);
            found.extend(
                page.items
                    .into_iter()
                    .map(|(_, key)| user_of(&key).to_owned()),
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    assert_eq!(found, ["u0", "u1", "u2", "u3"], "the fifth is not due");
}

async fn what_was_found_is_removed_as_it_was_found(store: &dyn AnyStore) {
    let connector = super::fixtures::connector("c1");
    let told = event("e1", at(10));
    store.add_connector(&connector, &told).await.unwrap();
    store
        .add_refresh(&key("u1"), &connection_id("k1"), at(10))
        .await
        .unwrap();
    for shard in 0..store.shards() {
        for (work, _) in store.unsent_events(shard, at(11), 9).await.unwrap() {
            store.remove_found_event(&work).await.unwrap();
            store.remove_found_event(&work).await.unwrap();
        }
        let due = store.due_refreshes(shard, at(10), None, 9).await.unwrap();
        for (work, _) in due.items {
            store.remove_found_refresh(&work).await.unwrap();
            store.remove_found_refresh(&work).await.unwrap();
        }
    }
    assert!(unsent(store).await.is_empty());
    assert!(due_users(store, at(99)).await.is_empty());
}

async fn work_is_spread_over_all_shards(store: &dyn AnyStore) {
    for n in 0..40 {
        let id = connection_id(&format!("k{n}"));
        let user = format!("u{n}");
        store.add_refresh(&key(&user), &id, at(1)).await.unwrap();
    }
    let mut users = BTreeSet::new();
    for shard in 0..store.shards() {
        let due = store.due_refreshes(shard, at(1), None, 100).await.unwrap();
        let due = due.items;
        assert!(!due.is_empty(), "shard {shard} has nothing");
        for (work, key) in due {
            assert_eq!(work.shard, shard);
            users.insert(user_of(&key).to_owned());
        }
    }
    assert_eq!(users.len(), 40);
}

async fn a_revocation_reads_back_as_written(store: &dyn AnyStore) {
    let mut written = revocation(&connection("auth0|u#U#1 é"), at(3));
    for settles in [true, false] {
        written.settles_connection = settles;
        let work = store.add_revocation(&written, at(5)).await.unwrap();
        assert_eq!(due_revocations(store, at(5)).await, [written.clone()]);
        store.remove_revocation(&work).await.unwrap();
        store.remove_revocation(&work).await.unwrap();
        assert!(due_revocations(store, at(5)).await.is_empty());
    }
}

async fn k04_a_postponed_revocation_waits_and_is_still_one(store: &dyn AnyStore) {
    let written = revocation(&connection("u1"), at(3));
    let work = store.add_revocation(&written, at(3)).await.unwrap();
    store
        .postpone_revocation(&work, &written, at(60))
        .await
        .unwrap();
    assert!(due_revocations(store, at(59)).await.is_empty());
    assert_eq!(
        due_revocations(store, at(60)).await,
        std::slice::from_ref(&written)
    );

    // Postponed to the instant it is due at, it must not vanish.
    let work = store.add_revocation(&written, at(60)).await.unwrap();
    store
        .postpone_revocation(&work, &written, at(60))
        .await
        .unwrap();
    assert_eq!(due_revocations(store, at(60)).await, [written]);
}

async fn f30_two_grants_of_one_connection_are_two_revocations(store: &dyn AnyStore) {
    let disconnected = revocation(&connection("u1"), at(3));
    let dropped = Revocation {
        sealed: b"tokens that came too late".to_vec(),
        generation: 2,
        settles_connection: false,
        ..disconnected.clone()
    };
    for written in [&disconnected, &dropped, &dropped] {
        store.add_revocation(written, at(3)).await.unwrap();
    }
    assert_eq!(due_revocations(store, at(3)).await.len(), 2);
    let work = store.revocation_work(&disconnected);
    store.remove_revocation(&work).await.unwrap();
    assert_eq!(due_revocations(store, at(3)).await, [dropped]);
}

async fn f07_an_event_stays_until_it_is_published(store: &dyn AnyStore) {
    let connector = super::fixtures::connector("c1");
    let written = event("e1", at(10));
    store.add_connector(&connector, &written).await.unwrap();
    let before = async |end| {
        let mut found = Vec::new();
        for shard in 0..store.shards() {
            let unsent = store.unsent_events(shard, end, 10).await.unwrap();
            found.extend(unsent.into_iter().map(|(_, event)| event));
        }
        found
    };
    // Whoever wrote it gets the time to publish it.
    assert!(before(at(10)).await.is_empty());
    assert_eq!(before(at(11)).await, std::slice::from_ref(&written));
    store.remove_event(&written).await.unwrap();
    store.remove_event(&written).await.unwrap();
    assert!(unsent(store).await.is_empty());
    // So does one whose change was no transaction, however often it is written.
    for _ in 0..2 {
        store.add_event(&written).await.unwrap();
    }
    assert_eq!(before(at(11)).await, [written]);
}

//! What happened: entries by time, by what they are about, and with the change they tell of.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::domain::audit::{
    Action, Actor, AuditEntry, AuditFilter, AuditId, Origin, Outcome, ProviderSaid,
};
use shared::domain::connection::Readers;
use shared::domain::ids::{ApiKeyId, AppId, UserId, WorkspaceId};
use shared::domain::subject::Subject;
use shared::ports::{Audit, LookupKeys};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use super::fixtures::{
    api_key, app, app_id, at, connected, connection_id, connector, connector_id, entry, event, key,
    leased, unsent, workspace,
};
use super::{AnyStore, facts, race};

facts! {
    an_entry_reads_back_as_written
    of_50_equal_entries_one_is_added
    entries_come_latest_first_in_pages_of_their_own_workspace
    entries_are_filtered_by_connector_app_user_action_and_time
    h83_a_change_that_is_made_has_its_entry_and_one_that_is_refused_has_none
    who_read_lately_comes_with_a_look_up
    a21_connections_are_counted_by_key_and_hour_and_a_days_bulk_read_is_told_once
}

async fn all(store: &dyn AnyStore, filter: &AuditFilter) -> Vec<AuditEntry> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .entries(&workspace(), filter, after.as_deref(), 3)
            .await
            .unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn made(second: i64, tail: &str) -> AuditEntry {
    AuditEntry {
        time: at(second),
        id: AuditId::new(at(second), tail),
        ..entry()
    }
}

async fn an_entry_reads_back_as_written(store: &dyn AnyStore) {
    let user = UserId::parse("auth0|u 1#é").unwrap();
    let key = ApiKeyId::parse("k1").unwrap();
    let actors = [
        Actor::Admin(user.clone()),
        Actor::User(user.clone()),
        Actor::AppKey(key.clone()),
        Actor::System,
    ];
    let mut written: Vec<_> = (0..)
        .zip(actors)
        .map(|(n, actor)| AuditEntry {
            origin: Origin {
                actor,
                request_id: Some(format!("r{n}")),
            },
            outcome: Outcome::Refused,
            reason: Some("grant_revoked".into()),
            provider_said: Some(ProviderSaid::new("é", (n > 1).then_some("so"))),
            connector: Some(connector_id("c1")),
            app: Some(app_id()),
            subject: Some(Subject::User(user.clone())),
            connection: Some(connection_id("k-u1")),
            key: Some(key.clone()),
            ..made(n, "full")
        })
        .collect();
    written.push(AuditEntry {
        subject: Some(Subject::App),
        ..made(8, "shared")
    });
    written.push(made(9, "plain"));
    for entry in &written {
        assert!(store.add_entry(entry).await.unwrap());
    }
    written.reverse();
    assert_eq!(all(store, &AuditFilter::default()).await, written);
}

async fn of_50_equal_entries_one_is_added(store: &dyn AnyStore) {
    let added = race(async |n| {
        let entry = AuditEntry {
            reason: Some(format!("try {n}")),
            ..made(0, "same")
        };
        store.add_entry(&entry).await.unwrap()
    });
    assert_eq!(added.await.into_iter().filter(|added| *added).count(), 1);
    assert_eq!(all(store, &AuditFilter::default()).await.len(), 1);
}

async fn entries_come_latest_first_in_pages_of_their_own_workspace(store: &dyn AnyStore) {
    for second in [3, 1, 7, 5, 2, 6, 4] {
        store.add_entry(&made(second, "e")).await.unwrap();
    }
    let foreign = AuditEntry {
        workspace: WorkspaceId::parse("w2").unwrap(),
        ..made(4, "foreign")
    };
    store.add_entry(&foreign).await.unwrap();
    let found = all(store, &AuditFilter::default()).await;
    let seconds: Vec<_> = found.iter().map(|entry| entry.time).collect();
    assert_eq!(seconds, [7, 6, 5, 4, 3, 2, 1].map(at));
    for never_given in ["", "zz", "1-e", "999999999999999"] {
        let page = store
            .entries(&workspace(), &AuditFilter::default(), Some(never_given), 3)
            .await
            .unwrap();
        assert!(
            page.items.is_empty() && page.next.is_none(),
            "{never_given}"
        );
    }
    // A page of an earlier range does not go on in a later one.
    let late = AuditFilter {
        from: Some(at(5)),
        ..AuditFilter::default()
    };
    let early = AuditId::new(at(2), "e");
    let page = store
        .entries(&workspace(), &late, Some(early.as_str()), 3)
        .await
        .unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}

async fn entries_are_filtered_by_connector_app_user_action_and_time(store: &dyn AnyStore) {
    let user = |id: &str| Some(UserId::parse(id).unwrap());
    let about = |second, connector: &str, who: &str, action| AuditEntry {
        connector: Some(connector_id(connector)),
        app: Some(app_id()),
        subject: user(who).map(Subject::User),
        action,
        ..made(second, "e")
    };
    let written = [
        about(1, "c1", "u1", Action::Connected),
        about(2, "c1", "u2", Action::Connected),
        about(3, "c2", "u1", Action::Disconnected),
        AuditEntry {
            app: Some(AppId::parse("other").unwrap()),
            ..about(4, "c1", "u1", Action::Disconnected)
        },
        made(5, "e"),
    ];
    for entry in &written {
        store.add_entry(entry).await.unwrap();
    }
    let none = AuditFilter::default;
    let c1 = Some(connector_id("c1"));
    for (filter, expected) in [
        (
            AuditFilter {
                connector: c1.clone(),
                ..none()
            },
            vec![4, 2, 1],
        ),
        (
            AuditFilter {
                user: user("u1"),
                ..none()
            },
            vec![4, 3, 1],
        ),
        (
            AuditFilter {
                user: user("u1"),
                app: Some(app_id()),
                ..none()
            },
            vec![3, 1],
        ),
        (
            AuditFilter {
                user: user("u1"),
                connector: c1,
                ..none()
            },
            vec![4, 1],
        ),
        (
            AuditFilter {
                action: Some(Action::Disconnected),
                ..none()
            },
            vec![4, 3],
        ),
        (
            AuditFilter {
                from: Some(at(2)),
                to: Some(at(4)),
                ..none()
            },
            vec![3, 2],
        ),
        (
            AuditFilter {
                user: user("u1"),
                from: Some(at(2)),
                to: Some(at(4)),
                ..none()
            },
            vec![3],
        ),
        (
            AuditFilter {
                from: Some(at(4)),
                to: Some(at(2)),
                ..none()
            },
            vec![],
        ),
        (
            AuditFilter {
                user: user("nobody"),
                ..none()
            },
            vec![],
        ),
    ] {
        let found = all(store, &filter).await;
        let seconds: Vec<_> = found.iter().map(|entry| entry.time).collect();
        let expected: Vec<_> = expected.into_iter().map(at).collect();
        assert_eq!(seconds, expected, "{filter:?}");
    }
}

async fn h83_a_change_that_is_made_has_its_entry_and_one_that_is_refused_has_none(
    store: &dyn AnyStore,
) {
    let told = async || {
        let found = all(store, &AuditFilter::default()).await;
        let ids = found.iter().map(|entry| entry.id.as_str()[16..].to_owned());
        ids.collect::<BTreeSet<_>>()
    };
    let read = connected(store, "u1").await;
    let (of, c1) = (workspace(), connector_id("c1"));
    let mut expected = told().await;
    assert_eq!(expected.len(), 2, "the connector and the connection");
    let mut now = async |made: bool, id: &str| {
        if made {
            expected.insert(id.to_owned());
        }
        assert_eq!(told().await, expected, "{id}");
    };

    store.put_app(&app(), &made(1, "app")).await.unwrap();
    now(true, "app").await;
    for (id, fits) in [("k1", true), ("k2", true), ("k3", false)] {
        let added = store.add_api_key(&api_key(id, at(1)), &made(1, id)).await;
        assert_eq!(added.unwrap(), fits);
        now(fits, id).await;
    }
    for there in [true, false] {
        let (key, id) = (ApiKeyId::parse("k1").unwrap(), format!("removed-{there}"));
        let removed = store
            .remove_api_key(&of, &app_id(), &key, &made(2, &id))
            .await;
        assert_eq!(removed.unwrap(), there);
        now(there, &id).await;
    }
    let (c, told) = (connector("c1"), event("taken", at(2)));
    assert!(!store.add_connector(&c, &told).await.unwrap());
    now(false, "taken").await;
    for (version, id) in [(7, "stale"), (1, "edited")] {
        let told = event(id, at(3));
        let replaced = store.replace_connector(&c, version, &told).await;
        now(replaced.unwrap(), id).await;
    }
    let lease = leased(store, "u1", "a1", at(4)).await;
    let reason = shared::domain::connection::ReconnectReason::GrantRevoked;
    store
        .require_reconnect(&lease, reason, at(4), &event("dead", at(4)))
        .await
        .unwrap();
    now(true, "dead").await;
    for id in ["gone", "again"] {
        let gone = store.disconnect(&read, None, &event(id, at(5))).await;
        now(gone.unwrap(), id).await;
    }
    for (version, id) in [(7, "too-late"), (1, "deleting")] {
        let entry = made(6, id);
        let deleting = shared::domain::connector::Connector {
            status: shared::domain::connector::ConnectorStatus::Deleting { since: at(6) },
            ..connector("c1")
        };
        let begun = store
            .begin_connector_deletion(&deleting, version, at(6), &entry)
            .await;
        now(begun.unwrap(), id).await;
    }
    let work = {
        let mut found = Vec::new();
        for shard in 0..store.shards() {
            found.extend(store.due_deletions(shard, at(6), 5).await.unwrap());
        }
        found.pop().unwrap().0
    };
    for id in ["deleted", "deleted-before"] {
        let told = event(id, at(7));
        let gone = store
            .finish_connector_deletion(&of, &c1, &work, &told)
            .await;
        now(gone.unwrap(), id).await;
    }
}

async fn who_read_lately_comes_with_a_look_up(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let shown = async || {
        let keys = LookupKeys {
            api_key: [0; 32],
            connection: key("u1"),
            with_workspace_keys: false,
            minute: 0,
        };
        store.lookup(&keys).await.unwrap().readers
    };
    assert_eq!(shown().await, Readers::new());
    let readers = |keys: &[(&str, i64)]| -> Readers {
        let keys = keys.iter();
        keys.map(|(key, second)| (ApiKeyId::parse(*key).unwrap(), at(*second)))
            .collect()
    };
    let both = readers(&[("k1", 5), ("k2", 6)]);
    store.record_read(&key("u1"), &both, at(6)).await.unwrap();
    assert_eq!(shown().await, both);
    let stale = readers(&[("k1", 5)]);
    store.record_read(&key("u1"), &stale, at(5)).await.unwrap();
    assert_eq!(shown().await, both);
    let later = readers(&[("k2", 7)]);
    store.record_read(&key("u1"), &later, at(7)).await.unwrap();
    assert_eq!(shown().await, later);
}

async fn a21_connections_are_counted_by_key_and_hour_and_a_days_bulk_read_is_told_once(
    store: &dyn AnyStore,
) {
    let (one, other) = (
        ApiKeyId::parse("k1").unwrap(),
        ApiKeyId::parse("k2").unwrap(),
    );
    let counted = race(async |_| store.count_connection(&one, 7).await.unwrap());
    let counted: BTreeSet<_> = counted.await.into_iter().collect();
    assert_eq!(counted, (1..=50).collect());
    assert_eq!(store.count_connection(&one, 8).await.unwrap(), 1);
    assert_eq!(store.count_connection(&other, 7).await.unwrap(), 1);

    let told = race(async |n| {
        let event = event(&format!("bulk-{n}"), at(0));
        store.tell_bulk_read(&one, 3, &event).await.unwrap()
    });
    assert_eq!(told.await.into_iter().filter(|told| *told).count(), 1);
    assert_eq!(unsent(store).await.len(), 1);
    assert_eq!(all(store, &AuditFilter::default()).await.len(), 1);
    for (key, day) in [(&one, 4), (&other, 3)] {
        let event = event(&format!("bulk-{key}-{day}"), at(0));
        assert!(store.tell_bulk_read(key, day, &event).await.unwrap());
    }
}

#[tokio::test]
async fn an_entry_is_kept_for_its_retention_and_then_collected() {
    let clock = ManualClock::at(at(0));
    let engine = LocalDynamo::start(&clock, 1).await;
    let days = |count: u64| Duration::from_secs(count * 24 * 3600);
    let store = engine.store.clone().keeping_audit_for(days(10));
    store.add_entry(&made(0, "short")).await.unwrap();
    engine.store.add_entry(&made(0, "default")).await.unwrap();
    clock.advance(days(10));
    assert_eq!(engine.collect_garbage(), 0);
    clock.advance(Duration::from_secs(10));
    assert_eq!(engine.collect_garbage(), 1);
    clock.advance(days(390));
    assert_eq!(engine.collect_garbage(), 1);
}

/// What a filter leaves out is looked through 4,000 entries at a time, however many there are.
#[tokio::test]
async fn a_page_that_finds_nothing_ends_and_says_where_to_go_on() {
    let engine = LocalDynamo::start(&ManualClock::at(at(0)), 1).await;
    let written = AuditEntry {
        action: Action::TokenRead,
        ..made(0, "wanted")
    };
    engine.store.add_entry(&written).await.unwrap();
    let scanned = engine.client.scan().table_name(&engine.tables.audit).send();
    let row = scanned.await.unwrap().items.unwrap().pop().unwrap();
    let others = (1..=5000).map(|second| {
        let mut other = row.clone();
        let text = aws_sdk_dynamodb::types::AttributeValue::S;
        let id = AuditId::new(at(second), "other");
        other.insert("sk".into(), text(id.to_string()));
        other.insert("action".into(), text(Action::AppChanged.as_str().into()));
        other
    });
    engine.import(&engine.tables.audit, others.collect());
    let reads = AuditFilter {
        action: Some(Action::TokenRead),
        ..AuditFilter::default()
    };
    let store = &engine.store;
    let first = store.entries(&workspace(), &reads, None, 50).await.unwrap();
    assert!(first.items.is_empty());
    let next = first.next.unwrap();
    assert_eq!(AuditId::parse(&next).unwrap().time(), at(1001));
    let second = store.entries(&workspace(), &reads, Some(&next), 50).await;
    let second = second.unwrap();
    assert_eq!((second.items, second.next), (vec![written], None));
}

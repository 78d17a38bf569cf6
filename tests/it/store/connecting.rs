//! What a completed flow writes, and finding it again.

use shared::domain::connection::{Connection, ConnectionStatus, Readers, RevocationOutcome};
use shared::domain::connector::{Connector, ConnectorStatus};
use shared::domain::ending::Ending;
use shared::domain::ids::{Alias, UserId};
use shared::domain::session::Stage;
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::ports::ConnectAnswer;

use super::fixtures::{
    app_id, at, connect, connect_write, connected, connection, connection_id, connector,
    connector_id, due_users, entry, event, key, session, session_id, stored, unsent, user_of,
    workspace,
};
use super::{AnyStore, CALLERS, facts, race};

facts! {
    a_completed_flow_stores_the_connection_its_due_entry_the_event_and_the_session
    c07_a_completion_written_again_is_connected_once_more_and_changes_nothing
    c16_of_50_flows_that_connect_one_user_one_is_first
    x02_a_connector_that_is_being_deleted_takes_no_connection
    h38_a_connector_of_another_generation_takes_no_connection
    a_session_that_is_not_being_exchanged_brings_no_connection
    a_reconnect_keeps_the_id_and_moves_the_due_entry
    a_reconnect_that_is_due_at_the_same_instant_stays_due
    a_tombstone_is_replaced_by_a_connection_of_another_id
    a_connection_of_every_status_reads_back_as_written
    a_user_sees_own_connections_of_one_app_only_and_every_alias
    connections_of_a_connector_come_in_pages_and_by_id
}

async fn a_completed_flow_stores_the_connection_its_due_entry_the_event_and_the_session(
    store: &dyn AnyStore,
) {
    let new = connected(store, "u1").await;
    assert_eq!(stored(store, "u1").await, new);
    assert!(due_users(store, at(2699)).await.is_empty());
    assert_eq!(due_users(store, at(2700)).await, ["u1"]);
    assert_eq!(unsent(store).await, ["e-made-u1", "e-s-u1"]);
    let completed = store.session(&session_id("s-u1")).await.unwrap().unwrap();
    let stage = Stage::Completed {
        completion: [3; 32],
        connection: new.id,
    };
    assert_eq!((completed.stage, completed.expires_at), (stage, at(600)));
}

async fn c07_a_completion_written_again_is_connected_once_more_and_changes_nothing(
    store: &dyn AnyStore,
) {
    let new = connected(store, "u1").await;
    store
        .record_read(&new.key, &Readers::new(), at(7))
        .await
        .unwrap();
    let again = store.connect(&connect_write("s-u1", &new, None)).await;
    assert_eq!(again.unwrap(), ConnectAnswer::Connected);
    assert_eq!(stored(store, "u1").await.last_read_at, Some(at(7)));

    let mut other = new;
    other.id = connection_id("k-other");
    let other = store.connect(&connect_write("s-u1", &other, None)).await;
    assert_eq!(other.unwrap(), ConnectAnswer::SessionGone);
}

async fn c16_of_50_flows_that_connect_one_user_one_is_first(store: &dyn AnyStore) {
    store
        .add_connector(&connector("c1"), &event("made", at(0)))
        .await
        .unwrap();
    let answers = race(async |n| {
        let mut new = connection("u1");
        new.id = connection_id(&format!("k{n}"));
        connect(store, &format!("s{n}"), &new, None).await
    })
    .await;
    let first = answers
        .iter()
        .filter(|answer| **answer == ConnectAnswer::Connected);
    let changed = answers
        .iter()
        .filter(|answer| **answer == ConnectAnswer::Changed);
    assert_eq!((first.count(), changed.count()), (1, CALLERS - 1));
    assert_eq!(due_users(store, at(2700)).await, ["u1"]);
    assert_eq!(unsent(store).await.len(), 2);
}

async fn refused_by_connector(store: &dyn AnyStore) {
    let answer = connect(store, "s1", &connection("u1"), None).await;
    assert_eq!(answer, ConnectAnswer::ConnectorGone);
    assert_eq!(store.connection(&key("u1")).await.unwrap(), None);
    assert!(due_users(store, at(2700)).await.is_empty());
    assert!(!unsent(store).await.contains(&"e-s1".to_owned()));
    let session = store.session(&session_id("s1")).await.unwrap().unwrap();
    assert!(matches!(session.stage, Stage::Exchanging { .. }));
}

async fn x02_a_connector_that_is_being_deleted_takes_no_connection(store: &dyn AnyStore) {
    refused_by_connector(store).await;
    store
        .add_connector(&connector("c1"), &event("made", at(0)))
        .await
        .unwrap();
    let deleting = Connector {
        status: ConnectorStatus::Deleting { since: at(1) },
        version: 2,
        ..connector("c1")
    };
    assert!(
        store
            .begin_connector_deletion(&deleting, 1, at(1), &entry())
            .await
            .unwrap()
    );
    refused_by_connector(store).await;
}

async fn h38_a_connector_of_another_generation_takes_no_connection(store: &dyn AnyStore) {
    let edited = Connector {
        generation: 2,
        ..connector("c1")
    };
    store
        .add_connector(&edited, &event("made", at(0)))
        .await
        .unwrap();
    refused_by_connector(store).await;
}

async fn a_session_that_is_not_being_exchanged_brings_no_connection(store: &dyn AnyStore) {
    store
        .add_connector(&connector("c1"), &event("made", at(0)))
        .await
        .unwrap();
    let write = connect_write("s1", &connection("u1"), None);
    let unknown = store.connect(&write).await.unwrap();
    store
        .add(&session("s1", Stage::Ended(Ending::Cancelled)))
        .await
        .unwrap();
    let ended = store.connect(&write).await.unwrap();
    assert_eq!(
        (unknown, ended),
        (ConnectAnswer::SessionGone, ConnectAnswer::SessionGone)
    );
    assert_eq!(store.connection(&key("u1")).await.unwrap(), None);
}

/// The same user's next grant.
fn renewed(old: &Connection, due_at: Timestamp) -> Connection {
    Connection {
        generation: old.generation + 1,
        sealed: Some(b"renewed".to_vec()),
        due_at: Some(due_at),
        connected_at: at(100),
        ..old.clone()
    }
}

async fn a_reconnect_keeps_the_id_and_moves_the_due_entry(store: &dyn AnyStore) {
    let old = connected(store, "u1").await;
    let new = renewed(&old, at(5000));
    let answer = connect(store, "s2", &new, Some(&old)).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    assert_eq!(stored(store, "u1").await, new);
    assert!(due_users(store, at(4999)).await.is_empty());
    assert_eq!(due_users(store, at(5000)).await, ["u1"]);
    // A second flow that had read the same connection comes too late.
    let late = connect(store, "s3", &renewed(&old, at(6000)), Some(&old)).await;
    assert_eq!(late, ConnectAnswer::Changed);
}

async fn a_reconnect_that_is_due_at_the_same_instant_stays_due(store: &dyn AnyStore) {
    let old = connected(store, "u1").await;
    let new = renewed(&old, at(2700));
    let answer = connect(store, "s2", &new, Some(&old)).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    assert_eq!(due_users(store, at(2700)).await, ["u1"]);
}

async fn a_tombstone_is_replaced_by_a_connection_of_another_id(store: &dyn AnyStore) {
    let old = connected(store, "u1").await;
    assert!(
        store
            .disconnect(&old, None, &event("gone", at(10)))
            .await
            .unwrap()
    );
    let blind = connect(store, "s2", &connection("u1"), None).await;
    assert_eq!(blind, ConnectAnswer::Changed);

    let tombstone = stored(store, "u1").await;
    let mut new = renewed(&tombstone, at(5000));
    new.id = connection_id("k-second");
    new.status = ConnectionStatus::Active;
    let answer = connect(store, "s3", &new, Some(&tombstone)).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    assert_eq!(stored(store, "u1").await, new);
    let listed = store
        .of_connector(&workspace(), &connector_id("c1"), None, 10)
        .await;
    assert_eq!(listed.unwrap().items, [new]);
}

async fn a_connection_of_every_status_reads_back_as_written(store: &dyn AnyStore) {
    use shared::domain::connection::ReconnectReason::{GrantRevoked, RefreshOutcomeLost};
    store
        .add_connector(&connector("c1"), &event("made", at(0)))
        .await
        .unwrap();
    let since = at(9);
    let statuses = [
        ConnectionStatus::Active,
        ConnectionStatus::Suspect { since },
        ConnectionStatus::ReconnectRequired {
            reason: GrantRevoked,
            since,
        },
        ConnectionStatus::ReconnectRequired {
            reason: RefreshOutcomeLost,
            since,
        },
        ConnectionStatus::Revoking { since },
        ConnectionStatus::Disconnected {
            outcome: RevocationOutcome::Revoked,
            since,
        },
        ConnectionStatus::Disconnected {
            outcome: RevocationOutcome::Failed,
            since,
        },
    ];
    for (n, status) in statuses.into_iter().enumerate() {
        let full = Connection {
            status,
            open_attempts: 2,
            outcome_lost: true,
            failures: 3,
            next_attempt_at: Some(at(4)),
            refreshed_at: Some(at(5)),
            last_read_at: Some(at(6)),
            ..connection(&format!("full{n}"))
        };
        let mut bare = connection(&format!("bare{n}"));
        bare.status = status;
        bare.sealed = None;
        bare.account = None;
        bare.due_at = None;
        bare.validity.expires_at = None;
        bare.validity.grant_expires_at = None;
        bare.granted_scopes = bare.granted_scopes.missing_from(&bare.granted_scopes);
        for new in [full, bare] {
            let user = user_of(&new.key);
            let answer = connect(store, &format!("s-{user}"), &new, None).await;
            assert_eq!(answer, ConnectAnswer::Connected);
            assert_eq!(stored(store, user).await, new);
        }
    }
}

async fn a_user_sees_own_connections_of_one_app_only_and_every_alias(store: &dyn AnyStore) {
    for id in ["c1", "c2"] {
        store
            .add_connector(&connector(id), &event(id, at(0)))
            .await
            .unwrap();
    }
    // Users whose names could be mistaken for parts of another's key.
    let mut own = Vec::new();
    let places = [
        ("u", "c2", None),
        ("u", "c1", Some("b")),
        ("u", "c1", Some("a")),
        ("u", "c1", None),
        ("u#C#c1", "c1", None),
        ("u1", "c1", Some("a")),
    ];
    for (n, (user, connector, alias)) in places.into_iter().enumerate() {
        let mut new = connection(user);
        new.id = connection_id(&format!("k{n}"));
        new.key.connector = connector_id(connector);
        new.key.alias = alias.map(|alias| Alias::parse(alias).unwrap());
        let answer = connect(store, &format!("s{n}"), &new, None).await;
        assert_eq!(answer, ConnectAnswer::Connected);
        if user == "u" {
            own.insert(0, new);
        }
    }
    let mut shared = connection("u");
    shared.id = connection_id("shared");
    shared.key.subject = Subject::App;
    let answer = connect(store, "shared", &shared, None).await;
    assert_eq!(answer, ConnectAnswer::Connected);
    let found = store.connection(&shared.key).await.unwrap();
    assert_eq!(found, Some(shared));
    let user = UserId::parse("u").unwrap();
    let found = store.of_user(&workspace(), &app_id(), &user).await.unwrap();
    assert_eq!(found, own);
}

async fn connections_of_a_connector_come_in_pages_and_by_id(store: &dyn AnyStore) {
    for user in ["u4", "u2", "u1", "u3"] {
        connected(store, user).await;
    }
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let page = async |after: Option<&str>| {
        let page = store
            .of_connector(&workspace, &connector, after, 3)
            .await
            .unwrap();
        let ids = page.items.iter().map(|found| found.id.to_string());
        (ids.collect::<Vec<_>>(), page.next)
    };
    let (first, next) = page(None).await;
    assert_eq!(first, ["k-u1", "k-u2", "k-u3"]);
    assert_eq!(page(next.as_deref()).await, (vec!["k-u4".into()], None));

    let by_id = async |connector, id: &str| {
        let found = store
            .by_id(&workspace, &connector_id(connector), &connection_id(id))
            .await;
        found.unwrap().map(|found| user_of(&found.key).to_owned())
    };
    assert_eq!(by_id("c1", "k-u2").await.as_deref(), Some("u2"));
    assert_eq!(by_id("c2", "k-u2").await, None);
    assert_eq!(by_id("c1", "k-u9").await, None);
}

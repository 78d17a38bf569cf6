//! Wrapped keys, and the look-up that takes them along.

use shared::domain::ids::WorkspaceId;
use shared::domain::rate::Reader;
use shared::ports::{LookupKeys, WrappedRootKey, WrappedWorkspaceKeys};

use super::fixtures::{api_key, at, connected, connector, entry, key, workspace};
use super::{AnyStore, facts, race};

facts! {
    of_50_root_keys_of_one_version_one_stands_and_all_get_it
    of_50_first_keys_of_a_workspace_one_stands_and_all_get_it
    versions_of_a_key_stand_side_by_side
    a_look_up_finds_all_its_rows
    a_look_up_answers_what_is_there_and_no_more
    h25_a_look_up_shows_the_reads_of_its_minute_key_and_workspace
}

fn workspace_keys(seed: u8) -> WrappedWorkspaceKeys {
    WrappedWorkspaceKeys {
        current: 12,
        versions: vec![(9, vec![seed, 0]), (12, vec![seed, 1])],
    }
}

async fn of_50_root_keys_of_one_version_one_stands_and_all_get_it(store: &dyn AnyStore) {
    assert_eq!(store.root_key(1).await.unwrap(), None);
    let answers = race(async |n| {
        let wrapped = vec![n as u8];
        store
            .add_root_key(&WrappedRootKey {
                version: 1,
                wrapped,
            })
            .await
            .unwrap()
    })
    .await;
    let standing = store.root_key(1).await.unwrap().unwrap();
    assert!(answers.iter().all(|answer| *answer == standing));
}

async fn of_50_first_keys_of_a_workspace_one_stands_and_all_get_it(store: &dyn AnyStore) {
    assert_eq!(store.workspace_keys(&workspace()).await.unwrap(), None);
    let answers = race(async |n| {
        let keys = workspace_keys(n as u8);
        store.add_workspace_keys(&workspace(), &keys).await.unwrap()
    })
    .await;
    let standing = store.workspace_keys(&workspace()).await.unwrap().unwrap();
    assert!(answers.iter().all(|answer| *answer == standing));
    let other = WorkspaceId::parse("w2").unwrap();
    assert_eq!(store.workspace_keys(&other).await.unwrap(), None);
}

async fn versions_of_a_key_stand_side_by_side(store: &dyn AnyStore) {
    for version in [1, 2, 10] {
        let key = WrappedRootKey {
            version,
            wrapped: vec![version as u8],
        };
        assert_eq!(store.add_root_key(&key).await.unwrap(), key);
    }
    let second = store.root_key(2).await.unwrap().unwrap();
    assert_eq!((second.version, second.wrapped), (2, vec![2]));
}

async fn a_look_up_finds_all_its_rows(store: &dyn AnyStore) {
    let connection = connected(store, "u1").await;
    let presented = api_key("k1", at(0));
    store.add_api_key(&presented, &entry()).await.unwrap();
    store
        .add_workspace_keys(&workspace(), &workspace_keys(1))
        .await
        .unwrap();
    for with_workspace_keys in [true, false] {
        let rows = store
            .lookup(&LookupKeys {
                api_key: presented.hash,
                connection: key("u1"),
                with_workspace_keys,
                minute: 7,
            })
            .await
            .unwrap();
        assert_eq!(rows.api_key.as_ref(), Some(&presented));
        assert_eq!(rows.connector.as_ref(), Some(&connector("c1")));
        assert_eq!(rows.connection.as_ref(), Some(&connection));
        let keys = with_workspace_keys.then(|| workspace_keys(1));
        assert_eq!(rows.workspace_keys, keys);
    }
}

async fn a_look_up_answers_what_is_there_and_no_more(store: &dyn AnyStore) {
    connected(store, "u1").await;
    let rows = store
        .lookup(&LookupKeys {
            api_key: [0; 32],
            connection: key("u2"),
            with_workspace_keys: true,
            minute: 7,
        })
        .await
        .unwrap();
    assert!(rows.api_key.is_none() && rows.connection.is_none());
    assert!(rows.connector.is_some() && rows.workspace_keys.is_none());
}

async fn h25_a_look_up_shows_the_reads_of_its_minute_key_and_workspace(store: &dyn AnyStore) {
    let shown = async |hash: [u8; 32], minute| {
        let keys = LookupKeys {
            api_key: hash,
            connection: key("u1"),
            with_workspace_keys: false,
            minute,
        };
        let reads = store.lookup(&keys).await.unwrap().reads;
        (reads.credential, reads.workspace)
    };
    let (one, other) = ([1; 32], [2; 32]);
    assert_eq!(shown(one, 7).await, (0, 0));
    let added = race(async |_| {
        let reader = Reader::Credential(one);
        store.count_reads(&reader, 7, 2).await
    });
    assert!(added.await.iter().all(Result::is_ok));
    let everybody = Reader::Workspace(workspace());
    store.count_reads(&everybody, 7, 3).await.unwrap();
    let elsewhere = Reader::Workspace(WorkspaceId::parse("w2").unwrap());
    store.count_reads(&elsewhere, 7, 50).await.unwrap();
    assert_eq!(shown(one, 7).await, (100, 3));
    assert_eq!(shown(other, 7).await, (0, 3));
    assert_eq!(shown(one, 8).await, (0, 0));
}

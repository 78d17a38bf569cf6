//! Apps, API keys and connectors.

use std::collections::BTreeSet;

use shared::domain::app::{ApiKey, App, AppStatus, KeyScope};
use shared::domain::connector::{Accounts, Connector, ConnectorKind, ConnectorStatus, ScopePolicy};
use shared::domain::ids::{ApiKeyId, AppId, WorkspaceId};
use shared::ports::{Doomed, DueWork};

use super::fixtures::{
    api_key, app, app_id, at, connector, connector_id, entry, event, unsent, workspace,
};
use super::{AnyStore, facts, winners};

facts! {
    an_app_is_replaced_as_a_whole_and_unknown_to_other_workspaces
    a_key_is_found_by_its_hash_until_it_is_removed
    of_50_removals_of_a_key_one_counts
    h86_of_50_keys_added_at_once_two_are_kept_and_a_removal_makes_room
    a_key_reads_back_with_its_scopes
    keys_are_listed_oldest_first_and_by_app
    a_connector_reads_back_as_written
    an_id_is_taken_once
    h06_of_50_workspaces_that_want_an_id_one_has_it_for_good
    a_connector_without_a_secret_reads_back
    connectors_come_in_pages_of_their_own_workspace
    a_cursor_that_was_never_given_leads_nowhere
    of_50_edits_of_one_version_one_is_kept_and_told
    a_deletion_is_begun_by_one_of_50_and_finished_once
    h89_a_revocation_is_begun_by_one_of_50_and_its_work_removed
    work_on_a_connector_that_is_not_being_deleted_is_dropped
    an_apps_deletion_takes_its_keys_and_lets_none_be_added
    an_apps_deletion_is_begun_by_one_of_50_and_finished_once
    h86_of_50_keys_that_meet_a_deletion_none_is_left
}

fn other_workspace() -> WorkspaceId {
    WorkspaceId::parse("w2").unwrap()
}

async fn an_app_is_replaced_as_a_whole_and_unknown_to_other_workspaces(store: &dyn AnyStore) {
    store.put_app(&app(), &entry()).await.unwrap();
    let renamed = App {
        name: "Store".into(),
        return_urls: vec![],
        ..app()
    };
    store.put_app(&renamed, &entry()).await.unwrap();
    let found = store.app(&workspace(), &app_id()).await.unwrap();
    assert_eq!(found, Some(renamed));
    let foreign = store.app(&other_workspace(), &app_id()).await.unwrap();
    assert_eq!(foreign, None);
}

async fn a_key_is_found_by_its_hash_until_it_is_removed(store: &dyn AnyStore) {
    let key = api_key("k1", at(0));
    store.add_api_key(&key, &entry()).await.unwrap();
    let found = store.api_key(&key.hash).await.unwrap();
    assert_eq!(found.as_ref(), Some(&key));

    let other_app = AppId::parse("other").unwrap();
    for (workspace, app) in [(other_workspace(), app_id()), (workspace(), other_app)] {
        let removed = store
            .remove_api_key(&workspace, &app, &key.id, &entry())
            .await;
        assert!(!removed.unwrap());
    }
    assert!(
        store
            .remove_api_key(&workspace(), &app_id(), &key.id, &entry())
            .await
            .unwrap()
    );
    assert_eq!(store.api_key(&key.hash).await.unwrap(), None);
    assert!(
        store
            .api_keys(&workspace(), &app_id())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        !store
            .remove_api_key(&workspace(), &app_id(), &key.id, &entry())
            .await
            .unwrap()
    );
}

async fn of_50_removals_of_a_key_one_counts(store: &dyn AnyStore) {
    let key = api_key("k1", at(0));
    store.add_api_key(&key, &entry()).await.unwrap();
    let (workspace, app) = (workspace(), app_id());
    let won = winners(async |_| {
        store
            .remove_api_key(&workspace, &app, &key.id, &entry())
            .await
    });
    assert_eq!(won.await, 1);
}

async fn h86_of_50_keys_added_at_once_two_are_kept_and_a_removal_makes_room(store: &dyn AnyStore) {
    let won = winners(async |n| {
        store
            .add_api_key(&api_key(&format!("k{n}"), at(0)), &entry())
            .await
    });
    assert_eq!(won.await, 2);
    let live = store.api_keys(&workspace(), &app_id()).await.unwrap();
    assert_eq!(live.len(), 2);
    for key in &live {
        assert_eq!(store.api_key(&key.hash).await.unwrap().as_ref(), Some(key));
    }
    let late = api_key("late", at(1));
    assert!(!store.add_api_key(&late, &entry()).await.unwrap());
    assert_eq!(store.api_key(&late.hash).await.unwrap(), None);
    let removed = store
        .remove_api_key(&workspace(), &app_id(), &live[0].id, &entry())
        .await;
    assert!(removed.unwrap());
    assert!(store.add_api_key(&late, &entry()).await.unwrap());
    // Another app's keys are its own.
    let mut foreign = api_key("foreign", at(1));
    foreign.app = AppId::parse("other").unwrap();
    assert!(store.add_api_key(&foreign, &entry()).await.unwrap());
}

async fn a_key_reads_back_with_its_scopes(store: &dyn AnyStore) {
    let key = ApiKey {
        scopes: BTreeSet::from([KeyScope::ConnectionsRead]),
        ..api_key("k1", at(0))
    };
    assert!(store.add_api_key(&key, &entry()).await.unwrap());
    assert_eq!(store.api_key(&key.hash).await.unwrap(), Some(key.clone()));
    let listed = store.api_keys(&workspace(), &app_id()).await.unwrap();
    assert_eq!(listed, [key]);
}

async fn keys_are_listed_oldest_first_and_by_app(store: &dyn AnyStore) {
    let mut foreign = api_key("k0", at(0));
    // An app whose name begins with the other's.
    foreign.app = AppId::parse("shop-2").unwrap();
    let (old, new) = (api_key("zz", at(1)), api_key("aa", at(2)));
    for key in [&new, &old, &foreign] {
        store.add_api_key(key, &entry()).await.unwrap();
    }
    let listed = store.api_keys(&workspace(), &app_id()).await.unwrap();
    assert_eq!(listed, [old, new]);
    let unknown = ApiKeyId::parse("k9").unwrap();
    assert!(
        !store
            .remove_api_key(&workspace(), &app_id(), &unknown, &entry())
            .await
            .unwrap()
    );
}

async fn a_connector_reads_back_as_written(store: &dyn AnyStore) {
    let plain = Connector {
        allowed_apps: None,
        scope_policy: ScopePolicy::Widening,
        kind: ConnectorKind::App,
        accounts: Accounts::One,
        ..connector("c2")
    };
    let disabled = Connector {
        status: ConnectorStatus::Disabled { since: at(3) },
        ..connector("c3")
    };
    for written in [connector("c1"), plain, disabled] {
        let told = event(written.id.as_str(), at(0));
        assert!(store.add_connector(&written, &told).await.unwrap());
        let found = store.connector(&workspace(), &written.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&written));
        let foreign = store.connector(&other_workspace(), &written.id).await;
        assert_eq!(foreign.unwrap(), None);
    }
    assert_eq!(unsent(store).await, ["c1", "c2", "c3"]);
}

async fn an_id_is_taken_once(store: &dyn AnyStore) {
    let won = winners(async |n| {
        let told = event(&format!("e{n}"), at(0));
        store.add_connector(&connector("c1"), &told).await
    });
    assert_eq!(won.await, 1);
    assert_eq!(unsent(store).await.len(), 1);
}

/// H-06, A-01.
async fn h06_of_50_workspaces_that_want_an_id_one_has_it_for_good(store: &dyn AnyStore) {
    let of = |n: usize| Connector {
        workspace: WorkspaceId::parse(format!("w{n}")).unwrap(),
        ..connector("c1")
    };
    let added = super::race(async |n| {
        let told = event(&format!("e{n}"), at(0));
        store.add_connector(&of(n), &told).await.unwrap()
    });
    let added = added.await;
    assert_eq!(added.iter().filter(|won| **won).count(), 1);
    let owner = of(added.iter().position(|won| *won).unwrap());
    let deleting = Connector {
        status: ConnectorStatus::Deleting { since: at(5) },
        version: 2,
        ..owner.clone()
    };
    let noted = entry();
    let begun = store.begin_connector_deletion(&deleting, 1, at(5), &noted);
    assert!(begun.await.unwrap());
    let mut works = Vec::new();
    for shard in 0..store.shards() {
        works.extend(store.due_deletions(shard, at(5), 10).await.unwrap());
    }
    let (work, workspace, _) = works.pop().unwrap();
    let told = event("gone", at(6));
    let gone = store.finish_connector_deletion(&workspace, &owner.id, &work, &told);
    assert!(gone.await.unwrap());

    let other = Connector {
        workspace: WorkspaceId::parse("late").unwrap(),
        ..owner.clone()
    };
    let told = event("late", at(7));
    assert!(!store.add_connector(&other, &told).await.unwrap());
    let told = event("again", at(7));
    assert!(store.add_connector(&owner, &told).await.unwrap());
}

async fn a_connector_without_a_secret_reads_back(store: &dyn AnyStore) {
    let written = Connector {
        client_secret: None,
        ..connector("c1")
    };
    let told = event("e", at(0));
    assert!(store.add_connector(&written, &told).await.unwrap());
    let found = store.connector(&workspace(), &written.id).await.unwrap();
    assert_eq!(found, Some(written));
}

async fn connectors_come_in_pages_of_their_own_workspace(store: &dyn AnyStore) {
    for id in ["c3", "c1", "c2", "c4"] {
        let told = event(id, at(0));
        store.add_connector(&connector(id), &told).await.unwrap();
    }
    let foreign = Connector {
        workspace: other_workspace(),
        ..connector("c1a")
    };
    store
        .add_connector(&foreign, &event("e", at(0)))
        .await
        .unwrap();

    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .connectors(&workspace(), after.as_deref(), 2)
            .await
            .unwrap();
        pages.push(
            page.items
                .iter()
                .map(|c| c.id.to_string())
                .collect::<Vec<_>>(),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [["c1", "c2"], ["c3", "c4"]]);
}

async fn a_cursor_that_was_never_given_leads_nowhere(store: &dyn AnyStore) {
    let told = event("e", at(0));
    store.add_connector(&connector("c1"), &told).await.unwrap();
    for cursor in ["zz", "~", "é", "!", ""] {
        let page = store
            .connectors(&workspace(), Some(cursor), 5)
            .await
            .unwrap();
        assert!(page.items.is_empty() && page.next.is_none(), "{cursor}");
    }
}

async fn of_50_edits_of_one_version_one_is_kept_and_told(store: &dyn AnyStore) {
    let made = event("made", at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let edited = |n: usize| Connector {
        name: format!("edit {n}"),
        version: 2,
        ..connector("c1")
    };
    let won = winners(async |n| {
        let told = event(&format!("edit-{n}"), at(1));
        store.replace_connector(&edited(n), 1, &told).await
    });
    assert_eq!(won.await, 1);
    let kept = store
        .connector(&workspace(), &connector_id("c1"))
        .await
        .unwrap();
    let kept = kept.unwrap().name.replace(' ', "-");
    assert_eq!(unsent(store).await, [kept, "made".to_owned()]);
    let told = event("late", at(1));
    let absent = store.replace_connector(&connector("c9"), 1, &told).await;
    assert!(!absent.unwrap());
}

async fn deletions(store: &dyn AnyStore, now: i64) -> Vec<DueWork> {
    let mut found = Vec::new();
    for shard in 0..store.shards() {
        for (work, of, connector) in store.due_deletions(shard, at(now), 10).await.unwrap() {
            let c1 = Doomed::Connector(connector_id("c1"));
            assert_eq!((of, connector), (workspace(), c1));
            found.push(work);
        }
    }
    found
}

async fn a_deletion_is_begun_by_one_of_50_and_finished_once(store: &dyn AnyStore) {
    let made = event("made", at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let deleting = Connector {
        status: ConnectorStatus::Deleting { since: at(5) },
        version: 2,
        ..connector("c1")
    };
    let won = winners(async |_| {
        store
            .begin_connector_deletion(&deleting, 1, at(5), &entry())
            .await
    });
    assert_eq!(won.await, 1);
    let found = store.connector(&workspace(), &deleting.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&deleting));

    assert!(deletions(store, 4).await.is_empty());
    let work = deletions(store, 5).await.pop().unwrap();
    let won = winners(async |n| {
        let told = event(&format!("gone-{n}"), at(6));
        let (of, id) = (workspace(), connector_id("c1"));
        store
            .finish_connector_deletion(&of, &id, &work, &told)
            .await
    });
    assert_eq!(won.await, 1);
    assert_eq!(
        store.connector(&workspace(), &deleting.id).await.unwrap(),
        None
    );
    assert!(deletions(store, 1000).await.is_empty());
    assert_eq!(unsent(store).await.len(), 2);
}

async fn h89_a_revocation_is_begun_by_one_of_50_and_its_work_removed(store: &dyn AnyStore) {
    let made = event("made", at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let revoked = connector("c1").revoking(at(5));
    let won = winners(async |n| {
        let told = event(&format!("revoked-{n}"), at(5));
        store.revoke_connections(&revoked, 1, at(5), &told).await
    });
    assert_eq!(won.await, 1);
    let found = store.connector(&workspace(), &revoked.id).await.unwrap();
    assert_eq!(found, Some(revoked));
    assert_eq!(unsent(store).await.len(), 2);

    let mut due = Vec::new();
    for shard in 0..store.shards() {
        assert!(
            store
                .due_deletions(shard, at(4), 10)
                .await
                .unwrap()
                .is_empty()
        );
        due.extend(store.due_deletions(shard, at(5), 10).await.unwrap());
    }
    let [(work, of, what)] = &due[..] else {
        panic!("{due:?}");
    };
    let c1 = Doomed::Revoked(connector_id("c1"));
    assert_eq!((of, what), (&workspace(), &c1));
    for _ in 0..2 {
        store.remove_deletion(work).await.unwrap();
    }
    let left = store.due_deletions(work.shard, at(1000), 10).await.unwrap();
    assert!(left.is_empty());
}

async fn work_on_a_connector_that_is_not_being_deleted_is_dropped(store: &dyn AnyStore) {
    let made = event("made", at(0));
    store.add_connector(&connector("c1"), &made).await.unwrap();
    let deleting = Connector {
        status: ConnectorStatus::Deleting { since: at(5) },
        version: 2,
        ..connector("c1")
    };
    assert!(
        store
            .begin_connector_deletion(&deleting, 1, at(5), &entry())
            .await
            .unwrap()
    );
    let back = Connector {
        version: 3,
        ..connector("c1")
    };
    let told = event("back", at(6));
    assert!(store.replace_connector(&back, 2, &told).await.unwrap());

    let work = deletions(store, 5).await.pop().unwrap();
    let told = event("gone", at(7));
    let finished = store
        .finish_connector_deletion(&workspace(), &connector_id("c1"), &work, &told)
        .await;
    assert!(!finished.unwrap());
    let found = store.connector(&workspace(), &back.id).await.unwrap();
    assert_eq!(found, Some(back));
    assert!(deletions(store, 1000).await.is_empty());
}

fn doomed_app() -> App {
    App {
        status: AppStatus::Deleting { since: at(5) },
        updated_at: at(5),
        ..app()
    }
}

async fn begin(store: &dyn AnyStore) -> bool {
    let (doomed, noted) = (doomed_app(), entry());
    store
        .begin_app_deletion(&doomed, at(5), &noted)
        .await
        .unwrap()
}

async fn an_apps_deletion_takes_its_keys_and_lets_none_be_added(store: &dyn AnyStore) {
    assert!(!begin(store).await, "there is no app");
    store.put_app(&app(), &entry()).await.unwrap();
    let keys = [api_key("k1", at(0)), api_key("k2", at(1))];
    let mut foreign = api_key("foreign", at(1));
    foreign.app = AppId::parse("other").unwrap();
    for key in keys.iter().chain([&foreign]) {
        assert!(store.add_api_key(key, &entry()).await.unwrap());
    }
    assert!(begin(store).await);
    for key in &keys {
        assert_eq!(store.api_key(&key.hash).await.unwrap(), None);
    }
    let left = store.api_keys(&workspace(), &app_id()).await.unwrap();
    assert!(left.is_empty());
    assert!(store.api_key(&foreign.hash).await.unwrap().is_some());

    let late = api_key("late", at(6));
    assert!(!store.add_api_key(&late, &entry()).await.unwrap());
    assert_eq!(store.api_key(&late.hash).await.unwrap(), None);
    assert!(!store.put_app(&app(), &entry()).await.unwrap());
    let found = store.app(&workspace(), &app_id()).await.unwrap();
    assert_eq!(found, Some(doomed_app()));
}

async fn app_deletions(store: &dyn AnyStore) -> Vec<DueWork> {
    let mut found = Vec::new();
    for shard in 0..store.shards() {
        for (work, of, what) in store.due_deletions(shard, at(5), 10).await.unwrap() {
            assert_eq!((of, what), (workspace(), Doomed::App(app_id())));
            found.push(work);
        }
    }
    found
}

async fn an_apps_deletion_is_begun_by_one_of_50_and_finished_once(store: &dyn AnyStore) {
    store.put_app(&app(), &entry()).await.unwrap();
    let (doomed, noted) = (doomed_app(), entry());
    let won = winners(async |_| store.begin_app_deletion(&doomed, at(5), &noted).await);
    assert_eq!(won.await, 1);
    let work = app_deletions(store).await.pop().unwrap();
    let won = winners(async |n| {
        let told = event(&format!("gone-{n}"), at(6));
        store.finish_app_deletion(&doomed, &work, &told).await
    });
    assert_eq!(won.await, 1);
    assert_eq!(store.app(&workspace(), &app_id()).await.unwrap(), None);
    assert!(app_deletions(store).await.is_empty());
    assert_eq!(unsent(store).await.len(), 1);
    // Another app may have the name.
    assert!(store.put_app(&app(), &entry()).await.unwrap());
    let key = api_key("new", at(7));
    assert!(store.add_api_key(&key, &entry()).await.unwrap());
}

async fn h86_of_50_keys_that_meet_a_deletion_none_is_left(store: &dyn AnyStore) {
    store.put_app(&app(), &entry()).await.unwrap();
    super::race(async |n| {
        if n == 25 {
            begin(store).await;
            return;
        }
        let key = api_key(&format!("k{n}"), at(0));
        store.add_api_key(&key, &entry()).await.unwrap();
    })
    .await;
    let left = store.api_keys(&workspace(), &app_id()).await.unwrap();
    assert!(left.is_empty());
    for n in 0..50 {
        let key = api_key(&format!("k{n}"), at(0));
        assert_eq!(store.api_key(&key.hash).await.unwrap(), None);
    }
}

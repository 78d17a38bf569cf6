//! The key hierarchy: who opens what, for how long, and what erasing or moving a key does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared::crypto::envelope::{Binding, OpenError, SealingKey};
use shared::crypto::vault::{Vault, VaultError, WorkspaceKeys};
use shared::domain::ids::{ConnectionId, WorkspaceId};
use shared::domain::secret::Secret;
use shared::domain::time::Timestamp;
use shared::domain::token::TokenSet;
use shared::ports::{
    Clock as _, KeyService as _, KeyTable, KmsError, StoreError, WrappedRootKey,
    WrappedWorkspaceKeys,
};
use testkit::clock::ManualClock;
use testkit::entropy::SeededEntropy;
use testkit::fake_kms::{FakeKeyService, KmsState};
use tokio::task::yield_now;

const STACK: &str = "stories";

/// A key table whose rows a test can edit. Each call lets every other task run first, so that
/// callers that start together meet.
#[derive(Default)]
struct Table {
    root: Mutex<Option<WrappedRootKey>>,
    rows: Mutex<BTreeMap<WorkspaceId, WrappedWorkspaceKeys>>,
}

#[async_trait]
impl KeyTable for Table {
    async fn root_key(&self, _: u32) -> Result<Option<WrappedRootKey>, StoreError> {
        yield_now().await;
        Ok(self.root.lock().unwrap().clone())
    }

    async fn add_root_key(&self, key: &WrappedRootKey) -> Result<WrappedRootKey, StoreError> {
        yield_now().await;
        let mut root = self.root.lock().unwrap();
        Ok(root.get_or_insert_with(|| key.clone()).clone())
    }

    async fn workspace_keys(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedWorkspaceKeys>, StoreError> {
        yield_now().await;
        Ok(self.rows.lock().unwrap().get(workspace).cloned())
    }

    async fn add_workspace_keys(
        &self,
        workspace: &WorkspaceId,
        keys: &WrappedWorkspaceKeys,
    ) -> Result<WrappedWorkspaceKeys, StoreError> {
        yield_now().await;
        let mut rows = self.rows.lock().unwrap();
        let standing = rows.entry(workspace.clone());
        Ok(standing.or_insert_with(|| keys.clone()).clone())
    }
}

/// What the execution environments of one stack share.
struct Stack {
    clock: ManualClock,
    table: Arc<Table>,
    kms: Arc<FakeKeyService>,
}

impl Stack {
    fn new() -> Self {
        Self {
            clock: ManualClock::new(),
            table: Arc::default(),
            kms: Arc::new(FakeKeyService::new(STACK)),
        }
    }

    /// The vault of a new execution environment.
    fn environment(&self, seed: u64) -> Vault {
        Vault::new(
            STACK.into(),
            Arc::clone(&self.table) as _,
            Arc::clone(&self.kms) as _,
            Arc::new(self.clock.clone()),
            Arc::new(SeededEntropy::new(seed)),
        )
    }

    /// A stack in which these workspaces have keys, and an environment that has opened none.
    async fn with_keys_of(workspaces: impl IntoIterator<Item = WorkspaceId>) -> (Self, Vault) {
        let stack = Self::new();
        let maker = stack.environment(1);
        for workspace in workspaces {
            maker.keys_or_create(&workspace).await.unwrap();
        }
        let vault = stack.environment(2);
        (stack, vault)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn edit(&self, edit: impl FnOnce(&mut BTreeMap<WorkspaceId, WrappedWorkspaceKeys>)) {
        edit(&mut self.table.rows.lock().unwrap());
    }

    /// Adds a version to a workspace's row and makes it the one that seals, as a rotation will.
    async fn rotate(&self, workspace: &WorkspaceId, version: u32) {
        let root = self.table.root.lock().unwrap().clone().unwrap();
        let root = self.kms.open_root_key(&root).await.unwrap();
        let root = SealingKey::new(1, &root).unwrap();
        let binding = Binding {
            stack: STACK,
            workspace: workspace.as_str(),
            record_type: "workspace",
            record_id: workspace.as_str(),
            field: "key",
            generation: version.into(),
        };
        let sealed = root.seal(&SeededEntropy::new(9), binding, &[version as u8; 32]);
        self.edit(|rows| {
            let row = rows.get_mut(workspace).unwrap();
            row.versions.push((version, sealed));
            row.current = version;
        });
    }
}

fn workspace(name: &str) -> WorkspaceId {
    WorkspaceId::parse(name).unwrap()
}

fn numbered(count: usize) -> impl Iterator<Item = WorkspaceId> {
    (0..count).map(|n| workspace(&format!("w{n}")))
}

fn connection() -> ConnectionId {
    ConnectionId::parse("c1").unwrap()
}

fn seal(keys: &WorkspaceKeys) -> Vec<u8> {
    let tokens = TokenSet {
        access_token: Secret::new("access"),
        refresh_token: None,
        connection_config: BTreeMap::new(),
    };
    keys.seal_tokens(&SeededEntropy::new(3), &connection(), 1, &tokens)
}

fn open(keys: &WorkspaceKeys, sealed: &[u8]) -> Result<String, OpenError> {
    let tokens = keys.open_tokens_of(&connection(), 1, sealed)?;
    Ok(tokens.access_token.expose().to_owned())
}

fn unusable(answer: Result<Arc<WorkspaceKeys>, VaultError>) -> bool {
    matches!(answer, Err(VaultError::Unusable))
}

#[tokio::test]
async fn h45_a_thousand_workspaces_cost_one_kms_call_in_five_minutes() {
    let (stack, vault) = Stack::with_keys_of(numbered(1000)).await;
    let before = stack.kms.calls();
    for later in [0, 299] {
        stack.pass(later);
        for workspace in numbered(1000) {
            assert!(vault.keys(&workspace).await.is_ok());
        }
        assert_eq!(stack.kms.calls() - before, 1);
    }
    stack.pass(1);
    assert!(vault.keys(&workspace("w0")).await.is_ok());
    assert_eq!(stack.kms.calls() - before, 2);
}

#[tokio::test]
async fn h45_a_workspace_key_lives_no_longer_than_the_root_key_it_was_opened_with() {
    let acme = workspace("acme");
    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    vault.warm().await.unwrap();
    stack.pass(299);
    assert!(vault.keys(&acme).await.is_ok());
    assert!(vault.cached(&acme).is_some());
    stack.pass(1);
    assert!(vault.cached(&acme).is_none());
}

#[tokio::test]
async fn h46_a_key_that_kms_disables_opens_nothing_after_five_minutes() {
    let acme = workspace("acme");
    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    vault.warm().await.unwrap();
    stack.kms.become_state(KmsState::Refused);
    stack.pass(299);
    assert!(vault.keys(&acme).await.is_ok());
    stack.pass(1);
    let refused = vault.keys(&acme).await;
    assert!(matches!(
        refused,
        Err(VaultError::Kms(KmsError::Refused(_)))
    ));
}

#[tokio::test]
async fn h45_expired_keys_leave_memory_when_anything_is_asked_for() {
    let (stack, vault) = Stack::with_keys_of(numbered(2)).await;
    let (first, second) = (workspace("w0"), workspace("w1"));
    let kept = Arc::downgrade(&vault.keys(&first).await.ok().unwrap());
    assert_eq!(kept.strong_count(), 1);
    stack.pass(299);
    vault.cached(&second);
    assert_eq!(kept.strong_count(), 1);
    stack.pass(1);
    vault.cached(&second);
    assert_eq!(kept.strong_count(), 0);
}

/// While a sandbox is frozen either clock may stand still, and the wall clock may be set.
#[tokio::test]
async fn h45_keys_expire_by_whichever_clock_has_moved_further() {
    for (wall, monotonic, live) in [
        (299, 0, true),
        (300, 0, false),
        (0, 299, true),
        (0, 300, false),
        // A wall clock that was set back tells nothing of how long it has been.
        (-1, 0, false),
    ] {
        let acme = workspace("acme");
        let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
        let keys = Arc::downgrade(&vault.keys(&acme).await.ok().unwrap());
        let woken = stack.clock.now().millis() + wall * 1000;
        stack.pass(monotonic);
        stack.clock.set(Timestamp::from_millis(woken));
        let case = format!("wall {wall} s, monotonic {monotonic} s");
        assert_eq!(vault.cached(&acme).is_some(), live, "{case}");
        assert_eq!(keys.strong_count() > 0, live, "{case}");
        let calls = stack.kms.calls();
        assert!(vault.keys(&acme).await.is_ok(), "{case}");
        assert_eq!(stack.kms.calls() == calls, live, "{case}");
    }
}

#[tokio::test]
async fn h45_of_1001_workspaces_the_least_recently_used_leaves_memory() {
    let (_stack, vault) = Stack::with_keys_of(numbered(1001)).await;
    for workspace in numbered(1000) {
        assert!(vault.keys(&workspace).await.is_ok());
    }
    let (first, second) = (workspace("w0"), workspace("w1"));
    let dropped = Arc::downgrade(&vault.cached(&second).unwrap());
    for workspace in numbered(1000).filter(|one| *one != second) {
        assert!(vault.cached(&workspace).is_some());
    }
    assert!(vault.keys(&workspace("w1000")).await.is_ok());
    assert_eq!(dropped.strong_count(), 0);
    assert!(vault.cached(&second).is_none());
    assert!(vault.cached(&first).is_some());
}

#[tokio::test]
async fn two_environments_that_make_the_first_keys_at_once_use_the_same() {
    let stack = Stack::new();
    let (one, other) = (stack.environment(1), stack.environment(2));
    let acme = workspace("acme");
    let (one, other) = tokio::join!(one.keys_or_create(&acme), other.keys_or_create(&acme));
    let (one, other) = (one.ok().unwrap(), other.ok().unwrap());
    // Both generated a root key and both opened one: they did meet.
    assert_eq!(stack.kms.calls(), 4);
    assert_eq!(open(&one, &seal(&other)).unwrap(), "access");
    assert_eq!(open(&other, &seal(&one)).unwrap(), "access");
    let later = stack.environment(3).keys(&acme).await.ok().unwrap();
    assert_eq!(open(&later, &seal(&one)).unwrap(), "access");
}

#[tokio::test]
async fn h42_a_wrapped_key_moved_to_another_workspace_or_version_is_unusable() {
    let (acme, evil) = (workspace("acme"), workspace("evil"));
    let (stack, vault) = Stack::with_keys_of([acme.clone(), evil.clone()]).await;
    stack.edit(|rows| {
        let (a, b) = (rows[&acme].clone(), rows[&evil].clone());
        rows.extend([(acme.clone(), b), (evil.clone(), a)]);
    });
    for workspace in [&acme, &evil] {
        assert!(unusable(vault.keys(workspace).await));
        assert!(unusable(vault.keys_or_create(workspace).await));
    }

    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    stack.edit(|rows| {
        let row = rows.get_mut(&acme).unwrap();
        row.versions[0].0 = 2;
        row.current = 2;
    });
    assert!(unusable(vault.keys(&acme).await));
}

#[tokio::test]
async fn h42_no_workspace_opens_what_another_sealed() {
    let (acme, evil) = (workspace("acme"), workspace("evil"));
    let (_stack, vault) = Stack::with_keys_of([acme.clone(), evil.clone()]).await;
    let sealed = seal(&vault.keys(&acme).await.ok().unwrap());
    let stolen = open(&vault.keys(&evil).await.ok().unwrap(), &sealed);
    assert_eq!(stolen, Err(OpenError::NotAuthentic));
}

/// Erasing one row is the end of everything a workspace ever sealed, wherever copies of it are.
#[tokio::test]
async fn h48_tokens_of_an_erased_key_are_unreadable_within_five_minutes_and_for_good() {
    let acme = workspace("acme");
    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    let keys = vault.keys(&acme).await.ok().unwrap();
    let sealed = seal(&keys);
    drop(keys);
    stack.edit(|rows| drop(rows.remove(&acme)));
    assert!(unusable(stack.environment(3).keys(&acme).await));
    stack.pass(300);
    assert!(unusable(vault.keys(&acme).await));

    // A workspace that begins anew does not get its old key back.
    let anew = vault.keys_or_create(&acme).await.ok().unwrap();
    assert_eq!(open(&anew, &sealed), Err(OpenError::NotAuthentic));
    assert_eq!(open(&anew, &seal(&anew)).unwrap(), "access");
}

/// A rotation adds to the row; what is sealed says which version it needs.
#[tokio::test]
async fn h47_a_second_version_seals_what_is_new_and_the_first_still_opens_what_is_old() {
    let acme = workspace("acme");
    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    let before = vault.keys(&acme).await.ok().unwrap();
    let old = seal(&before);
    stack.rotate(&acme, 2).await;
    stack.pass(300);
    let after = vault.keys(&acme).await.ok().unwrap();
    let new = seal(&after);
    assert_eq!(
        (&old[2..6], &new[2..6]),
        (&[0, 0, 0, 1][..], &[0, 0, 0, 2][..])
    );
    assert_eq!(open(&after, &old).unwrap(), "access");
    assert_eq!(open(&after, &new).unwrap(), "access");
    // An environment that has not noticed yet says so, and destroys nothing.
    assert_eq!(open(&before, &new), Err(OpenError::OtherKeyVersion(2)));

    stack.edit(|rows| drop(rows.get_mut(&acme).unwrap().versions.remove(0)));
    stack.pass(300);
    let retired = vault.keys(&acme).await.ok().unwrap();
    assert_eq!(open(&retired, &old), Err(OpenError::OtherKeyVersion(1)));
    assert_eq!(open(&retired, &new).unwrap(), "access");
}

#[tokio::test]
async fn a_row_whose_current_version_is_missing_is_unusable() {
    let acme = workspace("acme");
    let (stack, vault) = Stack::with_keys_of([acme.clone()]).await;
    stack.edit(|rows| rows.get_mut(&acme).unwrap().current = 2);
    assert!(unusable(vault.keys(&acme).await));
}

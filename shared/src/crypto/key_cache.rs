//! Opened keys in memory.
//!
//! A key stays for at most five minutes after KMS opened the root key, by whichever of the wall
//! and the monotonic clock has moved further: a sandbox that was frozen must not wake up with
//! keys that KMS would refuse by now (H-45, H-46). Whoever looks in first drops everything that
//! has expired, his own key or another's, and dropped keys are wiped. What nobody looks into,
//! because the sandbox is frozen or idle, is beyond its reach until then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::envelope::SealingKey;
use super::vault::WorkspaceKeys;
use crate::domain::ids::WorkspaceId;
use crate::domain::time::Timestamp;

/// How long opened keys are kept (H-45).
pub(super) const KEY_LIFETIME: Duration = Duration::from_secs(300);
/// How many workspaces' keys are kept at once (H-45).
pub(super) const KEY_CACHE_SIZE: usize = 1000;

/// The root key and the workspaces' keys.
#[derive(Default)]
pub(super) struct KeyCache {
    root: Option<Kept<SealingKey>>,
    workspaces: BTreeMap<WorkspaceId, (Kept<WorkspaceKeys>, u64)>,
    uses: u64,
}

/// A key and when KMS vouched for it.
pub(super) struct Kept<T> {
    pub(super) key: Arc<T>,
    pub(super) since: Moment,
}

/// An instant, by both clocks.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Duration,
}

impl<T> Kept<T> {
    fn is_live(&self, now: Moment) -> bool {
        let wall = now.wall.since(self.since.wall);
        let monotonic = now.monotonic.saturating_sub(self.since.monotonic);
        let backwards = now.wall < self.since.wall;
        !backwards && wall.max(monotonic) < KEY_LIFETIME
    }
}

impl KeyCache {
    /// Forgets what is too old.
    pub(super) fn drop_expired(&mut self, now: Moment) {
        self.root.take_if(|kept| !kept.is_live(now));
        self.workspaces.retain(|_, (kept, _)| kept.is_live(now));
    }

    pub(super) fn root(&self) -> Option<(Arc<SealingKey>, Moment)> {
        let kept = self.root.as_ref()?;
        Some((Arc::clone(&kept.key), kept.since))
    }

    pub(super) fn keep_root(&mut self, kept: Kept<SealingKey>) {
        self.root = Some(kept);
    }

    pub(super) fn workspace(&mut self, workspace: &WorkspaceId) -> Option<Arc<WorkspaceKeys>> {
        self.uses += 1;
        let (kept, used) = self.workspaces.get_mut(workspace)?;
        *used = self.uses;
        Some(Arc::clone(&kept.key))
    }

    /// Keeps keys, dropping the least recently used beyond the limit.
    pub(super) fn keep_workspace(&mut self, workspace: WorkspaceId, kept: Kept<WorkspaceKeys>) {
        self.uses += 1;
        self.workspaces.insert(workspace, (kept, self.uses));
        if self.workspaces.len() > KEY_CACHE_SIZE {
            let oldest = self.workspaces.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(workspace, _)| workspace.clone()) {
                self.workspaces.remove(&oldest);
            }
        }
    }
}

//! Authorization sessions.

use async_trait::async_trait;
use shared::domain::ending::Ending;
use shared::domain::ids::SessionId;
use shared::domain::session::{AuthorizationSession, Redirected, Returned, SecretHash, Stage};
use shared::domain::time::Timestamp;
use shared::ports::{Sessions, StoreError};

use super::{MemoryStore, State};

#[async_trait]
impl Sessions for MemoryStore {
    async fn add(&self, session: &AuthorizationSession) -> Result<(), StoreError> {
        let mut state = self.state();
        state.sessions.insert(session.id.clone(), session.clone());
        Ok(())
    }

    async fn session(&self, id: &SessionId) -> Result<Option<AuthorizationSession>, StoreError> {
        Ok(self.state().sessions.get(id).cloned())
    }

    async fn redirect(
        &self,
        id: &SessionId,
        ticket: &SecretHash,
        cookie: &SecretHash,
        to: &Redirected,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(session) = state.sessions.get_mut(id) else {
            return Ok(false);
        };
        Ok(match &session.stage {
            Stage::Started { ticket: expected } if expected == ticket => {
                session.stage = Stage::Redirected(to.clone());
                session.cookie = Some(*cookie);
                true
            }
            Stage::Redirected(at) => at == to,
            Stage::Started { .. }
            | Stage::Returned(_)
            | Stage::Exchanging { .. }
            | Stage::Completed { .. }
            | Stage::Ended(_) => false,
        })
    }

    async fn arrive(
        &self,
        id: &SessionId,
        state: &SecretHash,
        to: &Returned,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut store = self.state();
        let Some(session) = store.sessions.get_mut(id) else {
            return Ok(false);
        };
        Ok(match &session.stage {
            Stage::Redirected(at) if at.state == *state => {
                session.stage = Stage::Returned(to.clone());
                session.expires_at = expires_at;
                true
            }
            Stage::Returned(at) => at == to,
            Stage::Started { .. }
            | Stage::Redirected(_)
            | Stage::Exchanging { .. }
            | Stage::Completed { .. }
            | Stage::Ended(_) => false,
        })
    }

    async fn begin_exchange(
        &self,
        id: &SessionId,
        completion: &SecretHash,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(session) = state.sessions.get_mut(id) else {
            return Ok(false);
        };
        let returned = matches!(&session.stage,
            Stage::Returned(at) if at.completion == *completion);
        if returned {
            session.stage = Stage::Exchanging {
                completion: *completion,
            };
        }
        Ok(returned)
    }

    async fn end(&self, id: &SessionId, ending: Ending) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(session) = state.sessions.get_mut(id)
            && !matches!(session.stage, Stage::Completed { .. } | Stage::Ended(_))
        {
            session.stage = Stage::Ended(ending);
        }
        Ok(())
    }
}

impl State {
    /// The completion of a session that is being exchanged.
    pub(super) fn exchanging(&self, id: &SessionId) -> Option<SecretHash> {
        match self.sessions.get(id)?.stage {
            Stage::Exchanging { completion } => Some(completion),
            Stage::Started { .. }
            | Stage::Redirected(_)
            | Stage::Returned(_)
            | Stage::Completed { .. }
            | Stage::Ended(_) => None,
        }
    }
}

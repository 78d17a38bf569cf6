//! Connect flows under way.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::ending::Ending;
use crate::domain::ids::SessionId;
use crate::domain::session::{AuthorizationSession, Redirected, Returned, SecretHash};
use crate::domain::time::Timestamp;

/// Authorization sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Adds a session.
    async fn add(&self, session: &AuthorizationSession) -> Result<(), StoreError>;
    /// A session, strongly consistent. An expired one may still be there: the caller checks.
    async fn session(&self, id: &SessionId) -> Result<Option<AuthorizationSession>, StoreError>;
    /// Consumes the ticket: from `Started` with this ticket to `Redirected`. `false` when the
    /// session is not there any more, in another stage, or has another ticket (H-04). A session
    /// that is at this very `to` already was moved there by an earlier try of the same call,
    /// because nobody else can name the hashes in it: `true`. `cookie` is the browser's.
    async fn redirect(
        &self,
        id: &SessionId,
        ticket: &SecretHash,
        cookie: &SecretHash,
        to: &Redirected,
    ) -> Result<bool, StoreError>;
    /// Consumes the state: from `Redirected` with this state to `Returned`, to be completed
    /// before `expires_at`. Of any number of concurrent calls one gets `true` (H-02); an earlier
    /// try of the same call is recognised as in [`Sessions::redirect`].
    async fn arrive(
        &self,
        id: &SessionId,
        state: &SecretHash,
        to: &Returned,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Consumes the code: from `Returned` with this completion to `Exchanging`. The sealed code
    /// and verifier are erased. Of any number of concurrent calls one gets `true` (C8).
    async fn begin_exchange(
        &self,
        id: &SessionId,
        completion: &SecretHash,
    ) -> Result<bool, StoreError>;
    /// Ends a session from any stage but `Completed` and `Ended`, erasing what it holds but the
    /// browser's cookie.
    async fn end(&self, id: &SessionId, ending: Ending) -> Result<(), StoreError>;
}

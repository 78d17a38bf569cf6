//! Authorization sessions: each move is one conditional write.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;

use super::super::items::session::{read_session, write_session};
use super::super::items::value;
use super::super::schema::{self, PK, TTL, attr, stage};
use super::expression::Expression;
use super::{DynamoStore, Updated};
use crate::domain::ending::Ending;
use crate::domain::ids::SessionId;
use crate::domain::session::{AuthorizationSession, Redirected, Returned, SecretHash, Stage};
use crate::domain::time::Timestamp;
use crate::ports::{Sessions, StoreError};

#[async_trait]
impl Sessions for DynamoStore {
    async fn add(&self, session: &AuthorizationSession) -> Result<(), StoreError> {
        self.put(&self.tables.sessions, write_session(session))
            .await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<AuthorizationSession>, StoreError> {
        let row = self.get(&self.tables.sessions, schema::session(id)).await?;
        row.as_ref().map(read_session).transpose()
    }

    async fn redirect(
        &self,
        id: &SessionId,
        ticket: &SecretHash,
        cookie: &SecretHash,
        to: &Redirected,
    ) -> Result<bool, StoreError> {
        let change = Expression::new()
            .equals(attr::STAGE, value::text(stage::STARTED))
            .equals(attr::TICKET, value::bytes(ticket))
            .set(attr::STAGE, value::text(stage::REDIRECTED))
            .set(attr::STATE, value::bytes(&to.state))
            .set(attr::COOKIE, value::bytes(cookie))
            .set_or_remove(
                attr::VERIFIER,
                to.verifier.as_ref().map(|sealed| value::bytes(sealed)),
            )
            .set_or_remove(
                attr::NONCE,
                to.nonce.as_ref().map(|hash| value::bytes(hash)),
            )
            .remove(&[attr::TICKET]);
        self.move_session(id, change, &Stage::Redirected(to.clone()))
            .await
    }

    async fn arrive(
        &self,
        id: &SessionId,
        state: &SecretHash,
        to: &Returned,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let change = Expression::new()
            .equals(attr::STAGE, value::text(stage::REDIRECTED))
            .equals(attr::STATE, value::bytes(state))
            .set(attr::STAGE, value::text(stage::RETURNED))
            .set(attr::COMPLETION, value::bytes(&to.completion))
            .set(attr::CODE, value::bytes(&to.code))
            .set_or_remove(attr::KEPT, value::texts(&to.kept))
            .set_or_remove(
                attr::VERIFIER,
                to.verifier.as_ref().map(|sealed| value::bytes(sealed)),
            )
            .set_or_remove(
                attr::NONCE,
                to.nonce.as_ref().map(|hash| value::bytes(hash)),
            )
            .set(attr::EXPIRES_AT, value::time(expires_at))
            .set(TTL, value::ttl(expires_at))
            .remove(&[attr::STATE]);
        self.move_session(id, change, &Stage::Returned(to.clone()))
            .await
    }

    async fn begin_exchange(
        &self,
        id: &SessionId,
        completion: &SecretHash,
    ) -> Result<bool, StoreError> {
        let change = Expression::new()
            .equals(attr::STAGE, value::text(stage::RETURNED))
            .equals(attr::COMPLETION, value::bytes(completion))
            .set(attr::STAGE, value::text(stage::EXCHANGING))
            .remove(&[attr::CODE, attr::VERIFIER, attr::NONCE, attr::KEPT]);
        // Two callers can hold the same completion code, so a session found exchanging is not
        // proof of an earlier try of this call.
        Ok(self.change_session(id, change).await?.is_done())
    }

    async fn end(&self, id: &SessionId, ending: Ending) -> Result<(), StoreError> {
        let change = Expression::new()
            .exists(PK)
            .differs(attr::STAGE, value::text(stage::COMPLETED))
            .differs(attr::STAGE, value::text(stage::ENDED))
            .set(attr::STAGE, value::text(stage::ENDED))
            .set(attr::ENDING, value::text(ending.code()))
            .remove(&[
                attr::TICKET,
                attr::STATE,
                attr::COMPLETION,
                attr::CODE,
                attr::VERIFIER,
                attr::NONCE,
                attr::KEPT,
            ]);
        self.change_session(id, change).await.map(|_| ())
    }
}

impl DynamoStore {
    /// Moves a session to a stage that only this caller can have named: its hashes are of
    /// secrets minted for this very call. A refused move that finds the session there was
    /// made by an earlier try whose answer was lost.
    async fn move_session(
        &self,
        id: &SessionId,
        change: Expression,
        to: &Stage,
    ) -> Result<bool, StoreError> {
        match self.change_session(id, change).await? {
            Updated::Done(_) => Ok(true),
            Updated::Refused(None) => Ok(false),
            Updated::Refused(Some(row)) => Ok(read_session(&row)?.stage == *to),
        }
    }

    async fn change_session(
        &self,
        id: &SessionId,
        change: Expression,
    ) -> Result<Updated, StoreError> {
        let at = schema::session(id);
        self.update(&self.tables.sessions, at, change, ReturnValue::None)
            .await
    }
}

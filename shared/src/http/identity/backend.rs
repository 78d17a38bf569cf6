//! An app's back end: whoever holds one of its API keys, and for whom they act.

use http::header::AUTHORIZATION;
use http::request::Parts;

use super::{note_workspace, origin, own_app, unauthenticated};
use crate::crypto::hash::hash;
use crate::domain::app::{ApiKey, KeyScope, PresentedApiKey};
use crate::domain::audit::{Actor, Origin};
use crate::domain::ids::{ApiKeyId, AppId, UserId, WorkspaceId};
use crate::http::on_behalf_of::Rider;
use crate::http::problem::{Code, Problem};
use crate::http::request::RequestFacts;
use crate::ports::Registry;

/// An app's back end.
#[derive(Clone, Debug)]
pub struct AppBackend {
    /// The workspace of the app.
    pub workspace: WorkspaceId,
    /// The app.
    pub app: AppId,
    /// The key.
    pub key: ApiKeyId,
    /// Whether it acts for nobody whose JWT does not ride along.
    on_behalf_of_only: bool,
    /// The same, as who acts in this request.
    pub origin: Origin,
}

impl AppBackend {
    /// Whoever holds the API key of the request, if that has the scope for what is asked.
    ///
    /// # Errors
    /// `unauthenticated`, the same for a key that is malformed, unknown or revoked;
    /// `insufficient_scope`.
    pub async fn authenticate(
        parts: &Parts,
        registry: &dyn Registry,
        scope: KeyScope,
    ) -> Result<Self, Problem> {
        let presented = presented_key(parts)?;
        let record = registry.api_key(&hash(&presented.key)).await?;
        Self::admit(parts, &presented, record.as_ref(), scope)
    }

    /// The key that a request proves to hold, whatever it may be used for.
    pub(super) async fn proven(
        parts: &Parts,
        registry: &dyn Registry,
    ) -> Result<Option<ApiKey>, Problem> {
        let Ok(presented) = presented_key(parts) else {
            return Ok(None);
        };
        let record = registry.api_key(&hash(&presented.key)).await?;
        Ok(proven(parts, &presented, record.as_ref()).ok().cloned())
    }

    /// Whoever holds `presented`, according to the record that was found under its hash.
    ///
    /// # Errors
    /// `unauthenticated`, also when the record is of another app than the key says;
    /// `insufficient_scope`.
    pub fn admit(
        parts: &Parts,
        presented: &PresentedApiKey,
        record: Option<&ApiKey>,
        scope: KeyScope,
    ) -> Result<Self, Problem> {
        let record = proven(parts, presented, record)?;
        if !record.scopes.contains(&scope) {
            return Err(Problem::insufficient_scope(scope));
        }
        Ok(Self {
            workspace: record.workspace.clone(),
            app: record.app.clone(),
            key: record.id.clone(),
            on_behalf_of_only: record.on_behalf_of_only,
            origin: origin(parts, Actor::AppKey(record.id.clone())),
        })
    }

    /// Refuses a path that names another app than the key's.
    ///
    /// # Errors
    /// `not_found`.
    pub fn at(&self, app: &AppId) -> Result<(), Problem> {
        own_app(&self.app, app)
    }

    /// The user whom a request is about: the one whose JWT rides along, or else whom it names;
    /// `None` where it does neither.
    ///
    /// # Errors
    /// `on_behalf_of_required` of a key that needs a rider; `forbidden` when the rider is of
    /// another app than the key; `invalid_request` when rider and name are not the same.
    pub fn user(
        &self,
        rider: Option<&Rider>,
        named: Option<&UserId>,
    ) -> Result<Option<UserId>, Problem> {
        let Some(rider) = rider else {
            if self.on_behalf_of_only {
                return Err(Problem::on_behalf_of_required());
            }
            return Ok(named.cloned());
        };
        if (&rider.workspace, &rider.app) != (&self.workspace, &self.app) {
            return Err(Problem::new(
                Code::Forbidden,
                "the user's JWT is of another app than the API key",
            ));
        }
        if named.is_some_and(|named| *named != rider.user) {
            return Err(Problem::field(
                "user_id",
                "names another user than the JWT that rides along",
            ));
        }
        Ok(Some(rider.user.clone()))
    }
}

/// The record that was found under the hash of `presented`, if it is of the app that the key says.
fn proven<'a>(
    parts: &Parts,
    presented: &PresentedApiKey,
    record: Option<&'a ApiKey>,
) -> Result<&'a ApiKey, Problem> {
    let record = record
        .filter(|record| record.workspace == presented.workspace && record.app == presented.app)
        .ok_or_else(wrong_key)?;
    note_workspace(parts, &record.workspace);
    RequestFacts::note(parts, |facts| facts.key = Some(record.id.clone()));
    Ok(record)
}

/// The API key a request carries as `Authorization: Bearer`.
///
/// # Errors
/// `unauthenticated` when there is none or it does not have the form of one.
pub fn presented_key(parts: &Parts) -> Result<PresentedApiKey, Problem> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let text = only
        .and_then(|value| value.to_str().ok())
        .ok_or_else(wrong_key)?;
    let (scheme, key) = text.split_once(' ').ok_or_else(wrong_key)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong_key());
    }
    PresentedApiKey::parse(key.trim()).ok_or_else(wrong_key)
}

fn wrong_key() -> Problem {
    unauthenticated("send a live API key of the app as Authorization: Bearer")
}

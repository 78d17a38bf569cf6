//! Who calls. The workspace of a caller comes from here and from nowhere else (H-20).
//!
//! People prove themselves with a JWT that API Gateway's authorizer has verified: the claims
//! are read from the gateway's request context, which no client can write. App back ends prove
//! themselves with an API key, looked up by its hash.

use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use lambda_http::request::RequestContext;

use super::problem::{Code, Problem};
use super::request::RequestFacts;
use crate::crypto::hash::hash;
use crate::domain::app::{ApiKey, KeyScope, PresentedApiKey};
use crate::domain::audit::{Actor, Origin};
use crate::domain::ids::{ApiKeyId, AppId, UserId, WorkspaceId};
use crate::domain::plan::PlanGate;
use crate::domain::session::user_label;
use crate::ports::Registry;

/// The names under which the platform's issuer puts its claims.
#[derive(Clone, Debug)]
pub struct ClaimNames {
    /// The workspace.
    pub workspace: String,
    /// The app a user is signed in to.
    pub app: String,
    /// An admin's role.
    pub role: String,
    /// The workspace's plan.
    pub plan: String,
    /// What people call a user. Shown to the user, never trusted.
    pub label: String,
}

/// What identity needs of a function's state.
#[derive(Clone, Debug)]
pub struct IdentityRules {
    /// Claim names.
    pub claims: ClaimNames,
    /// The plan gate.
    pub plans: PlanGate,
}

/// What an admin may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything.
    Admin,
    /// Reading.
    Viewer,
}

/// An admin of a workspace.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who it is, in this request.
    pub origin: Origin,
    role: Role,
    plan: String,
    plans: PlanGate,
}

impl Admin {
    /// Refuses viewers.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_change(&self) -> Result<(), Problem> {
        match self.role {
            Role::Owner | Role::Admin => Ok(()),
            Role::Viewer => Err(Problem::new(
                Code::Forbidden,
                "a viewer can read and not change anything",
            )),
        }
    }

    /// Refuses viewers, and workspaces whose plan does not include connectors.
    ///
    /// # Errors
    /// `forbidden` or `plan_required`.
    pub fn may_change_connectors(&self) -> Result<(), Problem> {
        self.may_change()?;
        if self.plans.admits(&self.plan) {
            Ok(())
        } else {
            Err(Problem::plan_required(self.plans.required()))
        }
    }
}

impl<S> FromRequestParts<S> for Admin
where
    IdentityRules: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let rules = IdentityRules::from_ref(state);
        let claims = Claims::of(parts)?;
        let workspace = claims.workspace(&rules)?;
        note_workspace(parts, &workspace);
        let origin = origin(parts, Actor::Admin(claims.subject()?));
        let role = match claims.get(&rules.claims.role) {
            Some("owner") => Role::Owner,
            Some("admin") => Role::Admin,
            Some("viewer") => Role::Viewer,
            Some(_) | None => {
                return Err(Problem::new(
                    Code::Forbidden,
                    "this needs a role in the workspace",
                ));
            }
        };
        let plan = claims
            .get(&rules.claims.plan)
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            workspace,
            origin,
            role,
            plan,
            plans: rules.plans,
        })
    }
}

/// A signed-in user of an app.
#[derive(Clone, Debug)]
pub struct User {
    /// The workspace of the app.
    pub workspace: WorkspaceId,
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// What the token calls them, for people to read.
    pub label: Option<String>,
    /// The same, as who acts in this request.
    pub origin: Origin,
}

impl<S> FromRequestParts<S> for User
where
    IdentityRules: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let rules = IdentityRules::from_ref(state);
        let claims = Claims::of(parts)?;
        let workspace = claims.workspace(&rules)?;
        note_workspace(parts, &workspace);
        let app = claims
            .get(&rules.claims.app)
            .and_then(|app| AppId::parse(app).ok());
        let app = app.ok_or_else(|| {
            Problem::new(
                Code::Forbidden,
                "this needs a user who is signed in to an app",
            )
        })?;
        let user = claims.subject()?;
        let label = claims.get(&rules.claims.label).and_then(user_label);
        Ok(Self {
            workspace,
            app,
            origin: origin(parts, Actor::User(user.clone())),
            user,
            label,
        })
    }
}

/// Who calls, whatever a route asks of them: for what is done once for each of them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// All that their answer may depend on: an admin with another role is another caller.
    pub names: Vec<String>,
}

impl Caller {
    /// Whoever has proven an identity with this request; `None` when nobody has.
    ///
    /// # Errors
    /// When the table of API keys does not answer.
    pub async fn of(
        parts: &Parts,
        rules: &IdentityRules,
        registry: &dyn Registry,
    ) -> Result<Option<Self>, Problem> {
        if let Ok(claims) = Claims::of(parts) {
            return Ok(Self::person(parts, rules, &claims));
        }
        let Ok(presented) = presented_key(parts) else {
            return Ok(None);
        };
        let record = registry.api_key(&hash(&presented.key)).await?;
        let Ok(record) = proven(parts, &presented, record.as_ref()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            workspace: record.workspace.clone(),
            names: ["key", record.app.as_str(), record.id.as_str()]
                .map(str::to_owned)
                .to_vec(),
        }))
    }

    fn person(parts: &Parts, rules: &IdentityRules, claims: &Claims) -> Option<Self> {
        let workspace = claims.workspace(rules).ok()?;
        let subject = claims.subject().ok()?;
        note_workspace(parts, &workspace);
        let names = &rules.claims;
        let claimed = [&names.app, &names.role, &names.plan];
        let claimed = claimed.map(|name| claims.get(name).unwrap_or_default());
        Some(Self {
            workspace,
            names: ["person", subject.as_str()]
                .into_iter()
                .chain(claimed)
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// The claims of a JWT that the gateway has verified.
struct Claims(std::collections::HashMap<String, String>);

impl Claims {
    fn of(parts: &Parts) -> Result<Self, Problem> {
        let context = parts.extensions.get::<RequestContext>();
        let claims = match context {
            Some(RequestContext::ApiGatewayV2(context)) => context
                .authorizer
                .as_ref()
                .and_then(|authorizer| authorizer.jwt.as_ref())
                .map(|jwt| jwt.claims.clone()),
            _ => None,
        };
        claims
            .map(Self)
            .ok_or_else(|| unauthenticated("sign in first"))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn subject(&self) -> Result<UserId, Problem> {
        self.get("sub")
            .and_then(|sub| UserId::parse(sub).ok())
            .ok_or_else(|| unauthenticated("the token names no usable subject"))
    }

    fn workspace(&self, rules: &IdentityRules) -> Result<WorkspaceId, Problem> {
        let claim = &rules.claims.workspace;
        self.get(claim)
            .and_then(|workspace| WorkspaceId::parse(workspace).ok())
            .ok_or_else(|| Problem::new(Code::Forbidden, "the token names no usable workspace"))
    }
}

/// An app's back end.
#[derive(Clone, Debug)]
pub struct AppBackend {
    /// The workspace of the app.
    pub workspace: WorkspaceId,
    /// The app.
    pub app: AppId,
    /// The key.
    pub key: ApiKeyId,
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
            origin: origin(parts, Actor::AppKey(record.id.clone())),
        })
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

fn origin(parts: &Parts, actor: Actor) -> Origin {
    Origin {
        actor,
        request_id: RequestFacts::request_id(parts),
    }
}

fn note_workspace(parts: &Parts, workspace: &WorkspaceId) {
    RequestFacts::note(parts, |facts| facts.workspace = Some(workspace.clone()));
}

fn wrong_key() -> Problem {
    unauthenticated("send a live API key of the app as Authorization: Bearer")
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

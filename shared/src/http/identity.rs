//! Who calls. The workspace of a caller comes from here and from nowhere else (H-20).
//!
//! People prove themselves with a JWT that API Gateway's authorizer has verified: the claims
//! are read from the gateway's request context, which no client can write. App back ends prove
//! themselves with an API key, looked up by its hash; the JWT of a user for whom they act is verified
//! by ourselves ([`on_behalf_of`](super::on_behalf_of)), because no authorizer looks at it.

mod backend;

use std::collections::HashMap;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use lambda_http::request::RequestContext;
use serde_json::Value;

use super::on_behalf_of::Rider;
use super::problem::{Code, Problem};
use super::request::RequestFacts;
use crate::domain::audit::{Actor, Origin};
use crate::domain::ids::{AppId, UserId, WorkspaceId};
use crate::domain::plan::PlanGate;
use crate::domain::session::user_label;
use crate::ports::Registry;

pub use backend::{AppBackend, presented_key};

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
    /// Who it is.
    pub id: UserId,
    /// What the token calls them, for people to read.
    pub label: Option<String>,
    /// The same, as who acts in this request.
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
        let workspace = claims.workspace(&rules.claims)?;
        note_workspace(parts, &workspace);
        let id = claims.subject()?;
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
            origin: origin(parts, Actor::Admin(id.clone())),
            id,
            label: claims.get(&rules.claims.label).and_then(user_label),
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

impl User {
    /// Refuses a path that names another app than the one the user is signed in to.
    ///
    /// # Errors
    /// `not_found`.
    pub fn at(&self, app: &AppId) -> Result<(), Problem> {
        own_app(&self.app, app)
    }
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
        note_workspace(parts, &claims.workspace(&rules.claims)?);
        let Rider {
            workspace,
            app,
            user,
            label,
        } = claims.rider(&rules.claims)?;
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
        let Some(key) = AppBackend::proven(parts, registry).await? else {
            return Ok(None);
        };
        let rider = Rider::of(parts).map(|rider| rider.user.as_str());
        let names = ["key", key.app.as_str(), key.id.as_str()];
        Ok(Some(Self {
            workspace: key.workspace.clone(),
            names: names.into_iter().chain(rider).map(str::to_owned).collect(),
        }))
    }

    fn person(parts: &Parts, rules: &IdentityRules, claims: &Claims) -> Option<Self> {
        let workspace = claims.workspace(&rules.claims).ok()?;
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

/// The claims of a JWT that has been verified: by the gateway, or by ourselves.
pub(super) struct Claims(HashMap<String, String>);

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

    /// The claims of a payload that are text, as the gateway tells them.
    pub(super) fn verified(payload: &Value) -> Self {
        let claims = payload.as_object().into_iter().flatten();
        let texts = claims.filter_map(|(name, value)| {
            let text = value.as_str()?;
            Some((name.clone(), text.to_owned()))
        });
        Self(texts.collect())
    }

    /// The user of an app that they name.
    pub(super) fn rider(&self, names: &ClaimNames) -> Result<Rider, Problem> {
        let workspace = self.workspace(names)?;
        let app = self
            .get(&names.app)
            .and_then(|app| AppId::parse(app).ok())
            .ok_or_else(|| {
                Problem::new(
                    Code::Forbidden,
                    "this needs a user who is signed in to an app",
                )
            })?;
        Ok(Rider {
            workspace,
            app,
            user: self.subject()?,
            label: self.get(&names.label).and_then(user_label),
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn subject(&self) -> Result<UserId, Problem> {
        self.get("sub")
            .and_then(|sub| UserId::parse(sub).ok())
            .ok_or_else(|| unauthenticated("the token names no usable subject"))
    }

    fn workspace(&self, names: &ClaimNames) -> Result<WorkspaceId, Problem> {
        self.get(&names.workspace)
            .and_then(|workspace| WorkspaceId::parse(workspace).ok())
            .ok_or_else(|| Problem::new(Code::Forbidden, "the token names no usable workspace"))
    }
}

/// Another app than the caller's own reads like one that is not there (H-21).
fn own_app(own: &AppId, named: &AppId) -> Result<(), Problem> {
    if own == named {
        Ok(())
    } else {
        Err(Problem::not_found())
    }
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

pub(super) fn unauthenticated(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

//! Whose account a connection is.

use serde::{Deserialize, Serialize};

use super::ids::UserId;

/// A user of an app, or the app itself. In a job and in an event it is a user's id that is there
/// or not, so that what an older version wrote reads as it was meant (F47).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<UserId>", into = "Option<UserId>")]
pub enum Subject {
    /// The account is a user's own.
    User(UserId),
    /// The account is shared by everyone in the app. An admin connected it.
    App,
}

impl Subject {
    /// The user, if it is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::App => None,
        }
    }

    /// The app itself, which is what a missing user stands for.
    pub(super) fn app() -> Self {
        Self::App
    }

    /// Whether it is the app itself.
    pub(super) fn is_app(&self) -> bool {
        self.user().is_none()
    }
}

impl From<Option<UserId>> for Subject {
    fn from(user: Option<UserId>) -> Self {
        user.map_or(Self::App, Self::User)
    }
}

impl From<Subject> for Option<UserId> {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::User(user) => Some(user),
            Subject::App => None,
        }
    }
}

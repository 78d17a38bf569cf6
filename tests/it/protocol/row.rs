//! The connection as the model keeps it: what the protocol's rules look at, with every instant
//! counted from now, so that two moments from which the same can follow are one state.

use std::sync::LazyLock;
use std::time::Duration;

use shared::domain::connection::{
    CLOCK_SKEW, Connection, ConnectionKey, ConnectionStatus, ReconnectReason,
};
use shared::domain::ids::{AppId, ConnectionId, ConnectorId, UserId, WorkspaceId};
use shared::domain::provider::Rotation;
use shared::domain::refresh_protocol::{
    FailedAttempt, SUSPECT_SETTLE, Verdict, after_failure, before_asking, is_lease_over, may_lease,
    may_store,
};
use shared::domain::scopes::ScopeList;
use shared::domain::subject::Subject;
use shared::domain::time::Timestamp;
use shared::domain::token::{TokenFailure, Validity};

/// The instant that every moment of the model is moved to before a rule looks at it.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

/// The life cycle, as far as refreshing knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    Active,
    /// Suspect for so many milliseconds.
    Suspect(u32),
    /// `reconnect_required`.
    Dead,
    /// Disconnected.
    Gone,
}

/// A connection's row without its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) status: Status,
    pub(super) generation: u8,
    /// Which of the provider's refresh tokens is stored.
    pub(super) token: u8,
    pub(super) open_attempts: u8,
    pub(super) outcome_lost: bool,
    pub(super) failures: u8,
    /// Milliseconds until the next attempt may be made.
    pub(super) wait: u32,
}

/// The lease that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lock {
    pub(super) owner: usize,
    /// Milliseconds until it ends; below zero once it has.
    pub(super) left: i64,
}

impl Row {
    pub(super) fn connected() -> Self {
        Self {
            status: Status::Active,
            generation: 1,
            token: 0,
            open_attempts: 0,
            outcome_lost: false,
            failures: 0,
            wait: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.connection().status.is_live()
    }

    pub(super) fn may_lease(&self, lock: Option<Lock>) -> bool {
        may_lease(&self.connection(), lock.map(Lock::until), NOW)
    }

    pub(super) fn may_store(&self, leased: u8) -> bool {
        may_store(&self.connection(), leased.into())
    }

    pub(super) fn has_lost_outcome(&self) -> bool {
        self.connection().has_lost_outcome()
    }

    /// What is done before the provider is asked, the first of the open attempts having begun so
    /// many milliseconds ago.
    pub(super) fn before_asking(&self, rotation: Rotation, open_for: u32) -> Option<FailedAttempt> {
        let leased = Connection {
            open_since: Some(NOW.before(Duration::from_millis(open_for.into()))),
            ..self.connection()
        };
        before_asking(&leased, rotation, NOW)
    }

    /// Judged with the longest pauses.
    pub(super) fn after_failure(&self, failure: &TokenFailure) -> Verdict {
        after_failure(&self.connection(), failure, NOW, 1.0, false)
    }

    /// What becomes of this row, which an attempt had leased, when it ends so.
    pub(super) fn after(&self, failed: &FailedAttempt) -> Self {
        let after = failed.apply(&self.connection());
        let wait = after.next_attempt_at.map(|at| at.since(NOW));
        Self {
            status: match after.status {
                ConnectionStatus::Active => Status::Active,
                ConnectionStatus::Suspect { since } => Status::Suspect(millis(NOW.since(since))),
                other => unreachable!("no failed attempt makes {other:?}"),
            },
            open_attempts: after.open_attempts as u8,
            outcome_lost: after.outcome_lost,
            failures: after.failures as u8,
            wait: wait.map_or(0, millis),
            ..*self
        }
    }

    /// The same row so much later. What no rule can tell apart any more becomes the same.
    pub(super) fn later(mut self, time: Duration) -> Self {
        if let Status::Suspect(age) = &mut self.status {
            *age = (*age + millis(time)).min(millis(SUSPECT_SETTLE));
        }
        self.wait = self.wait.saturating_sub(millis(time));
        self
    }

    fn connection(&self) -> Connection {
        Connection {
            status: match self.status {
                Status::Active => ConnectionStatus::Active,
                Status::Suspect(age) => ConnectionStatus::Suspect {
                    since: NOW.before(Duration::from_millis(age.into())),
                },
                Status::Dead => ConnectionStatus::ReconnectRequired {
                    reason: ReconnectReason::GrantRevoked,
                    since: NOW,
                },
                Status::Gone => ConnectionStatus::Revoking { since: NOW },
            },
            generation: self.generation.into(),
            open_attempts: self.open_attempts.into(),
            outcome_lost: self.outcome_lost,
            failures: self.failures.into(),
            next_attempt_at: (self.wait > 0)
                .then(|| NOW.after(Duration::from_millis(self.wait.into()))),
            ..ANY.clone()
        }
    }
}

impl Lock {
    /// When a lease may be taken over: this long after its end.
    const OVER: i64 = -(CLOCK_SKEW.as_millis() as i64) - 1;

    /// Whether the lease that stands, if any, is over.
    pub(super) fn is_over(lock: Option<Self>) -> bool {
        is_lease_over(lock.map(Self::until), NOW)
    }

    fn until(self) -> Timestamp {
        Timestamp::from_millis(NOW.millis() + self.left)
    }

    /// The same lease so much later.
    pub(super) fn later(mut self, time: Duration) -> Self {
        self.left = (self.left - i64::from(millis(time))).max(Self::OVER);
        self
    }
}

pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).expect("the model's times are short")
}

/// What the rules of the protocol do not look at.
static ANY: LazyLock<Connection> = LazyLock::new(|| Connection {
    key: ConnectionKey {
        workspace: WorkspaceId::parse("w").expect("an id"),
        app: AppId::parse("a").expect("an id"),
        subject: Subject::User(UserId::parse("u").expect("an id")),
        connector: ConnectorId::parse("c").expect("an id"),
        alias: None,
    },
    id: ConnectionId::parse("k").expect("an id"),
    status: ConnectionStatus::Active,
    generation: 1,
    connector_generation: 1,
    sealed: Some(Vec::new()),
    validity: Validity {
        issued_at: NOW,
        expires_at: None,
        grant_expires_at: None,
    },
    refreshable: true,
    requested_scopes: ScopeList::default(),
    granted_scopes: ScopeList::default(),
    account: None,
    due_at: None,
    open_attempts: 0,
    open_since: None,
    outcome_lost: false,
    failures: 0,
    next_attempt_at: None,
    created_at: NOW,
    connected_at: NOW,
    refreshed_at: None,
    last_read_at: None,
});

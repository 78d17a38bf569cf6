//! Draws the moves.

use std::time::Duration;

use shared::domain::connection::{Connection, Lease, RevocationOutcome};
use shared::domain::connector::{Connector, ConnectorStatus};
use shared::domain::refresh_protocol::FailedAttempt;
use shared::domain::session::Stage;
use shared::domain::time::Timestamp;
use shared::ports::{ConnectWrite, Connections, Registry};
use testkit::entropy::SeededEntropy;
use testkit::memory_store::MemoryStore;

use super::super::fixtures::{
    at, connection, connector, connector_id, event, key, revocation, session_id, tokens, workspace,
};
use super::USERS;
use super::moves::{Move, redirected, returned};

/// Draws moves, and remembers what a slow or repeated caller would still hold.
pub(super) struct Player {
    entropy: SeededEntropy,
    now: Timestamp,
    events: u32,
    pub(super) leases: Vec<Lease>,
    pub(super) reads: Vec<Connection>,
}

impl Player {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entropy: SeededEntropy::new(seed),
            now: at(0),
            events: 0,
            leases: Vec::new(),
            reads: Vec::new(),
        }
    }

    fn below(&self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    fn user(&self) -> &'static str {
        USERS[self.below(USERS.len())]
    }

    fn session(&self) -> String {
        format!("s{}", self.below(4))
    }

    /// Mostly the latest, sometimes an old one.
    fn of<T: Clone>(&self, seen: &[T]) -> Option<T> {
        let back = if self.below(4) > 0 { 0 } else { self.below(6) };
        seen.iter().rev().nth(back).cloned()
    }

    pub(super) async fn draw(&mut self, reference: &MemoryStore) -> Move {
        self.now = self.now.after(Duration::from_secs(self.entropy.below(9)));
        let user = self.user();
        if let Some(found) = reference.connection(&key(user)).await.unwrap() {
            self.reads.push(found);
        }
        let standing = reference
            .connector(&workspace(), &connector_id("c1"))
            .await
            .unwrap();
        loop {
            if let Some(next) = self.try_draw(user, standing.as_ref()) {
                return next;
            }
        }
    }

    fn try_draw(&mut self, user: &str, standing: Option<&Connector>) -> Option<Move> {
        let now = self.now;
        let seed = self.below(3) as u8;
        Some(match self.below(34) {
            0..=1 => Move::AddConnector(connector("c1")),
            2 => self.edit(standing?),
            3 if self.below(3) == 0 => {
                let mut deleting = standing?.clone();
                deleting.status = ConnectorStatus::Deleting { since: now };
                deleting.version += 1;
                Move::BeginDeletion(deleting, standing?.version, now)
            }
            4 => Move::FinishDeletion,
            5 => Move::AddSession(self.session(), self.stage()),
            6 => Move::Redirect(self.session(), seed, self.below(3) as u8),
            7 => Move::Arrive(self.session(), seed, self.below(3) as u8, now),
            8 => Move::BeginExchange(self.session(), seed),
            9 => Move::End(self.session()),
            10..=14 => self.connect(user),
            15..=18 => Move::Acquire(user.into(), format!("a{}", self.below(8)), now),
            19 => Move::Release(self.of(&self.leases)?),
            20..=21 => {
                let sealed = format!("refreshed-{}", self.below(1000));
                Move::Store(self.of(&self.leases)?, tokens(&sealed, now), now)
            }
            22 => Move::Fail(self.of(&self.leases)?, self.failure()),
            23 => Move::Dead(self.of(&self.leases)?, now),
            24 => {
                let read = self.of(&self.reads)?;
                let work = (self.below(3) > 0).then(|| revocation(&read, now));
                Move::Disconnect(read, work, now)
            }
            25 => Move::Settle(self.of(&self.reads)?, RevocationOutcome::Revoked, now),
            26 => Move::RecordRead(user.into(), now),
            27 => Move::Reschedule(self.of(&self.reads)?, now),
            28 => match self.below(2) {
                0 => Move::Postpone(self.below(3), now),
                _ => Move::RemoveRevocation(self.below(3)),
            },
            29 => Move::PublishAll(now),
            30..=31 => Move::Fail(self.of(&self.leases)?, self.failure()),
            32..=33 => {
                let sealed = format!("escrowed-{}", self.below(1000));
                Move::Rescue(self.of(&self.leases)?, tokens(&sealed, now), now)
            }
            _ => return None,
        })
    }

    fn edit(&self, standing: &Connector) -> Move {
        let mut edited = standing.clone();
        edited.version += 1;
        edited.name = format!("edited at {}", self.now);
        if self.below(4) == 0 {
            edited.generation += 1;
        }
        Move::Edit(edited, standing.version - self.entropy.below(2))
    }

    fn stage(&self) -> Stage {
        let seed = self.below(3) as u8;
        match self.below(3) {
            0 => Stage::Started { ticket: [seed; 32] },
            1 => Stage::Redirected(redirected(seed)),
            _ => Stage::Returned(returned(seed)),
        }
    }

    fn failure(&self) -> FailedAttempt {
        let next_attempt_at = self.now.after(Duration::from_secs(self.entropy.below(30)));
        match self.below(5) {
            0 => FailedAttempt::Pause { next_attempt_at },
            3 => FailedAttempt::Settle { next_attempt_at },
            1 | 2 => FailedAttempt::Suspect {
                since: self.now,
                next_attempt_at,
            },
            _ => FailedAttempt::Unknown { next_attempt_at },
        }
    }

    fn connect(&mut self, user: &str) -> Move {
        self.events += 1;
        let mine = |read: &&Connection| read.key == key(user);
        let replaces = match self.below(5) {
            0 => None,
            _ => self.reads.iter().rev().find(mine).cloned(),
        };
        let mut new = connection(user);
        if let Some(old) = &replaces {
            new.generation = old.generation + 1;
            if !old.status.is_gone() {
                new.id = old.id.clone();
            }
        }
        new.sealed = Some(format!("connected-{}", self.events).into_bytes());
        new.due_at = (self.below(4) > 0).then(|| self.now.after(Duration::from_secs(60)));
        Move::Connect(Box::new(ConnectWrite {
            session: session_id(&format!("x{}", self.events - self.entropy.below(2) as u32)),
            connection: new,
            replaces,
            event: event(&format!("connect-{}", self.events), self.now),
        }))
    }
}

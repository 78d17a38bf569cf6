//! The world of one connection and what can happen in it next: workers of one attempt each, the
//! table with its escrow, the requests that are under way, and the provider.
//!
//! Whatever takes no part in a decision is left out: access tokens, events, due entries. Time
//! passes in steps of [`STEP`], and whoever has to do something before a limit does it in time.

use std::time::Duration;

use shared::domain::provider::Rotation;
use shared::domain::refresh_protocol::RETRY_DELAY;

use super::provider::{Grant, TOKENS};
use super::row::{Lock, NOW, Row, Status, millis};
use super::rules::{Faults, Game};
use super::turn::{Turn, What, Wrong};

/// The most attempts a game can have.
const WORKERS: usize = 4;
/// How far time moves at once. Every limit below is a number of these, rounded up.
const STEP: Duration = Duration::from_secs(4);
/// From the lease to the request, and from the answer to the end: 2 s and 5 s of the 15 s after
/// which a function is stopped.
const BRIEFLY: u8 = 1;
/// When a worker gives up waiting for the provider: 8 s.
pub(super) const TIMEOUT: u8 = 2;
/// The latest arrival of a request whose sender has given up: before the lease is over, at which
/// no protocol can tell it from a theft any more (F9).
const LATEST_ARRIVAL: u8 = 3;
/// How soon the queue gets escrowed tokens into a table that is back. The handler offers them
/// every second, and [`RETRY_DELAY`] is what the next attempt leaves for it.
const DELIVERY: u8 = 4;
/// Whoever may try again does so while the provider's grace leaves time for a whole attempt.
const ATTEMPT: Duration = Duration::from_secs(24);

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    /// Not begun.
    Idle,
    /// Has read the connection, and now wants the lease (B5).
    Read(Row),
    /// Was refused the lease, and goes ahead after a while (B4).
    Refused,
    /// Holds the lease on this row, for so long.
    Leased { row: Row, retry: bool, age: u8 },
    /// Has asked the provider, so long ago. `broken`: there will be no answer.
    Asking { row: Row, broken: bool, age: u8 },
    /// Knows how the request ended.
    Answered { row: Row, answer: Answer, age: u8 },
    /// Done, or dead.
    Over,
}

/// How a token request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Tokens(u8),
    Refusal,
    Unknown,
}

/// A token request that the provider has not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) token: u8,
    pub(super) age: u8,
    pub(super) late: bool,
}

/// Tokens that the table did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Escrow {
    /// Whose attempt they are of.
    pub(super) worker: usize,
    pub(super) generation: u8,
    /// What was spent for them.
    pub(super) spent: u8,
    pub(super) token: u8,
    /// For how long the table could have taken them.
    pub(super) age: u8,
}

/// Everything there is, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) row: Row,
    pub(super) lock: Option<Lock>,
    pub(super) grant: Grant,
    pub(super) workers: [Worker; WORKERS],
    /// The request of each worker.
    pub(super) requests: [Option<Request>; WORKERS],
    pub(super) escrow: Option<Escrow>,
    /// Milliseconds until a retry is delivered that an attempt asked for, as often as it pleases.
    pub(super) retry: Option<u32>,
    pub(super) table_away: bool,
    /// Milliseconds since the first of the open attempts took its lease, as far as a rule asks
    /// for it.
    pub(super) open_for: u32,
    /// What may still go wrong.
    pub(super) faults: Faults,
    /// Whether the provider issued tokens that a crash or a lost answer kept from everybody.
    pub(super) unheard: bool,
}

impl State {
    pub(super) fn first(game: &Game) -> Self {
        let mut workers = [Worker::Over; WORKERS];
        workers[..game.workers].fill(Worker::Idle);
        Self {
            row: Row::connected(),
            lock: None,
            grant: Grant::new(),
            workers,
            requests: [None; WORKERS],
            escrow: None,
            retry: None,
            table_away: false,
            open_for: 0,
            faults: game.faults,
            unheard: false,
        }
    }

    /// Everything that can happen next.
    pub(super) fn turns(&self, game: &Game) -> Vec<Turn> {
        let mut turns = Vec::new();
        self.time_passes(game, &mut turns);
        self.others_act(game, &mut turns);
        for worker in 0..WORKERS {
            self.worker_acts(worker, game, &mut turns);
            self.provider_acts(worker, game, &mut turns);
        }
        for turn in &mut turns {
            turn.state.forget();
        }
        turns
    }

    /// Drops what can make no difference any more, so that fewer states are different.
    fn forget(&mut self) {
        let mut held = [false; TOKENS];
        held[usize::from(self.row.token)] = self.row.status != Status::Gone;
        for worker in &self.workers {
            match worker {
                Worker::Idle | Worker::Refused | Worker::Over => {}
                Worker::Read(row)
                | Worker::Leased { row, .. }
                | Worker::Asking { row, .. }
                | Worker::Answered { row, .. } => held[usize::from(row.token)] = true,
            }
        }
        for request in self.requests.iter().flatten() {
            held[usize::from(request.token)] = true;
        }
        self.grant.forget(&held);
        if self.row.open_attempts == 0 {
            self.open_for = 0;
        }
    }

    /// What is wrong with a state from which only a new attempt could lead on.
    pub(super) fn judge(&self) -> Option<Wrong> {
        let gone = self.row.status == Status::Gone;
        if gone || !self.is_quiet() || self.grant.honours(self.row.token) {
            return None;
        }
        Some(if self.unheard {
            Wrong::LostUnheard
        } else {
            Wrong::Lost
        })
    }

    /// Whether nobody is doing anything, and nothing is on its way.
    fn is_quiet(&self) -> bool {
        let rests = |worker: &Worker| matches!(worker, Worker::Idle | Worker::Over);
        self.workers.iter().all(rests)
            && self.requests.iter().all(Option::is_none)
            && self.escrow.is_none()
    }

    fn time_passes(&self, game: &Game, turns: &mut Vec<Turn>) {
        let somebody_left = self.workers.contains(&Worker::Idle);
        if self.is_quiet() && !somebody_left || self.is_urgent(game) {
            return;
        }
        let mut next = *self;
        next.row = next.row.later(STEP);
        next.lock = next.lock.map(|lock| lock.later(STEP));
        next.grant = next.grant.later(STEP);
        if let Rotation::Grace(grace) = game.rotation {
            next.open_for = (self.open_for + millis(STEP)).min(millis(grace));
        }
        next.retry = next.retry.map(|left| left.saturating_sub(millis(STEP)));
        for worker in &mut next.workers {
            match worker {
                Worker::Idle | Worker::Refused | Worker::Over => {}
                Worker::Read(row) => *row = row.later(STEP),
                Worker::Leased { row, age, .. }
                | Worker::Asking { row, age, .. }
                | Worker::Answered { row, age, .. } => {
                    *row = row.later(STEP);
                    *age += 1;
                }
            }
        }
        for request in next.requests.iter_mut().flatten() {
            request.age += 1;
        }
        if let Some(escrow) = next.escrow.as_mut().filter(|_| !self.table_away) {
            escrow.age = (escrow.age + 1).min(DELIVERY);
        }
        turns.push(Turn::of(What::TimePasses, next));
    }

    /// Whether something has to happen before time moves on.
    fn is_urgent(&self, game: &Game) -> bool {
        let late_worker = self.workers.iter().any(|worker| match worker {
            Worker::Idle | Worker::Read(_) | Worker::Refused | Worker::Over => false,
            Worker::Leased { age, .. } | Worker::Answered { age, .. } => *age >= BRIEFLY,
            Worker::Asking { age, .. } => *age >= TIMEOUT,
        });
        let mut requests = self.requests.iter().flatten();
        let late_request = requests.any(|request| {
            let limit = if request.late {
                LATEST_ARRIVAL
            } else {
                TIMEOUT - 1
            };
            request.age >= limit
        });
        let escrow = self.escrow.filter(|_| !self.table_away);
        let late_escrow = escrow
            .is_some_and(|escrow| escrow.age >= DELIVERY && self.escrow_may_come(&escrow, game));
        late_worker || late_request || late_escrow || self.grace_ends(game)
    }

    /// Whether the provider's grace for what is stored ends soon, and somebody can still use it.
    fn grace_ends(&self, game: &Game) -> bool {
        let left = self.grant.left(self.row.token).filter(|left| *left > 0);
        self.grant.live
            && left.is_some_and(|left| left <= millis(ATTEMPT))
            && self.workers.contains(&Worker::Idle)
            && !self.table_away
            && (game.rules.lease.is_none() || self.row.may_lease(self.lock))
    }

    fn others_act(&self, game: &Game, turns: &mut Vec<Turn>) {
        if self.faults.disconnect && self.row.is_live() && !self.table_away {
            let mut next = *self;
            next.faults.disconnect = false;
            next.row.status = Status::Gone;
            next.row.generation += 1;
            next.lock = None;
            turns.push(Turn::of(What::Disconnects, next));
        }
        if self.table_away {
            let mut next = *self;
            next.table_away = false;
            turns.push(Turn::of(What::TableComesBack, next));
        } else if let Some(escrow) = self.escrow
            && self.escrow_may_come(&escrow, game)
        {
            let mut next = *self;
            next.escrow = None;
            let (what, wrong) = if self.row.may_store(escrow.generation) {
                let wrong = next.write(escrow.token, escrow.generation + 1);
                (What::ComesOutOfEscrow, wrong)
            } else {
                (What::EscrowIsNotNeeded, None)
            };
            turns.push(Turn::of(what, next).wrong_if(wrong));
        }
    }

    /// Whether no other attempt's lease stands in the way.
    fn escrow_may_come(&self, escrow: &Escrow, game: &Game) -> bool {
        let others = self.lock.filter(|lock| lock.owner != escrow.worker);
        Lock::is_over(others) || !game.rules.escrow_yields
    }

    /// Tokens are written, whatever stands there.
    pub(super) fn write(&mut self, token: u8, generation: u8) -> Option<Wrong> {
        let before = self.row;
        self.row = Row {
            generation,
            token,
            ..Row::connected()
        };
        self.lock = None;
        if before.status == Status::Gone {
            Some(Wrong::Resurrected)
        } else {
            let older = generation <= before.generation || token < before.token;
            older.then_some(Wrong::Regressed)
        }
    }

    fn provider_acts(&self, worker: usize, game: &Game, turns: &mut Vec<Turn>) {
        let Some(request) = self.requests[worker] else {
            return;
        };
        if request.late {
            if request.age >= TIMEOUT {
                turns.push(self.processed(worker, request, game, false));
            }
            return;
        }
        turns.push(self.processed(worker, request, game, true));
        if self.faults.refusal {
            let mut next = *self;
            next.faults.refusal = false;
            next.requests[worker] = None;
            next.answer(worker, Answer::Refusal);
            turns.push(Turn::of(What::IsRefusedWithoutAReason, next).by(worker));
        }
        if !self.faults.answer {
            return;
        }
        let mut spoilt = *self;
        spoilt.faults.answer = false;
        if let Worker::Asking { broken, .. } = &mut spoilt.workers[worker] {
            *broken = true;
        }
        turns.push(spoilt.processed(worker, request, game, false));
        let mut lost = spoilt;
        lost.requests[worker] = None;
        turns.push(Turn::of(What::RequestIsLost, lost).by(worker));
        let mut late = spoilt;
        late.requests[worker] = Some(Request {
            late: true,
            ..request
        });
        turns.push(Turn::of(What::RequestIsLate, late).by(worker));
    }

    /// The provider processes a request. Whether its sender hears of it is the network's.
    fn processed(&self, worker: usize, request: Request, game: &Game, heard: bool) -> Turn {
        let mut next = *self;
        next.requests[worker] = None;
        let answer = match next.grant.present(request.token, game.rotation) {
            Some(token) => Answer::Tokens(token),
            None => Answer::Refusal,
        };
        let asking = matches!(self.workers[worker], Worker::Asking { broken: false, .. });
        let heard = heard && asking;
        if heard {
            next.answer(worker, answer);
        } else {
            next.unheard |= matches!(answer, Answer::Tokens(_));
        }
        let kills = matches!(game.rotation, Rotation::Strict);
        let waiting = self.escrow.filter(|escrow| escrow.spent == request.token);
        let wrong = (kills && waiting.is_some()).then_some(Wrong::EscrowOvertaken);
        let what = if heard {
            What::IsProcessed
        } else {
            What::IsProcessedUnheard
        };
        Turn::of(what, next).by(worker).wrong_if(wrong)
    }

    fn answer(&mut self, worker: usize, answer: Answer) {
        if let Worker::Asking { row, .. } = self.workers[worker] {
            self.workers[worker] = Worker::Answered {
                row,
                answer,
                age: 0,
            };
        }
    }

    /// A retry is asked for, to be delivered when the lease is over.
    pub(super) fn retry_soon(&mut self) {
        self.retry = Some(millis(RETRY_DELAY));
    }
}

/// Whether a pause is one after which a retry is asked for.
pub(super) fn is_soon(wait: u32) -> bool {
    NOW.after(Duration::from_millis(wait.into())) <= NOW.after(RETRY_DELAY)
}

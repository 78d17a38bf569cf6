//! What a worker does: one attempt, in the steps of `shared::refresh`.

use shared::domain::connection::ReconnectReason;
use shared::domain::refresh_protocol::{FailedAttempt, Verdict};
use shared::domain::token::TokenFailure;

use super::model::{Answer, Escrow, Request, State, TIMEOUT, Worker, is_soon};
use super::row::{Lock, Row, Status, millis};
use super::rules::Game;
use super::turn::{Turn, What, Wrong};

impl State {
    pub(super) fn worker_acts(&self, worker: usize, game: &Game, turns: &mut Vec<Turn>) {
        match self.workers[worker] {
            Worker::Idle => {
                // Workers are alike: they begin in their order.
                if worker == 0 || self.workers[worker - 1] != Worker::Idle {
                    self.begins(worker, game, turns);
                }
                return;
            }
            Worker::Over => return,
            Worker::Read(row) => self.wants_the_lease(worker, Some(row), false, game, turns),
            Worker::Refused => {
                let mut next = *self;
                next.workers[worker] = leased(self.row, false);
                turns.push(Turn::of(What::GoesAheadWithoutTheLease, next).by(worker));
            }
            Worker::Leased { row, retry, .. } => {
                self.has_the_lease(worker, row, retry, game, turns)
            }
            Worker::Asking { row, broken, age } => {
                if broken || age >= TIMEOUT {
                    let mut next = *self;
                    next.workers[worker] = Worker::Answered {
                        row,
                        answer: Answer::Unknown,
                        age: 0,
                    };
                    turns.push(Turn::of(What::LearnsNothing, next).by(worker));
                }
            }
            Worker::Answered { row, answer, .. } => match answer {
                Answer::Tokens(token) => self.stores(worker, row, token, game, turns),
                Answer::Refusal => {
                    self.fails(worker, row, &TokenFailure::GrantRefused, game, turns)
                }
                Answer::Unknown => {
                    self.fails(worker, row, &TokenFailure::OutcomeUnknown, game, turns)
                }
            },
        }
        if self.faults.crash {
            let mut next = self.over(worker);
            next.faults.crash = false;
            let answer = self.workers[worker];
            let held = matches!(
                answer,
                Worker::Answered {
                    answer: Answer::Tokens(_),
                    ..
                }
            );
            next.unheard |= held;
            turns.push(Turn::of(What::Crashes, next).by(worker));
        }
    }

    fn begins(&self, worker: usize, game: &Game, turns: &mut Vec<Turn>) {
        if game.rules.lease.is_none() {
            if self.row.is_live() && !self.table_away {
                let mut next = *self;
                next.workers[worker] = leased(self.row, false);
                turns.push(Turn::of(What::GoesAheadWithoutTheLease, next).by(worker));
            }
            return;
        }
        if !game.rules.read_under_lease {
            if self.row.is_live() && !self.table_away {
                let mut next = *self;
                next.workers[worker] = Worker::Read(self.row);
                turns.push(Turn::of(What::Reads, next).by(worker));
            }
            return;
        }
        self.wants_the_lease(worker, None, false, game, turns);
        if self.retry == Some(0) {
            self.wants_the_lease(worker, None, true, game, turns);
        }
    }

    /// `before`: what was read before, and is used in place of the lease's own answer.
    fn wants_the_lease(
        &self,
        worker: usize,
        before: Option<Row>,
        retry: bool,
        game: &Game,
        turns: &mut Vec<Turn>,
    ) {
        let Some(length) = game.rules.lease.filter(|_| !self.table_away) else {
            return;
        };
        let mut next = *self;
        if self.row.may_lease(self.lock) {
            next.row.open_attempts += 1;
            next.lock = Some(Lock {
                owner: worker,
                left: length.as_millis() as i64,
            });
            next.workers[worker] = leased(before.unwrap_or(next.row), retry);
            let what = if retry {
                What::TakesTheLeaseForARetry
            } else {
                What::TakesTheLease
            };
            turns.push(Turn::of(what, next).by(worker));
        } else if !game.rules.patient && self.row.is_live() {
            next.workers[worker] = Worker::Refused;
            turns.push(Turn::of(What::IsRefusedTheLease, next).by(worker));
        }
    }

    fn has_the_lease(
        &self,
        worker: usize,
        row: Row,
        retry: bool,
        game: &Game,
        turns: &mut Vec<Turn>,
    ) {
        let settled = retry && !row.has_lost_outcome();
        // Somebody has refreshed: the access token may be fresh still, or have expired again.
        if settled || row.generation > Row::connected().generation {
            let mut next = self.over(worker);
            if !self.table_away && self.may_end(worker, game) {
                next.lock = None;
                next.row.open_attempts = self.row.open_attempts.saturating_sub(1);
            }
            turns.push(Turn::of(What::ReleasesTheLease, next).by(worker));
            if settled {
                return;
            }
        }
        let settle = row.before_asking(game.rotation, self.open_for);
        if let Some(settle) = settle.filter(|_| game.rules.waits_for_escrow) {
            let next = self.record(worker, row, &settle, game);
            turns.push(Turn::of(What::LetsItSettle, next).by(worker));
            return;
        }
        let mut next = *self;
        next.requests[worker] = Some(Request {
            token: row.token,
            age: 0,
            late: false,
        });
        next.workers[worker] = Worker::Asking {
            row,
            broken: false,
            age: 0,
        };
        let two = self.requests.iter().any(Option::is_some);
        let wrong = two.then_some(Wrong::TwoRequests);
        turns.push(Turn::of(What::Asks, next).by(worker).wrong_if(wrong));
    }

    fn stores(&self, worker: usize, row: Row, token: u8, game: &Game, turns: &mut Vec<Turn>) {
        let mut taken = self.over(worker);
        let may_store = self.row.may_store(row.generation);
        let wrong = match game.rules.fenced {
            true if may_store => taken.write(token, row.generation + 1),
            true => None,
            false => taken.write(token, self.row.generation + 1),
        };
        let written = may_store || !game.rules.fenced;
        let escrow = Some(Escrow {
            worker,
            generation: row.generation,
            spent: row.token,
            token,
            age: 0,
        });
        let mut escrowed = self.over(worker);
        if self.table_away {
            escrowed.escrow = escrow;
            turns.push(Turn::of(What::PutsIntoEscrow, escrowed).by(worker));
            return;
        }
        let what = if written {
            What::Stores
        } else {
            What::StoresNothing
        };
        turns.push(Turn::of(what, taken).by(worker).wrong_if(wrong));
        if self.faults.table {
            // Gone before the write arrives, or just after it, when nobody hears that it did.
            for mut next in [escrowed, taken] {
                next.faults.table = false;
                next.table_away = true;
                next.escrow = escrow;
                turns.push(
                    Turn::of(What::PutsIntoEscrow, next)
                        .by(worker)
                        .wrong_if(wrong),
                );
            }
        }
    }

    fn fails(
        &self,
        worker: usize,
        row: Row,
        failure: &TokenFailure,
        game: &Game,
        turns: &mut Vec<Turn>,
    ) {
        let refused = matches!(failure, TokenFailure::GrantRefused);
        let verdict = if refused && !game.rules.doubts {
            Verdict::Dead(ReconnectReason::GrantRevoked)
        } else {
            row.after_failure(failure)
        };
        let turn = match verdict {
            Verdict::Record(failed) => {
                let next = self.record(worker, row, &failed, game);
                let what = if next.row == self.row && next.lock == self.lock {
                    What::RecordsNothing
                } else {
                    What::RecordsFailure
                };
                Turn::of(what, next)
            }
            Verdict::Dead(_) if self.may_declare_dead(worker, row, game) => {
                let mut next = self.over(worker);
                next.row.status = Status::Dead;
                next.lock = None;
                let wrong = self.grant.honours(self.row.token);
                Turn::of(What::DeclaresDead, next).wrong_if(wrong.then_some(Wrong::FalselyDead))
            }
            Verdict::Dead(_) => Turn::of(What::RecordsNothing, self.over(worker)),
        };
        turns.push(turn.by(worker));
    }

    /// The attempt ends without tokens, and its lease as the failure says.
    fn record(&self, worker: usize, row: Row, failed: &FailedAttempt, game: &Game) -> Self {
        let mut next = self.over(worker);
        if !self.table_away && self.row.is_live() && self.may_end(worker, game) {
            let after = row.after(failed);
            next.row = Row {
                generation: self.row.generation,
                token: self.row.token,
                ..after
            };
            let unknown = matches!(failed, FailedAttempt::Unknown { .. });
            if unknown && !game.rules.settles {
                next.row.wait = 0;
                next.lock = None;
            } else if !failed.keeps_lease() {
                next.lock = None;
            }
        }
        let wait = millis(failed.next_attempt_at().since(super::row::NOW));
        let uncertain = matches!(
            failed,
            FailedAttempt::Unknown { .. } | FailedAttempt::Settle { .. }
        );
        if uncertain && is_soon(wait) {
            next.retry_soon();
        }
        next
    }

    /// Whether a worker's write may end the lease that stands.
    fn may_end(&self, worker: usize, game: &Game) -> bool {
        let owned = self.lock.is_some_and(|lock| lock.owner == worker);
        owned || !game.rules.owned
    }

    fn may_declare_dead(&self, worker: usize, row: Row, game: &Game) -> bool {
        let fenced = self.may_end(worker, game) && self.row.may_store(row.generation);
        !self.table_away && (fenced || !game.rules.fenced && self.row.is_live())
    }

    fn over(&self, worker: usize) -> Self {
        let mut next = *self;
        next.workers[worker] = Worker::Over;
        next
    }
}

fn leased(row: Row, retry: bool) -> Worker {
    Worker::Leased { row, retry, age: 0 }
}

//! Tasks under virtual time, in one thread, in an order that a seed decides.
//!
//! Everything that takes time is a *wait*: each side of a store call, each leg of a token
//! request, each sleep. Of the waits whose time has come the seed picks one; when none has come,
//! time moves to the next. Nothing else decides anything, so a seed is one story.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use shared::domain::time::Timestamp;
use shared::ports::Clock;

/// The instant at which every story begins, in milliseconds since 1970.
const BEGIN: i64 = 1_795_366_800_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle on the simulated world's time and tasks.
#[derive(Clone)]
pub(super) struct Sim(Arc<Mutex<State>>);

struct State {
    now: u64,
    random: u64,
    ids: u64,
    waits: BTreeMap<u64, Wait>,
    woken: BTreeSet<u64>,
    spawned: Vec<(u64, Task)>,
    /// Invocations, which the platform stops at this instant.
    deadlines: BTreeMap<u64, u64>,
    current: u64,
    crashed: bool,
    violation: Option<String>,
    told: u64,
    aloud: bool,
}

struct Wait {
    at: u64,
    task: u64,
    waker: Waker,
    over: bool,
}

impl Sim {
    /// A world at its first instant. `aloud` prints the story.
    pub(super) fn new(seed: u64, aloud: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: 0,
            random: seed,
            ids: 0,
            waits: BTreeMap::new(),
            woken: BTreeSet::new(),
            spawned: Vec::new(),
            deadlines: BTreeMap::new(),
            current: 0,
            crashed: false,
            violation: None,
            told: 0,
            aloud,
        })))
    }

    /// Milliseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        self.state().now
    }

    /// The true time of day.
    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(BEGIN + self.now() as i64)
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.state().draw() % bound.max(1)
    }

    /// Whether something happens that does in `percent` of all cases.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Lets `millis` pass. Others go on, before and after.
    pub(super) async fn sleep(&self, millis: u64) {
        let at = self.now() + millis;
        let (sim, id) = (self.clone(), None);
        Sleep { sim, at, id }.await;
    }

    /// Starts a task that nothing stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let id = state.new_id();
        state.spawned.push((id, Box::pin(task)));
    }

    /// Starts an invocation of a function: it can crash, and is stopped after `limit`.
    pub(super) fn invoke(&self, limit: u64, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let id = state.new_id();
        let deadline = state.now + limit;
        state.deadlines.insert(id, deadline);
        state.spawned.push((id, Box::pin(task)));
    }

    /// Whether the running task is an invocation.
    pub(super) fn in_invocation(&self) -> bool {
        let state = self.state();
        state.deadlines.contains_key(&state.current)
    }

    /// Ends the running task here: its future is dropped.
    pub(super) async fn crash<T>(&self) -> T {
        self.state().crashed = true;
        pending().await
    }

    /// Says what an invariant forbids has happened. The story ends.
    pub(super) fn violate(&self, what: String) {
        self.tell(|| format!("VIOLATION {what}"));
        self.state().violation.get_or_insert(what);
    }

    /// A line of the story.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        let state = self.state();
        if state.aloud {
            let line = line();
            println!(
                "{:>11.3} s  #{:<4} {line}",
                state.now as f64 / 1000.0,
                state.current
            );
        }
    }

    /// Runs all tasks to their ends. Answers a digest of what happened in which order.
    ///
    /// # Errors
    /// The first violation.
    pub(super) fn run(&self) -> Result<u64, String> {
        let mut tasks = BTreeMap::new();
        loop {
            self.poll_all(&mut tasks);
            if let Some(violation) = self.state().violation.take() {
                return Err(violation);
            }
            let Some((task, waker)) = self.next() else {
                return Ok(self.state().told);
            };
            let stopped = self.state().is_stopped(task);
            if stopped {
                self.tell(|| format!("invocation #{task} is stopped"));
                // Its waits go with it.
                drop(tasks.remove(&task));
            } else {
                waker.wake();
            }
        }
    }

    fn poll_all(&self, tasks: &mut BTreeMap<u64, Task>) {
        loop {
            let id = {
                let mut state = self.state();
                for (id, task) in std::mem::take(&mut state.spawned) {
                    tasks.insert(id, task);
                    state.woken.insert(id);
                }
                let Some(id) = state.woken.pop_first() else {
                    return;
                };
                state.current = id;
                id
            };
            let Some(mut task) = tasks.remove(&id) else {
                continue;
            };
            let sim = self.clone();
            let waker = Waker::from(Arc::new(Woken { sim, id }));
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            let crashed = std::mem::take(&mut self.state().crashed);
            if polled.is_pending() && !crashed {
                tasks.insert(id, task);
            }
        }
    }

    /// The wait that is over next.
    fn next(&self) -> Option<(u64, Waker)> {
        let mut state = self.state();
        let soonest = state.waits.values().filter(|wait| !wait.over);
        let soonest = soonest.map(|wait| wait.at).min()?;
        state.now = state.now.max(soonest);
        let now = state.now;
        let ready: Vec<u64> = state
            .waits
            .iter()
            .filter(|(_, wait)| !wait.over && wait.at <= now)
            .map(|(id, _)| *id)
            .collect();
        let chosen = ready[state.draw() as usize % ready.len()];
        let wait = state.waits.get_mut(&chosen)?;
        wait.over = true;
        let (task, waker) = (wait.task, wait.waker.clone());
        for word in [now, chosen, task] {
            state.told = (state.told ^ word).wrapping_mul(0x0100_0000_01b3);
        }
        Some((task, waker))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the simulation panics")
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn is_stopped(&self, task: u64) -> bool {
        let deadline = self.deadlines.get(&task);
        deadline.is_some_and(|deadline| *deadline < self.now)
    }

    /// SplitMix64: any two seeds give unrelated sequences.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

struct Woken {
    sim: Sim,
    id: u64,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.sim.state().woken.insert(self.id);
    }
}

struct Sleep {
    sim: Sim,
    at: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sim = self.sim.clone();
        let mut state = sim.state();
        let id = *self.id.get_or_insert_with(|| state.new_id());
        let (at, task) = (self.at, state.current);
        let wait = state.waits.entry(id).or_insert_with(|| Wait {
            at,
            task,
            waker: context.waker().clone(),
            over: false,
        });
        if wait.over {
            return Poll::Ready(());
        }
        wait.waker.clone_from(context.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.sim.state().waits.remove(&id);
        }
    }
}

/// The clock of one machine, ahead of the true time by `skew` milliseconds.
pub(super) struct SkewedClock {
    pub(super) sim: Sim,
    pub(super) skew: i64,
}

#[async_trait]
impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.sim.timestamp().millis() + self.skew)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.sim.now())
    }

    async fn sleep(&self, time: Duration) {
        self.sim.sleep(time.as_micros().div_ceil(1000) as u64).await;
    }

    fn is_trusted(&self) -> bool {
        self.skew.abs() <= 1_000
    }
}

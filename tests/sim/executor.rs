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

use shared::domain::time::Timestamp;

/// The instant at which every story begins, in milliseconds since 1970.
const BEGIN: i64 = 1_795_366_800_000;

/// A story that needs more never ends: somebody goes round in circles. A year takes a hundredth.
const MOST_POLLS: u64 = 1_000_000;

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
    frozen: BTreeMap<u64, Freeze>,
    current: u64,
    crashed: bool,
    violation: Option<String>,
    told: u64,
    aloud: bool,
}

/// A sandbox that stands still.
#[derive(Clone, Copy)]
struct Freeze {
    since: u64,
    until: u64,
    /// Whether its monotonic clock stands still with it.
    unnoticed: bool,
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
            frozen: BTreeMap::new(),
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

    /// Starts an invocation and waits for what it answers; `None` when it died.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        limit: u64,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let near = Arc::new(Mutex::new(Line {
            answer: None,
            over: false,
            waker: None,
        }));
        let far = FarEnd(Arc::clone(&near));
        self.invoke(limit, async move {
            let answer = task.await;
            far.0.lock().expect("nobody panics").answer = Some(answer);
        });
        std::future::poll_fn(|context| {
            let mut line = near.lock().expect("nobody panics");
            if line.over {
                return Poll::Ready(line.answer.take());
            }
            line.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Lets the sandbox of the running invocation stand still for so long, once in its life. The
    /// platform does not count that time.
    pub(super) async fn freeze(&self, millis: u64) {
        let unnoticed = self.chance(50);
        {
            let mut state = self.state();
            let (now, task) = (state.now, state.current);
            if state.frozen.contains_key(&task) {
                return;
            }
            let freeze = Freeze {
                since: now,
                until: now + millis,
                unnoticed,
            };
            state.frozen.insert(task, freeze);
            if let Some(deadline) = state.deadlines.get_mut(&task) {
                *deadline += millis;
            }
        }
        self.sleep(0).await;
    }

    /// Whether the sandbox of the running invocation stood still in its life.
    pub(super) fn stood_still(&self) -> bool {
        let state = self.state();
        state.frozen.contains_key(&state.current)
    }

    /// What the monotonic clock of the running invocation's sandbox says, in milliseconds.
    pub(super) fn monotonic(&self) -> u64 {
        let state = self.state();
        let missed = state.frozen.get(&state.current).filter(|it| it.unnoticed);
        let missed = missed.map_or(0, |freeze| state.now.min(freeze.until) - freeze.since);
        state.now - missed
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
        let (mut tasks, mut polls) = (BTreeMap::new(), 0);
        loop {
            self.poll_all(&mut tasks, &mut polls);
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

    fn poll_all(&self, tasks: &mut BTreeMap<u64, Task>, polls: &mut u64) {
        loop {
            *polls += 1;
            if *polls > MOST_POLLS {
                return self.violate(format!("not over after {MOST_POLLS} polls"));
            }
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
        let soonest = soonest.map(|wait| state.end_of(wait)).min()?;
        state.now = state.now.max(soonest);
        let now = state.now;
        let ready: Vec<u64> = state
            .waits
            .iter()
            .filter(|(_, wait)| !wait.over && state.end_of(wait) <= now)
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

    /// When a wait is over: not while its sandbox stands still.
    fn end_of(&self, wait: &Wait) -> u64 {
        let frozen = self.frozen.get(&wait.task);
        frozen.map_or(wait.at, |freeze| wait.at.max(freeze.until))
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

/// What connects an invocation with who waits for its answer.
struct Line<T> {
    answer: Option<T>,
    over: bool,
    waker: Option<Waker>,
}

/// The invocation's end of a line; it is over when this is dropped, whatever ended it.
struct FarEnd<T>(Arc<Mutex<Line<T>>>);

impl<T> Drop for FarEnd<T> {
    fn drop(&mut self) {
        let mut line = self.0.lock().expect("nobody panics");
        line.over = true;
        if let Some(waker) = line.waker.take() {
            waker.wake();
        }
    }
}

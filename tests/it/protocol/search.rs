//! Every order in which things can happen, breadth first: what is found is found with the fewest
//! steps that lead to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::State;
use super::rules::Game;
use super::turn::{What, Wrong};

/// What there is to say of a game when every state has been seen.
pub(super) struct Seen {
    pub(super) states: usize,
    /// What happened at all, somewhere.
    pub(super) happened: BTreeSet<What>,
    /// Each thing that went wrong, with the shortest story of it.
    pub(super) wrong: BTreeMap<Wrong, Vec<String>>,
}

/// A state, and how it was reached first.
struct Node {
    state: State,
    from: usize,
    what: What,
    worker: Option<usize>,
}

/// Plays a game in every possible way.
pub(super) fn explore(game: &Game) -> Seen {
    let first = State::first(game);
    let mut nodes = vec![Node {
        state: first,
        from: 0,
        what: What::TimePasses,
        worker: None,
    }];
    let mut known = HashMap::from([(first, 0)]);
    let mut seen = Seen {
        states: 0,
        happened: BTreeSet::new(),
        wrong: BTreeMap::new(),
    };
    let mut at = 0;
    while let Some(node) = nodes.get(at) {
        let state = node.state;
        if let Some(wrong) = state.judge() {
            let told = || story(&nodes, at);
            seen.wrong.entry(wrong).or_insert_with(told);
        }
        for turn in state.turns(game) {
            seen.happened.insert(turn.what);
            let new = nodes.len();
            let to = *known.entry(turn.state).or_insert(new);
            if to == new {
                nodes.push(Node {
                    state: turn.state,
                    from: at,
                    what: turn.what,
                    worker: turn.worker,
                });
            }
            if let Some(wrong) = turn.wrong {
                seen.wrong.entry(wrong).or_insert_with(|| {
                    let mut told = story(&nodes, at);
                    told.push(line(turn.what, turn.worker));
                    told
                });
            }
        }
        at += 1;
    }
    seen.states = nodes.len();
    seen
}

fn story(nodes: &[Node], mut at: usize) -> Vec<String> {
    let mut told = Vec::new();
    while at != 0 {
        let node = &nodes[at];
        told.push(line(node.what, node.worker));
        at = node.from;
    }
    told.reverse();
    told
}

fn line(what: What, worker: Option<usize>) -> String {
    match worker {
        Some(worker) => format!("{worker}: {what:?}"),
        None => format!("{what:?}"),
    }
}

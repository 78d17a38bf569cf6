//! Who is next: of the entries that wait, one of the workspace, and within it of the connector,
//! with the fewest calls in flight; where these are equal, whoever's turn was longest ago. So one
//! slow provider or one huge workspace cannot hold every call that a worker may make at a time.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::ids::{ConnectorId, WorkspaceId};

/// How many entries of one connector wait at most: as many as one run refreshes at a provider
/// that answers within a tenth of a second. What is beyond waits where it is stored.
pub(super) const MOST_WAITING: usize = 500;

/// Whose calls are counted together.
pub(super) type Place = (WorkspaceId, ConnectorId);

/// Entries that wait for their call.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    workspaces: BTreeMap<WorkspaceId, Workspace<T>>,
    /// How many turns there were.
    turns: u64,
}

#[derive(Debug)]
struct Workspace<T> {
    load: Load,
    waiting: usize,
    connectors: BTreeMap<ConnectorId, Connector<T>>,
}

#[derive(Debug)]
struct Connector<T> {
    load: Load,
    waiting: VecDeque<T>,
}

/// What somebody has had; the least is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    in_flight: usize,
    last_turn: u64,
}

impl<T> Waiting<T> {
    /// Lets an entry wait, behind those of its connector. `false` when [`MOST_WAITING`] do
    /// already.
    pub(super) fn add(&mut self, (workspace, connector): Place, entry: T) -> bool {
        let workspace = self.workspaces.entry(workspace).or_default();
        let connector = workspace.connectors.entry(connector).or_default();
        let fits = connector.waiting.len() < MOST_WAITING;
        if fits {
            connector.waiting.push_back(entry);
            workspace.waiting += 1;
        }
        fits
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.workspaces
            .values()
            .all(|workspace| workspace.waiting == 0)
    }

    /// Takes the next entry out; its call is in flight until it is [answered](Self::answered).
    pub(super) fn next(&mut self) -> Option<(Place, T)> {
        let (workspace_id, workspace) = self
            .workspaces
            .iter_mut()
            .filter(|(_, workspace)| workspace.waiting > 0)
            .min_by_key(|(_, workspace)| workspace.load)?;
        let (connector_id, connector) = workspace
            .connectors
            .iter_mut()
            .filter(|(_, connector)| !connector.waiting.is_empty())
            .min_by_key(|(_, connector)| connector.load)?;
        let entry = connector.waiting.pop_front()?;
        workspace.waiting -= 1;
        self.turns += 1;
        for load in [&mut workspace.load, &mut connector.load] {
            load.in_flight += 1;
            load.last_turn = self.turns;
        }
        Some(((workspace_id.clone(), connector_id.clone()), entry))
    }

    /// A call that [`Self::next`] began has ended.
    pub(super) fn answered(&mut self, (workspace, connector): &Place) {
        let Some(workspace) = self.workspaces.get_mut(workspace) else {
            return;
        };
        workspace.load.in_flight = workspace.load.in_flight.saturating_sub(1);
        if let Some(connector) = workspace.connectors.get_mut(connector) {
            connector.load.in_flight = connector.load.in_flight.saturating_sub(1);
        }
    }
}

// Derived, these would ask for `T: Default`.
impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            workspaces: BTreeMap::new(),
            turns: 0,
        }
    }
}

impl<T> Default for Workspace<T> {
    fn default() -> Self {
        Self {
            load: Load::default(),
            waiting: 0,
            connectors: BTreeMap::new(),
        }
    }
}

impl<T> Default for Connector<T> {
    fn default() -> Self {
        Self {
            load: Load::default(),
            waiting: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(workspace: &str, connector: &str) -> Place {
        (
            WorkspaceId::parse(workspace).unwrap(),
            ConnectorId::parse(connector).unwrap(),
        )
    }

    fn waiting(entries: &[(&str, &str, u32)]) -> Waiting<u32> {
        let mut waiting = Waiting::default();
        for (workspace, connector, entry) in entries {
            assert!(waiting.add(place(workspace, connector), *entry));
        }
        waiting
    }

    /// The order in which everything is taken out while no call ends.
    fn order(mut waiting: Waiting<u32>) -> Vec<u32> {
        std::iter::from_fn(|| waiting.next().map(|(_, entry)| entry)).collect()
    }

    #[test]
    fn workspaces_take_turns_however_much_one_of_them_has() {
        let of_two = waiting(&[
            ("huge", "c", 1),
            ("huge", "c", 2),
            ("huge", "c", 3),
            ("huge", "c", 4),
            ("small", "c", 10),
            ("small", "c", 11),
        ]);
        assert_eq!(order(of_two), [1, 10, 2, 11, 3, 4]);
    }

    #[test]
    fn connectors_take_turns_within_their_workspace_and_no_more_than_that() {
        let of_three = waiting(&[
            ("one", "a", 1),
            ("one", "a", 2),
            ("one", "b", 10),
            ("two", "c", 20),
            ("two", "c", 21),
            ("two", "c", 22),
        ]);
        assert_eq!(order(of_three), [1, 20, 10, 21, 2, 22]);
    }

    #[test]
    fn whoever_waits_for_answers_waits_for_the_next_call_too() {
        let mut of_two = waiting(&[
            ("fast", "c", 1),
            ("fast", "c", 2),
            ("fast", "c", 3),
            ("slow", "c", 10),
            ("slow", "c", 11),
        ]);
        let mut taken = Vec::new();
        while let Some((at, entry)) = of_two.next() {
            taken.push(entry);
            if at.0.as_str() == "fast" {
                of_two.answered(&at);
            }
        }
        assert_eq!(taken, [1, 10, 2, 3, 11]);
    }

    #[test]
    fn one_call_at_a_time_goes_round() {
        let mut of_two = waiting(&[("a", "c", 1), ("a", "c", 2), ("b", "c", 10), ("b", "c", 11)]);
        let mut taken = Vec::new();
        while let Some((at, entry)) = of_two.next() {
            taken.push(entry);
            of_two.answered(&at);
        }
        assert_eq!(taken, [1, 10, 2, 11]);
        assert!(of_two.is_empty());
    }

    #[test]
    fn a_connectors_surplus_does_not_wait_and_keeps_nobody_else_out() {
        let mut full = Waiting::default();
        for entry in 0..MOST_WAITING {
            assert!(full.add(place("w", "a"), entry));
        }
        assert!(!full.add(place("w", "a"), 0));
        assert!(full.add(place("w", "b"), 0));
        assert!(full.add(place("x", "a"), 0));
    }
}

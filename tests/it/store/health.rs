//! How connectors are doing: what is counted, and who moves a breaker.

use std::time::Duration;

use shared::domain::health::{Breaker, Cause, Health, Misconfiguration, Tally, minute_of};
use shared::domain::ids::{BreakerId, ConnectorId, WorkspaceId};
use shared::domain::time::Timestamp;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use super::fixtures::{at, connector_id, event, unsent, workspace};
use super::{AnyStore, facts, winners};

facts! {
    of_a_connector_that_nobody_used_nothing_is_known
    tallies_add_up_by_the_minute_for_a_quarter_of_an_hour
    tallies_and_breakers_are_of_one_connector_of_one_workspace
    a_breaker_reads_back_as_it_was_opened
    of_50_who_open_a_breaker_one_does_and_the_event_is_written_once
    of_50_who_claim_a_probe_one_gets_it
    h68_a_breaker_whose_answer_was_lost_is_recognised
    only_the_breaker_that_was_read_is_moved_or_closed
    a_closed_breaker_says_when_and_may_open_again
    a_secret_that_worked_is_known_by_when_it_was_set
}

fn breaker(id: &str) -> Breaker {
    Breaker {
        id: BreakerId::parse(id).unwrap(),
        cause: Cause::Misconfigured(Misconfiguration::ClientRefused),
        since: at(1),
        open_until: at(61),
        openings: 3,
        connector_version: 7,
    }
}

fn tally(calls: u64) -> Tally {
    Tally {
        calls,
        successes: 1,
        failures: 2,
        refusals: 3,
        malformed: 4,
    }
}

async fn a_secret_that_worked_is_known_by_when_it_was_set(store: &dyn AnyStore) {
    let worked = async |id: &str, set_at: i64, now: i64| {
        let (workspace, connector) = (workspace(), connector_id(id));
        let noted = store.secret_worked(&workspace, &connector, at(set_at), at(now));
        noted.await.unwrap();
    };
    for (id, set_at, now) in [
        ("c1", 0, 10),
        ("c1", 5, 20),
        ("c1", 0, 30),
        ("c1", 0, 25),
        ("c2", 7, 40),
    ] {
        worked(id, set_at, now).await;
    }
    count(store, at(40), tally(1)).await;
    // Not forgotten with the minutes.
    let known = health(store, at(100_000)).await;
    let secrets: Vec<_> = known.secrets.into_iter().collect();
    assert_eq!(secrets, [(at(0), at(30)), (at(5), at(20))]);
    assert!(known.minutes.is_empty());
}

async fn health(store: &dyn AnyStore, now: Timestamp) -> Health {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    store.health(&workspace, &connector, now).await.unwrap()
}

async fn count(store: &dyn AnyStore, now: Timestamp, tally: Tally) -> Tally {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let counted = store.count(&workspace, &connector, now, &tally).await;
    counted.unwrap()
}

async fn trip(store: &dyn AnyStore, new: &Breaker, replacing: Option<&Breaker>) -> bool {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let tripped = store.trip(&workspace, &connector, new, replacing, None);
    tripped.await.unwrap()
}

async fn close(store: &dyn AnyStore, breaker: &Breaker, now: Timestamp) -> bool {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let closed = store.close(&workspace, &connector, breaker, now).await;
    closed.unwrap()
}

async fn of_a_connector_that_nobody_used_nothing_is_known(store: &dyn AnyStore) {
    assert_eq!(health(store, at(0)).await, Health::default());
    assert!(!close(store, &breaker("b1"), at(0)).await);
    assert!(!trip(store, &breaker("b2"), Some(&breaker("b1"))).await);
    assert_eq!(health(store, at(0)).await, Health::default());
}

async fn tallies_add_up_by_the_minute_for_a_quarter_of_an_hour(store: &dyn AnyStore) {
    assert_eq!(count(store, at(0), tally(5)).await, tally(5));
    assert_eq!(
        count(store, at(59), tally(6)).await,
        tally(5) + tally(6),
        "the answer is the whole minute"
    );
    count(store, at(60), tally(7)).await;
    let (first, second) = (minute_of(at(0)), minute_of(at(60)));
    let expected = [(first, tally(5) + tally(6)), (second, tally(7))];
    let known = health(store, at(899)).await;
    assert_eq!(known.minutes, expected.into());
    let known = health(store, at(900)).await;
    assert_eq!(known.minutes, [(second, tally(7))].into());
    let known = health(store, at(960)).await;
    assert_eq!(known, Health::default());
}

async fn tallies_and_breakers_are_of_one_connector_of_one_workspace(store: &dyn AnyStore) {
    let places = [("w1", "c1"), ("w1", "c12"), ("w2", "c1")];
    let places = places.map(|(workspace, connector)| {
        let workspace = WorkspaceId::parse(workspace).unwrap();
        (workspace, ConnectorId::parse(connector).unwrap())
    });
    for (n, (workspace, connector)) in places.iter().enumerate() {
        let tally = tally(n as u64);
        let counted = store.count(workspace, connector, at(0), &tally).await;
        assert_eq!(counted.unwrap(), tally);
        let opened = breaker(&format!("b{n}"));
        let tripped = store.trip(workspace, connector, &opened, None, None);
        assert!(tripped.await.unwrap());
    }
    for (n, (workspace, connector)) in places.iter().enumerate() {
        let known = store.health(workspace, connector, at(0)).await.unwrap();
        assert_eq!(known.minutes, [(minute_of(at(0)), tally(n as u64))].into());
        assert_eq!(known.breaker, Some(breaker(&format!("b{n}"))));
    }
}

async fn a_breaker_reads_back_as_it_was_opened(store: &dyn AnyStore) {
    let mut standing = None;
    for (n, cause) in [
        Cause::ProviderFailing,
        Cause::Throttled,
        Cause::Misconfigured(Misconfiguration::ClientRefused),
        Cause::Misconfigured(Misconfiguration::RequestRefused),
        Cause::Misconfigured(Misconfiguration::Redirected),
    ]
    .into_iter()
    .enumerate()
    {
        let next = Breaker {
            cause,
            ..breaker(&format!("b{n}"))
        };
        assert!(trip(store, &next, standing.as_ref()).await, "{cause:?}");
        // However long it stands, it is not forgotten with the tallies.
        let known = health(store, at(100_000)).await;
        assert_eq!(known.breaker.as_ref(), Some(&next));
        standing = Some(next);
    }
}

async fn of_50_who_open_a_breaker_one_does_and_the_event_is_written_once(store: &dyn AnyStore) {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let opened = winners(async |n| {
        let new = breaker(&format!("b{n}"));
        let told = event(&format!("e{n}"), at(1));
        let tripped = store.trip(&workspace, &connector, &new, None, Some(&told));
        tripped.await
    });
    assert_eq!(opened.await, 1);
    let standing = health(store, at(1)).await.breaker.unwrap();
    let told = standing.id.as_str().replace('b', "e");
    assert_eq!(unsent(store).await, [told]);
}

async fn of_50_who_claim_a_probe_one_gets_it(store: &dyn AnyStore) {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let due = breaker("due");
    assert!(trip(store, &due, None).await);
    // All at the same instant: but for their ids the claims are alike.
    let claimed = winners(async |n| {
        let id = BreakerId::parse(format!("claim{n}")).unwrap();
        let claim = due.claimed(id, at(61));
        let tripped = store.trip(&workspace, &connector, &claim, Some(&due), None);
        tripped.await
    });
    assert_eq!(claimed.await, 1);
    let standing = health(store, at(61)).await.breaker.unwrap();
    assert_eq!(standing.open_until, at(91));
    assert_eq!((standing.openings, standing.since), (3, at(1)));
}

async fn h68_a_breaker_whose_answer_was_lost_is_recognised(store: &dyn AnyStore) {
    let (workspace, connector) = (workspace(), connector_id("c1"));
    let (first, second) = (breaker("b1"), breaker("b2"));
    let told = event("e1", at(1));
    for _ in 0..2 {
        let tripped = store.trip(&workspace, &connector, &first, None, Some(&told));
        assert!(tripped.await.unwrap());
    }
    assert_eq!(unsent(store).await, ["e1"]);
    for _ in 0..2 {
        assert!(trip(store, &second, Some(&first)).await);
    }
    assert_eq!(health(store, at(1)).await.breaker, Some(second));
}

async fn only_the_breaker_that_was_read_is_moved_or_closed(store: &dyn AnyStore) {
    let (first, second, third) = (breaker("b1"), breaker("b2"), breaker("b3"));
    assert!(trip(store, &first, None).await);
    assert!(!trip(store, &second, None).await);
    assert!(trip(store, &second, Some(&first)).await);
    assert!(!trip(store, &third, Some(&first)).await);
    assert!(!close(store, &first, at(2)).await);
    assert_eq!(health(store, at(2)).await.breaker, Some(second));
}

async fn a_closed_breaker_says_when_and_may_open_again(store: &dyn AnyStore) {
    let (first, second) = (breaker("b1"), breaker("b2"));
    assert!(trip(store, &first, None).await);
    assert!(close(store, &first, at(90)).await);
    let known = health(store, at(90)).await;
    assert_eq!((known.breaker, known.closed_at), (None, Some(at(90))));

    assert!(!close(store, &first, at(95)).await);
    assert!(!trip(store, &second, Some(&first)).await);
    assert_eq!(health(store, at(95)).await.closed_at, Some(at(90)));
    assert!(trip(store, &second, None).await);
    let known = health(store, at(95)).await;
    assert_eq!((known.breaker, known.closed_at), (Some(second), None));
}

#[tokio::test]
async fn tallies_leave_after_an_hour_and_breakers_long_after_their_last_move() {
    let clock = ManualClock::at(at(0));
    let engine = LocalDynamo::start(&clock, 4).await;
    let store = &engine.store;
    count(store, at(0), tally(1)).await;
    assert!(trip(store, &breaker("b1"), None).await);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(engine.collect_garbage(), 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(engine.collect_garbage(), 1);

    // An idle connection is refreshed once a week: a lasting fault is still known then.
    clock.advance(Duration::from_secs(29 * 24 * 3600));
    assert_eq!(engine.collect_garbage(), 0);
    let known = health(store, at(0)).await.breaker;
    assert_eq!(known, Some(breaker("b1")));
    let now = at(3602 + 29 * 24 * 3600);
    assert!(close(store, &breaker("b1"), now).await);
    clock.advance(Duration::from_secs(3602));
    assert_eq!(engine.collect_garbage(), 1);
    assert_eq!(health(store, at(0)).await, Health::default());
}

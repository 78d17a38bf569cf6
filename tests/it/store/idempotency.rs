//! Requests that are done once: one run stands for each.

use shared::domain::idempotency::{Earlier, RequestKey, Run, RunStage, SealedAnswer};
use shared::domain::ids::RunId;
use shared::domain::time::Timestamp;

use super::fixtures::at;
use super::{AnyStore, facts, race, winners};

facts! {
    h85_of_50_runs_of_one_request_one_stands_and_all_get_to_see_it
    h85_of_50_who_find_a_run_over_one_takes_its_place
    h85_a_run_that_was_answered_or_replaced_meanwhile_is_not_taken_over
    h85_an_answer_reads_back_as_kept_and_is_not_given_up
    h85_a_run_that_is_given_up_may_be_taken_over_at_once
    h85_who_was_replaced_keeps_no_answer_and_gives_nothing_up
    h68_a_beginning_and_a_taking_over_whose_answer_was_lost_are_recognised_when_repeated
}

const REQUEST: RequestKey = RequestKey([5; 32]);

fn run(id: &str, now: Timestamp) -> Run {
    Run::begin(REQUEST, [6; 32], RunId::parse(id).unwrap(), now)
}

fn answer() -> SealedAnswer {
    SealedAnswer {
        wrapped: vec![0, 1, 255],
        sealed: vec![7; 4000],
    }
}

async fn standing(store: &dyn AnyStore) -> Run {
    // Found in the way of one more.
    store.begin(&run("looker", at(0))).await.unwrap()
}

async fn h85_of_50_runs_of_one_request_one_stands_and_all_get_to_see_it(store: &dyn AnyStore) {
    let begun = race(async |n| store.begin(&run(&format!("r{n}"), at(0))).await.unwrap()).await;
    let stands = standing(store).await;
    assert!(begun.iter().all(|seen| *seen == stands));
    let other = Run {
        request: RequestKey([4; 32]),
        ..run("other", at(0))
    };
    assert_eq!(store.begin(&other).await.unwrap(), other);
}

async fn h85_of_50_who_find_a_run_over_one_takes_its_place(store: &dyn AnyStore) {
    let first = run("first", at(0));
    store.begin(&first).await.unwrap();
    let took = winners(async |n| {
        let next = run(&format!("r{n}"), at(60));
        let found = store.begin(&next).await?;
        assert!(found.id == next.id || found.found_by(&next, at(60)) != Earlier::OtherRequest);
        store.take_over(&next, &first).await
    });
    assert_eq!(took.await, 1);
    let stands = standing(store).await;
    assert_eq!(stands.expires_at, run("x", at(60)).expires_at);
    assert_ne!(stands.id, first.id);
}

async fn h85_a_run_that_was_answered_or_replaced_meanwhile_is_not_taken_over(store: &dyn AnyStore) {
    let (first, second) = (run("first", at(0)), run("second", at(60)));
    assert!(!store.take_over(&second, &first).await.unwrap());
    store.begin(&first).await.unwrap();
    assert!(store.finish(&first, &answer()).await.unwrap());
    // It was read while it was running, and late it was answered all the same.
    assert!(!store.take_over(&second, &first).await.unwrap());
    assert_eq!(standing(store).await.id, first.id);
    // A day later it is over, and has another content.
    let answered = standing(store).await;
    let next = Run {
        asked: [9; 32],
        ..run("next", at(100_000))
    };
    assert!(store.take_over(&next, &answered).await.unwrap());
    assert_eq!(standing(store).await, next);
    assert!(!store.take_over(&second, &answered).await.unwrap());
}

async fn h85_an_answer_reads_back_as_kept_and_is_not_given_up(store: &dyn AnyStore) {
    let first = run("first", at(0));
    store.begin(&first).await.unwrap();
    for _ in 0..2 {
        assert!(store.finish(&first, &answer()).await.unwrap());
    }
    store.give_up(&first, at(1)).await.unwrap();
    let stands = standing(store).await;
    assert_eq!(stands.stage, RunStage::Answered(answer()));
    let again = run("again", at(2));
    let found = stands.found_by(&again, at(2));
    assert_eq!(found, Earlier::Answered(&answer()));
}

async fn h85_a_run_that_is_given_up_may_be_taken_over_at_once(store: &dyn AnyStore) {
    let (first, second) = (run("first", at(0)), run("second", at(1)));
    store.begin(&first).await.unwrap();
    store.give_up(&first, at(1)).await.unwrap();
    let found = store.begin(&second).await.unwrap();
    assert_eq!(found.found_by(&second, at(1)), Earlier::Over);
    assert!(store.take_over(&second, &found).await.unwrap());
    assert_eq!(standing(store).await, second);
}

async fn h85_who_was_replaced_keeps_no_answer_and_gives_nothing_up(store: &dyn AnyStore) {
    let (first, second) = (run("first", at(0)), run("second", at(60)));
    store.begin(&first).await.unwrap();
    assert!(store.take_over(&second, &first).await.unwrap());
    assert!(!store.finish(&first, &answer()).await.unwrap());
    store.give_up(&first, at(61)).await.unwrap();
    assert_eq!(standing(store).await, second);
}

async fn h68_a_beginning_and_a_taking_over_whose_answer_was_lost_are_recognised_when_repeated(
    store: &dyn AnyStore,
) {
    let (first, second) = (run("first", at(0)), run("second", at(60)));
    for _ in 0..2 {
        let begun = store.begin(&first).await.unwrap();
        assert_eq!(begun.found_by(&first, at(0)), Earlier::Itself);
    }
    for _ in 0..2 {
        assert!(store.take_over(&second, &first).await.unwrap());
    }
}

//! Authorization sessions: every move is made once.

use shared::domain::ending::Ending;
use shared::domain::ids::{Alias, ConnectionId};
use shared::domain::session::{CODE_LIFETIME, Redirected, Returned, Stage, Starter};

use super::fixtures::{at, session, session_id};
use super::{AnyStore, facts, winners};

facts! {
    h04_a_ticket_is_followed_once
    h04_of_50_followers_of_one_ticket_one_gets_past
    h02_of_50_callbacks_with_one_state_one_gets_past
    h02_a_wrong_state_or_stage_moves_nothing
    h02_an_expired_session_may_still_be_there_and_says_that_it_is_over
    h68_a_move_whose_answer_was_lost_is_recognised_when_repeated
    c06_the_code_has_two_minutes_from_its_arrival
    c08_of_50_completions_one_redeems_the_code_and_no_copy_of_it_stays
    an_ended_session_holds_nothing_and_a_completed_one_cannot_be_ended
    a_session_of_every_stage_reads_back_as_written
    a_session_of_an_admin_is_no_users
    an_unknown_session_does_not_move
}

const COOKIE: [u8; 32] = [9; 32];

fn redirected(seed: u8) -> Redirected {
    Redirected {
        state: [seed; 32],
        verifier: Some(vec![seed, 0, 255]),
        nonce: Some([7; 32]),
    }
}

fn returned(seed: u8) -> Returned {
    Returned {
        completion: [seed; 32],
        code: vec![seed, 1],
        verifier: None,
        nonce: Some([7; 32]),
        kept: [("realm_id".to_owned(), seed.to_string())].into(),
    }
}

fn started() -> Stage {
    Stage::Started { ticket: [1; 32] }
}

async fn stage(store: &dyn AnyStore) -> Stage {
    let found = store.session(&session_id("s1")).await.unwrap();
    found.unwrap().stage
}

async fn h04_a_ticket_is_followed_once(store: &dyn AnyStore) {
    let id = session_id("s1");
    store.add(&session("s1", started())).await.unwrap();
    let wrong = store
        .redirect(&id, &[2; 32], &COOKIE, &redirected(1))
        .await
        .unwrap();
    let first = store
        .redirect(&id, &[1; 32], &COOKIE, &redirected(1))
        .await
        .unwrap();
    let again = store
        .redirect(&id, &[1; 32], &COOKIE, &redirected(2))
        .await
        .unwrap();
    assert_eq!((wrong, first, again), (false, true, false));
    assert_eq!(stage(store).await, Stage::Redirected(redirected(1)));
}

async fn h04_of_50_followers_of_one_ticket_one_gets_past(store: &dyn AnyStore) {
    store.add(&session("s1", started())).await.unwrap();
    let won = winners(async |n| {
        let to = redirected(n as u8);
        store
            .redirect(&session_id("s1"), &[1; 32], &COOKIE, &to)
            .await
    });
    assert_eq!(won.await, 1);
}

async fn h02_of_50_callbacks_with_one_state_one_gets_past(store: &dyn AnyStore) {
    let there = Stage::Redirected(redirected(9));
    store.add(&session("s1", there)).await.unwrap();
    let won = winners(async |n| {
        let (id, to) = (session_id("s1"), returned(n as u8));
        store.arrive(&id, &[9; 32], &to, at(120)).await
    });
    assert_eq!(won.await, 1);
}

async fn h02_a_wrong_state_or_stage_moves_nothing(store: &dyn AnyStore) {
    let id = session_id("s1");
    let arrive = async |state| store.arrive(&id, &[state; 32], &returned(5), at(120)).await;
    store.add(&session("s1", started())).await.unwrap();
    assert!(!arrive(1).await.unwrap());
    assert!(!store.begin_exchange(&id, &[1; 32]).await.unwrap());
    assert_eq!(stage(store).await, started());

    let there = Stage::Redirected(redirected(9));
    store.add(&session("s1", there.clone())).await.unwrap();
    assert!(!arrive(8).await.unwrap());
    assert!(!store.begin_exchange(&id, &[9; 32]).await.unwrap());
    assert_eq!(stage(store).await, there);
}

async fn h02_an_expired_session_may_still_be_there_and_says_that_it_is_over(store: &dyn AnyStore) {
    let added = session("s1", started());
    store.add(&added).await.unwrap();
    let found = store.session(&added.id).await.unwrap().unwrap();
    assert!(!found.is_expired(at(599)));
    assert!(found.is_expired(at(600)) && found.is_expired(at(601)));
}

async fn h68_a_move_whose_answer_was_lost_is_recognised_when_repeated(store: &dyn AnyStore) {
    let id = session_id("s1");
    store.add(&session("s1", started())).await.unwrap();
    for _ in 0..2 {
        assert!(
            store
                .redirect(&id, &[1; 32], &COOKIE, &redirected(4))
                .await
                .unwrap()
        );
    }
    for _ in 0..2 {
        let arrived = store.arrive(&id, &[4; 32], &returned(6), at(120)).await;
        assert!(arrived.unwrap());
    }
}

async fn c06_the_code_has_two_minutes_from_its_arrival(store: &dyn AnyStore) {
    let id = session_id("s1");
    let there = Stage::Redirected(redirected(9));
    store.add(&session("s1", there)).await.unwrap();
    let until = at(30).after(CODE_LIFETIME);
    assert!(
        store
            .arrive(&id, &[9; 32], &returned(5), until)
            .await
            .unwrap()
    );
    let found = store.session(&id).await.unwrap().unwrap();
    assert_eq!(found.expires_at, at(150));
    assert_eq!(found.stage, Stage::Returned(returned(5)));
}

async fn c08_of_50_completions_one_redeems_the_code_and_no_copy_of_it_stays(store: &dyn AnyStore) {
    let there = Stage::Returned(returned(5));
    store.add(&session("s1", there)).await.unwrap();
    let id = session_id("s1");
    assert!(!store.begin_exchange(&id, &[6; 32]).await.unwrap());
    let won = winners(async |_| store.begin_exchange(&id, &[5; 32]).await);
    assert_eq!(won.await, 1);
    let exchanging = Stage::Exchanging {
        completion: [5; 32],
    };
    assert_eq!(stage(store).await, exchanging);
}

async fn an_ended_session_holds_nothing_and_a_completed_one_cannot_be_ended(store: &dyn AnyStore) {
    let completed = Stage::Completed {
        completion: [5; 32],
        connection: ConnectionId::parse("k1").unwrap(),
    };
    for (before, after) in [
        (Stage::Returned(returned(5)), Stage::Ended(Ending::Denied)),
        (
            Stage::Redirected(redirected(9)),
            Stage::Ended(Ending::Denied),
        ),
        (started(), Stage::Ended(Ending::Denied)),
        (Stage::Ended(Ending::Expired), Stage::Ended(Ending::Expired)),
        (completed.clone(), completed),
    ] {
        store.add(&session("s1", before)).await.unwrap();
        store.end(&session_id("s1"), Ending::Denied).await.unwrap();
        assert_eq!(stage(store).await, after);
    }
}

async fn a_session_of_every_stage_reads_back_as_written(store: &dyn AnyStore) {
    for stage in [
        started(),
        Stage::Redirected(redirected(9)),
        Stage::Returned(returned(5)),
        Stage::Exchanging {
            completion: [5; 32],
        },
        Stage::Completed {
            completion: [5; 32],
            connection: ConnectionId::parse("k1").unwrap(),
        },
        Stage::Ended(Ending::MixedUp),
    ] {
        let mut written = session("s1", stage);
        written.issuer = None;
        written.alias = Some(Alias::parse("team.eu").unwrap());
        store.add(&written).await.unwrap();
        let found = store.session(&written.id).await.unwrap();
        assert_eq!(found, Some(written));
    }
}

async fn a_session_of_an_admin_is_no_users(store: &dyn AnyStore) {
    let mut written = session("s1", started());
    written.starter = Starter::Admin(written.starter.id().clone());
    store.add(&written).await.unwrap();
    let found = store.session(&written.id).await.unwrap();
    assert_eq!(found, Some(written));
}

async fn an_unknown_session_does_not_move(store: &dyn AnyStore) {
    let id = session_id("nowhere");
    assert!(
        !store
            .redirect(&id, &[1; 32], &COOKIE, &redirected(1))
            .await
            .unwrap()
    );
    assert!(
        !store
            .arrive(&id, &[1; 32], &returned(1), at(9))
            .await
            .unwrap()
    );
    assert!(!store.begin_exchange(&id, &[1; 32]).await.unwrap());
    store.end(&id, Ending::Denied).await.unwrap();
    assert_eq!(store.session(&id).await.unwrap(), None);
}

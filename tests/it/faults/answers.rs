//! Answers that a refresh must not take at their word (F17 to F23).

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::connection::{ConnectionStatus, ReconnectReason};
use shared::refresh::NotFresh;
use testkit::fake_as::{Behaviour, GrantState, Rotation, Settings, When};

use super::detour::Detour;
use super::{Ending, HOUR, at_every_provider, lost};

const YEAR: Duration = Duration::from_secs(365 * 24 * HOUR);

/// The next answer, with these members instead of its own.
fn amended(set: Value) -> Behaviour {
    let Value::Object(set) = set else {
        panic!("{set}");
    };
    Behaviour::Amend {
        set,
        remove: Vec::new(),
    }
}

fn refused(code: &str) -> Behaviour {
    Behaviour::OAuthError {
        status: 400,
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn f17_a_redirect_is_not_followed_and_makes_nobody_reconnect() {
    at_every_provider(async |story| {
        let elsewhere = format!("{}/userinfo", story.world.provider.url());
        story.provider_keeps(Behaviour::Redirect { to: elsewhere });
        let seen = story.world.provider.requests().len();
        for _ in 0..60 {
            story.ask_in_vain().await;
            story.world.pass(60);
        }
        let sent = story.world.provider.requests().split_off(seen);
        assert!(sent.iter().all(|sent| sent.request == "POST /token"));
        assert!(sent.len() < 20, "{} requests in an hour", sent.len());
        assert!(story.was_told("connector.misconfigured"));
        assert_eq!(story.stored().await.status, ConnectionStatus::Active);
        story.world.provider.clear_script();
        story.is_kept().await;
    })
    .await;
}

/// What an answer leaves out stays as it was: here at a provider that does not rotate this time,
/// whatever it does otherwise.
async fn the_old_refresh_token_is_kept(answer: Value) {
    at_every_provider(async |story| {
        let fixed = |settings: &mut Settings| settings.rotation = Rotation::None;
        story.world.provider.configure(fixed);
        story.provider_does(amended(answer.clone()));
        story.ask().await.expect_status(200);
        assert!(story.stored().await.refreshable);
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f18_an_answer_without_a_refresh_token_keeps_the_old_one() {
    the_old_refresh_token_is_kept(json!({})).await;
}

#[tokio::test]
async fn f19_an_empty_refresh_token_is_none() {
    the_old_refresh_token_is_kept(json!({"refresh_token": ""})).await;
    the_old_refresh_token_is_kept(json!({"refresh_token": null})).await;
}

#[tokio::test]
async fn f20_whatever_expires_in_says_a_token_lives_between_no_time_and_a_year() {
    let hour = Duration::from_secs(HOUR);
    for (expires_in, expected) in [
        (json!(null), hour),
        (json!(0), Duration::ZERO),
        (json!(-1), Duration::ZERO),
        (json!("3600"), hour),
        (json!("soon"), hour),
        (json!(1e12), YEAR),
    ] {
        at_every_provider(async |story| {
            story.provider_does(amended(json!({"expires_in": expires_in.clone()})));
            story.ask().await.expect_status(200);
            let validity = story.stored().await.validity;
            let lifetime = validity
                .expires_at
                .expect("it ends")
                .since(validity.issued_at);
            assert_eq!(lifetime, expected, "{expires_in}");
            story.world.pass(YEAR.as_secs());
            story.is_kept().await;
        })
        .await;
    }
}

#[tokio::test]
async fn f22_another_accounts_tokens_are_neither_stored_nor_handed_out() {
    at_every_provider(async |story| {
        let before = story.stored().await;
        let refused = story
            .ask_of(&Detour::naming(story, "bob"))
            .await
            .unwrap_err();
        let mismatch = ReconnectReason::AccountMismatch;
        assert_eq!(refused, NotFresh::ReconnectRequired(mismatch));
        let after = story.stored().await;
        assert_eq!(after.sealed, before.sealed);
        assert_eq!(after.generation, before.generation);
        assert_eq!(story.logged("another account"), 1);
        assert_eq!(story.world.provider.counters().total.revoke, 0);
        let lost = || lost("account_mismatch");
        story.ends(lost(), lost(), lost()).await;
    })
    .await;
}

#[tokio::test]
async fn f22_the_same_account_under_its_own_name_is_none_other() {
    at_every_provider(async |story| {
        story.ask_of(&Detour::naming(story, "alice")).await.unwrap();
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f23_a_withdrawn_grant_is_dead_at_the_second_refusal_a_minute_later() {
    at_every_provider(async |story| {
        assert_eq!(story.world.provider.withdraw_grants("alice"), 1);
        story.ask_in_vain().await;
        let suspect = story.stored().await.status;
        assert!(matches!(suspect, ConnectionStatus::Suspect { .. }));
        story.world.pass(59);
        story.ask_in_vain().await;
        assert_eq!(story.asked(), 1);
        story.world.pass(1);
        let refused = story.ask().await;
        refused.expect_problem(409, "reconnect_required");
        assert_eq!(story.asked(), 2);
        let lost = || lost("grant_revoked");
        story.ends(lost(), lost(), lost()).await;
    })
    .await;
}

#[tokio::test]
async fn f23_a_grant_that_is_refused_once_lives_on() {
    at_every_provider(async |story| {
        story.provider_does(refused("invalid_grant"));
        story.ask_in_vain().await;
        story.is_kept().await;
    })
    .await;
}

/// Alice's grant is refused by mistake, and with her twenty others.
#[tokio::test]
async fn f25_no_grant_dies_of_refusals_that_come_in_masses() {
    at_every_provider(async |story| {
        let users: Vec<_> = (0..20).map(|n| format!("user-{n}")).collect();
        for user in &users {
            story.world.connect(user, &story.connector).await;
        }
        story.world.pass(HOUR);
        let mistaken = refused("invalid_grant");
        let when = When::refreshing();
        story.world.provider.always(when, mistaken);
        for _ in 0..15 {
            story.ask_in_vain().await;
            for user in &users {
                let refused = story.world.lookup(user, &story.connector).await;
                refused.expect_problem(503, "provider_unavailable");
            }
            story.world.pass(60);
        }
        story.world.provider.clear_script();
        story.world.pass(600);
        for user in &users {
            let answer = story.world.lookup(user, &story.connector).await;
            answer.expect_status(200);
            assert_eq!(story.world.provider.grant_state(user), GrantState::Live);
        }
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f26_a_client_that_is_refused_for_a_day_costs_no_user_a_reconnect() {
    at_every_provider(async |story| {
        story.provider_keeps(refused("invalid_client"));
        for _ in 0..48 {
            story.ask_in_vain().await;
            story.world.pass(HOUR / 2);
        }
        let told = story.world.bus.types().into_iter();
        let told = told.filter(|told| *told == "connector.misconfigured");
        assert_eq!(told.count(), 1);
        assert_eq!(story.stored().await.status, ConnectionStatus::Active);
        story.world.provider.clear_script();
        story.is_kept().await;
    })
    .await;
}

/// B13: what a proxy makes of an error says nothing of the grant.
#[tokio::test]
async fn b13_an_error_that_cannot_be_read_is_never_a_reason_to_reconnect() {
    for status in [200, 400, 401, 403, 404, 418, 500] {
        at_every_provider(async |story| {
            story.provider_keeps(Behaviour::Respond {
                status,
                headers: vec![("content-type".to_owned(), "text/html".to_owned())],
                body: "<html>invalid_grant? Ask your administrator.".to_owned(),
            });
            for _ in 0..30 {
                story.ask_in_vain().await;
                story.world.pass(240);
            }
            assert!(story.stored().await.status.is_live());
            story.world.provider.clear_script();
            story.is_kept().await;
        })
        .await;
    }
}

/// B9: nor is anything that passes tried for ever: a provider that is down all day is asked less
/// than four times an hour.
#[tokio::test]
async fn b9_what_fails_all_day_is_asked_ever_more_rarely() {
    at_every_provider(async |story| {
        story.provider_keeps(refused("temporarily_unavailable"));
        for _ in 0..(24 * 12) {
            story.ask_in_vain().await;
            story.world.pass(300);
        }
        let asked = story.asked();
        assert!((24..=96).contains(&asked), "{asked} requests");
        story.world.provider.clear_script();
        story.is_kept().await;
    })
    .await;
}

#[tokio::test]
async fn f21_fewer_scopes_are_stored_and_told() {
    at_every_provider(async |story| {
        story.provider_does(amended(json!({"scope": "rea"})));
        story.ask().await.expect_status(200);
        assert_eq!(story.stored().await.granted_scopes.join(" "), "rea");
        assert!(story.was_told("connection.scopes_changed"));
        assert_eq!(story.ending().await, Ending::Kept);
    })
    .await;
}

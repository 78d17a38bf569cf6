//! Every way in which a flow ends, and docs/CONNECT.md, which lists them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join;
use serde_json::json;
use shared::crypto::hash::hash;
use shared::domain::ending::Ending;
use shared::domain::session::SessionToken;
use shared::http::page::NOTICES;
use shared::http::problem::Code;
use testkit::clock::ManualClock;
use testkit::fake_as::GrantState;
use testkit::faults::{Fault, FaultyStore, Phase};
use testkit::memory_store::MemoryStore;

use crate::confirm::{Asked, html, screen_world, set_app};
use crate::tidy::source::read;
use crate::world::{API, Call, RETURN, World};

/// The first two cells of each row of the table under a heading of docs/CONNECT.md.
fn table(heading: &str) -> BTreeSet<(String, String)> {
    let text = read("docs/CONNECT.md");
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells: Vec<(String, String)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let cell = |n: usize| cells[n].trim_matches('`').to_owned();
            assert!(
                cells[3..cells.len() - 1]
                    .iter()
                    .all(|cell| !cell.is_empty())
            );
            (cell(1), cell(2))
        })
        .filter(|(status, _)| status != "status")
        .collect();
    let count = cells.len();
    let set: BTreeSet<_> = cells.into_iter().collect();
    assert_eq!(set.len(), count, "a row stands twice");
    set
}

#[test]
fn the_endings_at_the_app_are_those_that_connect_md_lists() {
    let own = |status: &str, code: &str| (status.to_owned(), code.to_owned());
    let endings = Ending::ALL.iter();
    let mut known: BTreeSet<_> = endings
        .map(|ending| own(ending.status(), ending.code()))
        .collect();
    known.insert(own("authorized", "the completion code"));
    known.insert(own("connected", "–"));
    assert_eq!(table("How a flow ends at the app"), known);
}

#[test]
fn the_pages_are_those_that_connect_md_lists() {
    let pages = NOTICES.iter();
    let known = pages.map(|page| (page.status.as_u16().to_string(), page.code.to_owned()));
    assert_eq!(table("How a flow ends on a page of ours"), known.collect());
}

#[test]
fn what_connect_md_says_of_the_api_is_a_problem_of_the_api() {
    let known: BTreeSet<_> = Code::ALL
        .iter()
        .map(|code| (code.status().as_u16().to_string(), code.as_str().to_owned()))
        .collect();
    let told = table("How `complete` refuses");
    assert!(told.is_subset(&known), "{:?}", told.difference(&known));
}

#[tokio::test]
async fn h08_every_answer_of_every_function_carries_the_headers() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let link = world.begin("alice", &connector).await;
    let code = world.authorize("bob", "bob", &connector).await;
    let body = json!({"code": code});
    let complete = Call::post("/v1/me/connections/complete").json(&body);
    let calls = [
        (303, Call::get(&link)),
        (410, Call::get(&link)),
        (400, Call::get("/oauth/callback/x")),
        (400, Call::post("/oauth/callback/x")),
        (400, Call::get("/oauth/confirm")),
        (400, Call::post("/oauth/confirm")),
        (400, Call::get("/oauth/finish")),
        (405, Call::put("/oauth/callback/x")),
        (404, Call::get("/oauth/nowhere")),
        (401, complete.clone()),
        (403, complete.user("alice")),
        (200, Call::get("/v1/me/connectors").user("alice")),
        (401, Call::post("/v1/tokens")),
        (401, Call::get("/v1/connectors")),
        (404, Call::get("/v1/connectors/x").admin_of("acme")),
        (401, Call::delete("/v1/me/connections/x")),
    ];
    for (status, call) in calls {
        let answer = world.send(call).await.expect_status(status);
        let header = |name: &str| answer.headers.get(name).map(String::as_str);
        assert_eq!(header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(header("referrer-policy"), Some("no-referrer"));
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert_eq!(header("x-frame-options"), Some("DENY"));
        assert!(
            header("strict-transport-security")
                .unwrap()
                .starts_with("max-age=63072000")
        );
        let csp = header("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
    }
}

#[tokio::test]
async fn a09_c2_a_callback_replayed_after_success_changes_nothing() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let code = &back.location_params()["code"];
    world.complete("alice", code).await.expect_status(200);
    let before = world.stored("alice", &connector).await;
    for replay in [Call::get(&callback).cookie(&cookie), Call::get(&callback)] {
        let page = world.send(replay).await.expect_status(409);
        assert!(html(&page).contains("This step is already done"));
        assert!(!page.headers.contains_key("location"));
    }
    assert_eq!(world.stored("alice", &connector).await, before);
    assert_eq!(world.provider.counters().total.redemptions(), 1);
}

#[tokio::test]
async fn c8_a_completion_that_died_over_its_code_has_expired_two_minutes_later() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let token = SessionToken::parse(&code).unwrap();
    let secret = hash(&token.secret);
    let begun = world.sessions.begin_exchange(&token.session, &secret);
    assert!(begun.await.unwrap());
    let again = world.complete("alice", &code).await;
    again.expect_problem(409, "conflict");
    world.pass(120);
    let late = world.complete("alice", &code).await;
    late.expect_problem(410, "session_expired");
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c9_tokens_that_cannot_be_stored_end_the_flow_as_not_stored_and_are_revoked() {
    let away = Arc::new(AtomicBool::new(false));
    let hook = {
        let away = Arc::clone(&away);
        move |method, phase| {
            let strikes = (method, phase) == ("connect", Phase::Before);
            (strikes && away.load(Ordering::SeqCst)).then(Fault::unavailable)
        }
    };
    let store = FaultyStore::new(Arc::new(MemoryStore::new(2)), Arc::new(hook));
    let world = World::on(store, ManualClock::new()).await;
    set_app(&world, json!({"completion": "screen"})).await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    away.store(true, Ordering::SeqCst);
    world.jobs.set_away(true);
    let not_stored = format!("{RETURN}?status=failed&code=not_stored");
    let back = world.send(asked.press("connect")).await.expect_status(303);
    assert_eq!(back.location(), not_stored);
    away.store(false, Ordering::SeqCst);
    let again = world.send(asked.press("connect")).await.expect_status(303);
    assert_eq!(again.location(), not_stored);
    assert!(world.stored("alice", &connector).await.is_none());
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("alice"), GrantState::Revoked);
}

#[tokio::test]
async fn c12_c13_less_than_asked_for_is_connected_and_flagged_everywhere() {
    let world = screen_world().await;
    let connector = world.connector(&["read", "write"]).await;
    world.connect_flags("alice", &connector, &[]).await;
    world.provider.configure(|settings| {
        settings.granted_scopes = Some(vec!["read".into()]);
        settings.omit_refresh_token = true;
    });
    let flags = [("missing_scopes", "true"), ("refreshable", "false")];
    world.connect_flags("alice", &connector, &flags).await;
    let status = world.status("alice", &connector).await;
    assert_eq!(status["status"], "connected");
    assert_eq!(status["missing_scopes"], json!(["write"]));
    assert_eq!(status["refreshable"], false);

    set_app(&world, json!({})).await;
    let completed = world.connect("alice", &connector).await;
    assert_eq!(completed.body["missing_scopes"], json!(["write"]));
    assert_eq!(completed.body["refreshable"], false);
    world.provider.configure(|settings| {
        settings.granted_scopes = None;
        settings.omit_refresh_token = false;
    });
    let completed = world.connect("alice", &connector).await;
    assert_eq!(completed.body["missing_scopes"], json!([]));
    assert_eq!(completed.body["refreshable"], true);
    assert_eq!(world.status("alice", &connector).await["refreshable"], true);
}

impl World {
    /// Connects by the button; the return URL says so twice, with these flags and no other.
    async fn connect_flags(&self, user: &str, connector: &str, flags: &[(&str, &str)]) {
        let asked = Asked::on(self, user, user, connector).await;
        for call in [asked.press("connect"), asked.show()] {
            let back = self.send(call).await.expect_status(303);
            let id = self.stored(user, connector).await.unwrap().id;
            let mut expected = format!("{RETURN}?status=connected&connection_id={id}");
            for (name, value) in flags {
                expected.push_str(&format!("&{name}={value}"));
            }
            assert_eq!(back.location(), expected);
        }
    }
}

#[tokio::test]
async fn c16_two_flows_at_once_end_in_one_connection() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let first = world.authorize("alice", "alice", &connector).await;
    let second = world.authorize("alice", "alice", &connector).await;
    let (first, second) = join(
        world.complete("alice", &first),
        world.complete("alice", &second),
    )
    .await;
    let (first, second) = (first.expect_status(200), second.expect_status(200));
    assert_eq!(first.text("connection_id"), second.text("connection_id"));
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn c19_a_return_url_that_was_removed_is_not_gone_to_whatever_the_provider_says() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for display in ["redirect", "popup"] {
        set_app(&world, json!({})).await;
        let body = json!({
            "connector_id": connector, "return_url": RETURN, "display": display,
        });
        let begin = Call::post("/v1/me/connections").user("alice").json(&body);
        let link = world.send(begin).await.text("connect_url");
        let (authorize_url, cookie) = world.follow(link.strip_prefix(API).unwrap()).await;
        let callback = world.consent(&authorize_url, "alice").await;
        let state = crate::connect::state_of(&authorize_url);
        let refused = format!("/oauth/callback/{connector}?state={state}&error=access_denied");
        set_app(
            &world,
            json!({"return_urls": ["https://shop.example/other"]}),
        )
        .await;
        for path in [&callback, &refused] {
            let page = world.send(Call::get(path).cookie(&cookie)).await;
            let page = page.expect_status(410);
            assert!(html(&page).contains("The app has changed"));
            assert!(!page.headers.contains_key("location"));
        }
        // Nothing was spent: an admin who slipped can put it back.
        set_app(&world, json!({})).await;
        let back = world.send(Call::get(&callback).cookie(&cookie)).await;
        let back = back.expect_status(303).location();
        if display == "popup" {
            set_app(&world, json!({"return_urls": []})).await;
            let page = Call::get(back.strip_prefix(API).unwrap()).cookie(&cookie);
            let page = world.send(page).await.expect_status(410);
            assert!(!html(&page).contains("shop.example"));
        }
    }
}

/// A provider like Google: one revocation ends whatever the account gave this client.
#[tokio::test]
async fn h16_tokens_that_are_not_kept_take_nobody_elses_grant_with_them() {
    let world = World::start().await;
    world
        .provider
        .configure(|settings| settings.revoke_ends_siblings = true);
    let mut body = world.connector_body(&["read"]);
    body["config"]["revoke_reach"] = json!("account");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.text("id");
    world.connect("bob", &connector).await;
    world.connect("alice", &connector).await;
    let code = world.authorize("alice", "bob", &connector).await;
    let refused = world.complete("alice", &code).await;
    refused.expect_problem(409, "account_mismatch");
    world.tick_revoker().await;
    world.pass(3600);
    for user in ["alice", "bob"] {
        assert_eq!(world.provider.grant_state(user), GrantState::Live);
        world.token(user, &connector).await;
    }
}

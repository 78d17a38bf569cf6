//! Stories of the page on which a user finishes by pressing a button: completion mode `screen`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::crypto::hash::digest_of;
use testkit::fake_as::{Behaviour, Endpoint, GrantState};
use testkit::fake_kms::KmsState;

use crate::world::{API, Answer, Call, RETURN, World};

/// A world whose app cannot complete by itself.
pub(crate) async fn screen_world() -> World {
    let world = World::start().await;
    set_app(&world, json!({"completion": "screen"})).await;
    world
}

/// Registers `shop` again, with these settings.
pub(crate) async fn set_app(world: &World, settings: Value) -> Answer {
    let mut body = json!({"name": "Shop", "return_urls": [RETURN]});
    for (name, value) in settings.as_object().unwrap() {
        body[name] = value.clone();
    }
    let put = Call::put("/v1/apps/shop").admin_of("acme").json(&body);
    world.send(put).await.expect_status(200)
}

/// A browser in front of the page.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) cookie: String,
}

impl Asked {
    /// Starts, consents at the provider as `account`, and comes back.
    pub(crate) async fn on(world: &World, user: &str, account: &str, connector: &str) -> Self {
        Self::by(world, &world.begin(user, connector).await, account).await
    }

    /// The same by a link that was begun elsewhere.
    pub(crate) async fn by(world: &World, link: &str, account: &str) -> Self {
        let (authorize_url, cookie) = world.follow(link).await;
        let callback = world.consent(&authorize_url, account).await;
        let back = Call::get(&callback).cookie(&cookie);
        let back = world.send(back).await.expect_status(303);
        assert!(back.cookies.is_empty(), "the page needs the cookie");
        let code = back.location_params()["code"].clone();
        let path = back.location().strip_prefix(API).unwrap().to_owned();
        assert_eq!(path, format!("/oauth/confirm?code={code}"));
        Self { path, code, cookie }
    }

    pub(crate) fn show(&self) -> Call {
        Call::get(&self.path).cookie(&self.cookie)
    }

    pub(crate) fn press(&self, decision: &str) -> Call {
        press(&self.code, decision).cookie(&self.cookie)
    }
}

/// A press of a button, in a browser without cookies.
fn press(code: &str, decision: &str) -> Call {
    Call::post("/oauth/confirm").form(&[("code", code), ("decision", decision)])
}

/// The source by which a Content-Security-Policy names an inline style or script.
pub(crate) fn csp_hash(text: &str) -> String {
    let hash = digest_of(text.as_bytes());
    format!("'sha256-{}'", BASE64_STANDARD.encode(hash))
}

pub(crate) fn html(answer: &Answer) -> &str {
    answer.body.as_str().expect("a page")
}

#[tokio::test]
async fn a_user_connects_by_pressing_the_button() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    world.send(asked.show()).await.expect_status(200);
    assert_eq!(world.provider.counters().total.token, 0);

    let back = world.send(asked.press("connect")).await.expect_status(303);
    let params = back.location_params();
    assert!(back.location().starts_with(RETURN));
    assert_eq!(params["status"], "connected");
    let stored = world.stored("alice", &connector).await.unwrap();
    assert_eq!(params["connection_id"], stored.id.as_str());
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn the_page_names_who_started_what_and_escapes_what_others_wrote() {
    let world = screen_world().await;
    set_app(
        &world,
        json!({"completion": "screen", "name": "<Shop> & \"Co\""}),
    )
    .await;
    let mut body = world.connector_body(&["read"]);
    body["name"] = json!("Files <script>alert(1)</script>");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.expect_status(201).text("id");
    let begin = Call::post("/v1/me/connections")
        .claims(json!({
            "sub": "auth0|<alice>", "workspace_id": "acme", "app_id": "shop",
            "email": "alice\u{202e}@shop.example'",
        }))
        .json(&json!({"connector_id": connector, "return_url": RETURN}));
    let link = world.send(begin).await.text("connect_url");
    let (authorize_url, cookie) = world.follow(link.strip_prefix(API).unwrap()).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let show = Call::get(back.location().strip_prefix(API).unwrap()).cookie(&cookie);
    let shown = world.send(show).await.expect_status(200);
    let page = html(&shown);
    for expected in [
        "<html lang=\"en\">",
        "<h1>Connect <bdi>127.0.0.1</bdi> to <bdi>&#60;Shop&#62; &#38; &#34;Co&#34;</bdi>?</h1>",
        "<bdi>alice@shop.example&#39;</bdi> (<bdi>auth0|&#60;alice&#62;</bdi>)",
        "Files &#60;script&#62;alert(1)&#60;/script&#62;",
        "value=\"connect\">Connect</button>",
        "value=\"cancel\">Cancel</button>",
    ] {
        assert!(page.contains(expected), "no {expected} in {page}");
    }
    assert!(
        !page.contains("<script") && !page.contains('\u{202e}'),
        "{page}"
    );
}

#[tokio::test]
async fn h08_a22_the_page_runs_nothing_is_framed_nowhere_and_posts_to_us_alone() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let shown = world.send(asked.show()).await.expect_status(200);
    let style = html(&shown).split_once("<style>").unwrap().1;
    let style = style.split_once("</style>").unwrap().0;
    let expected = format!(
        "default-src 'none'; style-src {}; script-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self' https://shop.example",
        csp_hash(style)
    );
    assert_eq!(shown.headers["content-security-policy"], expected);
    assert_eq!(shown.headers["x-frame-options"], "DENY");
    assert_eq!(shown.headers["cache-control"], "no-store");
    assert_eq!(shown.headers["referrer-policy"], "no-referrer");
    assert_eq!(html(&shown).matches("<form").count(), 1);
    assert!(html(&shown).contains("<form method=\"post\" action=\"/oauth/confirm\">"));
}

#[tokio::test]
async fn c1_cancelling_throws_the_code_away() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let cancelled = format!("{RETURN}?status=cancelled&code=cancelled");
    // Whatever is pressed afterwards, the end stays.
    for call in [asked.press("cancel"), asked.press("connect"), asked.show()] {
        let back = world.send(call).await.expect_status(303);
        assert_eq!(back.location(), cancelled);
    }
    assert_eq!(world.provider.counters().total.token, 0);
    assert!(world.stored("alice", &connector).await.is_none());
}

#[tokio::test]
async fn c7_pressing_again_after_success_leads_to_the_same_end() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let first = world.send(asked.press("connect")).await.expect_status(303);
    for call in [asked.press("connect"), asked.press("cancel"), asked.show()] {
        let again = world.send(call).await.expect_status(303);
        assert_eq!(again.location(), first.location());
    }
    assert_eq!(world.provider.counters().total.redemptions(), 1);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn c8_of_twenty_presses_one_redeems_the_code_and_the_others_wait_for_it() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    world
        .provider
        .push(Endpoint::Token, Behaviour::ProcessThenHold);
    let watch = async {
        world.provider.wait_until_held(1).await;
        let again = world.send(asked.press("connect")).await.expect_status(200);
        let refresh = format!("content=\"2;url=/oauth/confirm?code={}\"", asked.code);
        assert!(html(&again).contains(&refresh), "{again:?}");
        let looked = world.send(asked.show()).await.expect_status(200);
        assert!(html(&looked).contains(&refresh));
        world.provider.release();
    };
    let presses = join_all((0..20).map(|_| world.send(asked.press("connect"))));
    let (answers, ()) = futures_util::future::join(presses, watch).await;
    let ends: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 303)
        .collect();
    assert_eq!(ends.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| [200, 303].contains(&answer.status))
    );
    let settled = world.send(asked.show()).await.expect_status(303);
    assert_eq!(settled.location(), ends[0].location());
    assert_eq!(world.provider.counters().total.redemptions(), 1);
}

#[tokio::test]
async fn h03_without_the_flows_cookie_the_page_shows_and_does_nothing() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let other = Asked::on(&world, "mallory", "mallory", &connector).await;
    let name = asked.cookie.split('=').next().unwrap();
    let wrong = format!("{name}={}", other.cookie.split('=').nth(1).unwrap());
    for cookies in [
        &[][..],
        &[&other.cookie],
        &[&wrong],
        &[&asked.cookie, &asked.cookie],
    ] {
        for call in [Call::get(&asked.path), press(&asked.code, "connect")] {
            let call = cookies
                .iter()
                .fold(call, |call, cookie| call.cookie(cookie));
            let refused = world.send(call).await.expect_status(403);
            assert!(!html(&refused).contains("alice"), "{refused:?}");
        }
    }
    assert_eq!(world.provider.counters().total.token, 0);
    world.send(asked.press("connect")).await.expect_status(303);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused_as_far_as_the_browser_tells() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    for site in ["cross-site", "same-site", "none", ""] {
        let forged = asked.press("connect").header("sec-fetch-site", site);
        world.send(forged).await.expect_status(403);
    }
    assert_eq!(world.provider.counters().total.token, 0);
    let ours = asked
        .press("connect")
        .header("sec-fetch-site", "same-origin");
    world.send(ours).await.expect_status(303);
}

#[tokio::test]
async fn a24_a_press_that_is_not_one_does_nothing() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let (session, _) = asked.code.split_once('.').unwrap();
    let forged = format!("{session}.{}", "A".repeat(43));
    let post = |fields: &[(&str, &str)]| {
        Call::post("/oauth/confirm")
            .form(fields)
            .cookie(&asked.cookie)
    };
    let code = asked.code.as_str();
    for call in [
        post(&[("code", code)]),
        post(&[("code", code), ("decision", "maybe")]),
        post(&[
            ("code", code),
            ("decision", "cancel"),
            ("decision", "connect"),
        ]),
        post(&[("code", code), ("code", code), ("decision", "connect")]),
        post(&[("code", &forged), ("decision", "connect")]),
        post(&[("code", session), ("decision", "connect")]),
        post(&[("decision", "connect")]),
        post(&[
            ("code", code),
            ("decision", "connect"),
            ("more", &"x".repeat(70_000)),
        ]),
        asked.press("connect").text("{}"),
        Call::get(&format!("{}&code=x", asked.path)).cookie(&asked.cookie),
        Call::get(&format!("/oauth/confirm?code={forged}")).cookie(&asked.cookie),
        Call::get("/oauth/confirm").cookie(&asked.cookie),
    ] {
        world.send(call).await.expect_status(400);
    }
    assert_eq!(world.provider.counters().total.token, 0);
    world.send(asked.press("connect")).await.expect_status(303);
}

#[tokio::test]
async fn each_flow_is_finished_in_its_own_way_and_refused_in_the_other() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    // An admin's change does not reach a flow that is under way.
    let app = set_app(&world, json!({"completion": "screen"})).await;
    assert_eq!(app.text("completion"), "screen");
    let callback = world.consent(&authorize_url, "alice").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let code = back.location_params()["code"].clone();
    assert!(back.location().starts_with(RETURN));
    world
        .send(press(&code, "connect").cookie(&cookie))
        .await
        .expect_status(409);
    world.complete("alice", &code).await.expect_status(200);

    let asked = Asked::on(&world, "bob", "bob", &connector).await;
    world
        .complete("bob", &asked.code)
        .await
        .expect_problem(409, "completion_mode");
    world
        .complete("mallory", &asked.code)
        .await
        .expect_problem(409, "completion_mode");
    world.send(asked.press("connect")).await.expect_status(303);
}

#[tokio::test]
async fn c6_a_page_that_nobody_answers_for_two_minutes_has_expired() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    world.pass(120);
    let expired = format!("{RETURN}?status=expired&code=session_expired");
    for call in [asked.show(), asked.press("connect")] {
        assert_eq!(
            world.send(call).await.expect_status(303).location(),
            expired
        );
    }
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c11_a_press_whose_exchange_failed_goes_back_and_says_so() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    for (behaviour, code) in [
        (Behaviour::ProcessThenDrop, "provider_unavailable"),
        (
            Behaviour::OAuthError {
                status: 400,
                code: "invalid_grant".into(),
            },
            "code_refused",
        ),
    ] {
        let asked = Asked::on(&world, "alice", "alice", &connector).await;
        let before = world.provider.counters().total.token;
        world.provider.push(Endpoint::Token, behaviour);
        for call in [asked.press("connect"), asked.press("connect"), asked.show()] {
            let back = world.send(call).await.expect_status(303);
            assert_eq!(
                back.location(),
                format!("{RETURN}?status=failed&code={code}")
            );
        }
        assert_eq!(world.provider.counters().total.token, before + 1);
    }
    assert!(world.stored("alice", &connector).await.is_none());
}

#[tokio::test]
async fn c14_a_press_while_kms_is_away_can_be_repeated() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    world.kms.become_state(KmsState::Unavailable);
    world.send(asked.press("connect")).await.expect_status(503);
    world.kms.become_state(KmsState::Serving);
    world.send(asked.press("connect")).await.expect_status(303);
    world.token("alice", &connector).await;
}

#[tokio::test]
async fn c19_a_return_url_that_was_removed_is_not_gone_to() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    set_app(&world, json!({"completion": "screen", "return_urls": []})).await;
    for call in [asked.show(), asked.press("connect"), asked.press("cancel")] {
        let refused = world.send(call).await.expect_status(410);
        assert!(!refused.headers.contains_key("location"));
    }
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn a_connector_that_changed_while_the_page_was_open_is_not_connected() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let asked = Asked::on(&world, "alice", "alice", &connector).await;
    let path = format!("/v1/connectors/{connector}?confirm=Files");
    let delete = Call::delete(&path).admin_of("acme");
    assert!(world.send(delete).await.status < 300);
    let changed = format!("{RETURN}?status=failed&code=connector_changed");
    for call in [asked.press("connect"), asked.show()] {
        assert_eq!(
            world.send(call).await.expect_status(303).location(),
            changed
        );
    }
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn h16_another_account_is_refused_unless_the_app_allows_it() {
    let world = screen_world().await;
    let connector = world.connector(&["read"]).await;
    let connect = async |account: &str| {
        let asked = Asked::on(&world, "alice", account, &connector).await;
        let back = world.send(asked.press("connect")).await.expect_status(303);
        back.location_params()
    };
    let first = connect("one").await["connection_id"].clone();
    let refused = connect("two").await;
    assert_eq!(refused["status"], "failed");
    assert_eq!(refused["code"], "account_mismatch");
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("one"), GrantState::Live);

    let app = json!({"completion": "screen", "account_change": "allow"});
    assert_eq!(set_app(&world, app).await.text("account_change"), "allow");
    let allowed = connect("three").await;
    assert_eq!(allowed["status"], "connected");
    assert_eq!(allowed["connection_id"], first);
    // Nobody has the tokens of the first account any more.
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("one"), GrantState::Revoked);
    assert_eq!(world.provider.grant_state("three"), GrantState::Live);
    world.token("alice", &connector).await;
}

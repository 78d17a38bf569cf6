//! Stories of flows in a window of their own: every end is handed to the window that opened it.

use serde_json::{Value, json};
use testkit::fake_as::deny;

use crate::confirm::{csp_hash, html};
use crate::world::{API, Answer, Call, RETURN, World};

/// Begins a flow in a popup, goes to the provider, and answers its authorize URL and the cookie.
async fn open(world: &World, connector: &str, return_url: &str) -> (String, String) {
    let body = json!({
        "connector_id": connector, "return_url": return_url, "display": "popup",
    });
    let begin = Call::post("/v1/me/connections").user("alice").json(&body);
    let begun = world.send(begin).await.expect_status(201);
    let link = begun.text("connect_url");
    world.follow(link.strip_prefix(API).unwrap()).await
}

/// The page that a callback's redirect leads to.
async fn finish(world: &World, callback: &str, cookie: &str) -> (String, Answer) {
    let back = Call::get(callback).cookie(cookie);
    let back = world.send(back).await.expect_status(303);
    assert!(back.cookies.is_empty(), "the next page needs the cookie");
    let path = back.location().strip_prefix(API).unwrap().to_owned();
    let page = world.send(Call::get(&path).cookie(cookie)).await;
    (path, page.expect_status(200))
}

/// Who gets the message, the message, and where the link leads.
fn handed(page: &Answer) -> (String, Value, String) {
    let attribute = |name: &str| {
        let (_, rest) = html(page).split_once(&format!("{name}=\"")).unwrap();
        let (value, _) = rest.split_once('"').unwrap();
        let text = value.replace("&#34;", "\"").replace("&#38;", "&");
        assert!(!text.contains("&#"), "{text}");
        text
    };
    let message = serde_json::from_str(&attribute("data-message")).unwrap();
    (attribute("data-origin"), message, attribute("href"))
}

#[tokio::test]
async fn h11_the_completion_code_is_handed_to_the_return_urls_origin_and_to_nobody_else() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let with_port = "https://app.example:8443/done?x=1&y='\"<";
    let with_port = url::Url::parse(with_port).unwrap().to_string();
    let body = json!({"name": "Shop", "return_urls": [RETURN, with_port]});
    let put = Call::put("/v1/apps/shop").admin_of("acme").json(&body);
    world.send(put).await.expect_status(200);
    for (return_url, expected, joint) in [
        (RETURN, "https://shop.example", '?'),
        (&with_port, "https://app.example:8443", '&'),
    ] {
        let (authorize_url, cookie) = open(&world, &connector, return_url).await;
        let callback = world.consent(&authorize_url, "alice").await;
        let (path, page) = finish(&world, &callback, &cookie).await;
        let (origin, message, href) = handed(&page);
        let code = path.strip_prefix("/oauth/finish?code=").unwrap();
        assert_eq!(origin, expected);
        assert_eq!(
            message,
            json!({"type": "grantry.connect", "status": "authorized", "code": code})
        );
        assert_eq!(
            href,
            format!("{return_url}{joint}status=authorized&code={code}")
        );
        world.complete("alice", code).await.expect_status(200);
        // Loaded again, it says the same; the app's code works once anyway.
        let again = world.send(Call::get(&path).cookie(&cookie)).await;
        assert_eq!(again.body, page.body);
    }
}

#[tokio::test]
async fn the_page_runs_one_script_known_by_its_hash_and_no_data_in_it() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let (path, page) = finish(&world, &callback, &cookie).await;
    let inside = |tag: &str| {
        let (_, rest) = html(&page).split_once(&format!("<{tag}>")).unwrap();
        assert_eq!(html(&page).matches(&format!("<{tag}")).count(), 1);
        rest.split_once(&format!("</{tag}>")).unwrap().0.to_owned()
    };
    let (style, script) = (inside("style"), inside("script"));
    let expected = format!(
        "default-src 'none'; style-src {}; script-src {}; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        csp_hash(&style),
        csp_hash(&script)
    );
    assert_eq!(page.headers["content-security-policy"], expected);
    assert!(!page.headers.contains_key("cross-origin-opener-policy"));
    assert!(script.contains("postMessage(JSON.parse(end.dataset.message), end.dataset.origin)"));
    assert!(!script.contains('*') && !script.contains(path.split_once('=').unwrap().1));
}

#[tokio::test]
async fn every_end_of_a_flow_is_handed_over_and_the_providers_words_are_not() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let error = |name: &str| format!("&error={name}&error_description=%3Cscript%3E");
    for (answer, status, code) in [
        (error("access_denied"), "denied", "access_denied"),
        (error("server_error"), "failed", "provider_unavailable"),
        (error("%22%3E%3Cscript%3E"), "failed", "provider_refused"),
    ] {
        let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
        let state = crate::connect::state_of(&authorize_url);
        let callback = format!("/oauth/callback/{connector}?state={state}{answer}");
        let (path, page) = finish(&world, &callback, &cookie).await;
        let (origin, message, href) = handed(&page);
        assert!(path.starts_with("/oauth/finish?flow="), "{path}");
        assert_eq!(origin, "https://shop.example");
        assert_eq!(
            message,
            json!({"type": "grantry.connect", "status": status, "code": code})
        );
        assert_eq!(href, format!("{RETURN}?status={status}&code={code}"));
    }
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c3_a_flow_that_took_too_long_hands_that_over() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
    let callback = world.consent(&authorize_url, "alice").await;
    world.pass(600);
    let (_, page) = finish(&world, &callback, &cookie).await;
    let (_, message, _) = handed(&page);
    assert_eq!(
        message,
        json!({"type": "grantry.connect", "status": "expired", "code": "session_expired"})
    );
}

#[tokio::test]
async fn h03_the_page_is_for_the_browser_of_the_flow() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
    let (_, other) = open(&world, &connector, RETURN).await;
    let callback = deny(&authorize_url).await;
    let callback = callback.strip_prefix(API).unwrap();
    let (path, _) = finish(&world, callback, &cookie).await;
    world.send(Call::get(&path)).await.expect_status(403);
    world
        .send(Call::get(&path).cookie(&other))
        .await
        .expect_status(403);
    for wrong in [
        "/oauth/finish",
        "/oauth/finish?flow=nowhere",
        "/oauth/finish?code=x",
        &format!("{path}&flow=x"),
    ] {
        world
            .send(Call::get(wrong).cookie(&cookie))
            .await
            .expect_status(400);
    }
}

#[tokio::test]
async fn a_flow_that_has_not_ended_hands_nothing_over() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
    let state = crate::connect::state_of(&authorize_url);
    let (session, _) = state.split_once('.').unwrap();
    let forged = format!("{session}.{}", "A".repeat(43));
    let finish = [format!("flow={session}"), format!("code={forged}")];
    let refused = async || {
        for query in &finish {
            let finish = Call::get(&format!("/oauth/finish?{query}")).cookie(&cookie);
            world.send(finish).await.expect_status(400);
        }
    };
    refused().await;
    let callback = world.consent(&authorize_url, "alice").await;
    world.send(Call::get(&callback).cookie(&cookie)).await;
    refused().await;
}

#[tokio::test]
async fn the_confirm_page_hands_its_end_over_as_well() {
    let world = World::start().await;
    let app = json!({"name": "Shop", "return_urls": [RETURN], "completion": "screen"});
    let put = Call::put("/v1/apps/shop").admin_of("acme").json(&app);
    world.send(put).await.expect_status(200);
    let connector = world.connector(&["read"]).await;
    for decision in ["cancel", "connect"] {
        let (authorize_url, cookie) = open(&world, &connector, RETURN).await;
        let callback = world.consent(&authorize_url, "alice").await;
        let (path, asked) = finish(&world, &callback, &cookie).await;
        assert!(html(&asked).contains("<form"), "{asked:?}");
        let code = path.strip_prefix("/oauth/confirm?code=").unwrap();
        let press = [("code", code), ("decision", decision)];
        let press = Call::post("/oauth/confirm").form(&press).cookie(&cookie);
        let first = world.send(press.clone()).await.expect_status(200);
        let (origin, message, href) = handed(&first);
        assert_eq!(origin, "https://shop.example");
        let expected = match world.stored("alice", &connector).await {
            Some(stored) => json!({
                "type": "grantry.connect", "status": "connected",
                "connection_id": stored.id.as_str(),
            }),
            None => json!({
                "type": "grantry.connect", "status": "cancelled", "code": "cancelled",
            }),
        };
        assert_eq!(message, expected, "{decision}");
        assert!(href.starts_with(&format!("{RETURN}?status=")));
        assert_eq!(world.send(press).await.body, first.body);
    }
    assert!(world.stored("alice", &connector).await.is_some());
}

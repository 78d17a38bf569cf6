//! Stories of connecting: start, callback, completion, and the ways they end.

use futures_util::future::join_all;
use serde_json::json;
use testkit::fake_as::{Behaviour, Endpoint, GrantState, deny};

use crate::world::{API, Call, RETURN, World};

#[tokio::test]
async fn a_user_connects_and_the_app_gets_a_token_that_works() {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    assert_eq!(
        world.status("alice", &connector).await["status"],
        "not_connected"
    );

    let connected = world.connect("alice", &connector).await;
    assert_eq!(connected.text("status"), "connected");
    assert_eq!(connected.body["granted_scopes"], json!(["read", "write"]));
    assert_eq!(connected.body["missing_scopes"], json!([]));

    let status = world.status("alice", &connector).await;
    assert_eq!(status["status"], "connected");
    assert_eq!(status["granted_scopes"], json!(["read", "write"]));
    let answer = world.lookup("alice", &connector).await.expect_status(200);
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let issued = world.provider.issued_secrets();
    assert!(
        issued
            .iter()
            .any(|secret| secret.value == answer.text("access_token"))
    );
    assert_eq!(
        world.bus.types(),
        ["connector.created", "connection.connected"]
    );
}

#[tokio::test]
async fn h06_the_authorize_request_carries_pkce_state_and_the_connectors_own_redirect_uri() {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let url = url::Url::parse(&authorize_url).unwrap();
    let params: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(params["response_type"], "code");
    assert_eq!(params["client_id"], "client");
    assert_eq!(params["scope"], "read write");
    assert_eq!(
        params["redirect_uri"],
        format!("{API}/oauth/callback/{connector}")
    );
    assert_eq!(params["code_challenge_method"], "S256");
    assert!(params["state"].len() >= 43 && params["code_challenge"].len() == 43);
    assert!(cookie.starts_with("__Host-grantry_"), "{cookie}");
}

#[tokio::test]
async fn h03_the_cookie_is_set_with_the_redirect_bound_to_host_and_hidden_from_scripts() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let answer = world
        .send(Call::get(&world.begin("alice", &connector).await))
        .await;
    let cookie = &answer.cookies[0];
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn h04_a_connect_link_works_once() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let link = world.begin("alice", &connector).await;
    let answers = join_all((0..20).map(|_| world.send(Call::get(&link)))).await;
    let passed = answers.iter().filter(|answer| answer.status == 303).count();
    assert_eq!(passed, 1);
    let refused = answers.iter().find(|answer| answer.status == 410).unwrap();
    assert!(refused.cookies.is_empty(), "no cookie without a redirect");
}

#[tokio::test]
async fn h04_a_connect_link_is_good_for_ten_minutes() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let link = world.begin("alice", &connector).await;
    world.pass(600);
    world.send(Call::get(&link)).await.expect_status(410);
    for link in ["/connect/x", "/connect/x.y", &format!("{link}x")] {
        world.send(Call::get(link)).await.expect_status(410);
    }
}

#[tokio::test]
async fn h04_nobody_begins_without_proof_of_who_they_are() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let body = json!({"connector_id": connector, "return_url": RETURN});
    let begin = Call::post("/v1/me/connections").json(&body);
    world
        .send(begin.clone())
        .await
        .expect_problem(401, "unauthenticated");
    world
        .send(begin.admin_of("acme"))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn h10_a_flow_ends_at_a_registered_return_url_or_does_not_begin() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for wanted in [
        "https://evil.example/",
        "https://shop.example/connected?x=1",
        "//x",
        "",
    ] {
        let body = json!({"connector_id": connector, "return_url": wanted});
        let refused = world
            .send(Call::post("/v1/me/connections").user("alice").json(&body))
            .await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "return_url");
    }
}

#[tokio::test]
async fn c1_a_user_who_declines_comes_back_as_denied() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = deny(&authorize_url).await;
    let callback = callback.strip_prefix(API).unwrap();
    let answer = world
        .send(Call::get(callback).cookie(&cookie))
        .await
        .expect_status(303);
    assert_eq!(
        answer.location(),
        format!("{RETURN}?status=denied&code=access_denied")
    );
    assert_eq!(world.provider.counters().total.token, 0);
    assert!(world.stored("alice", &connector).await.is_none());
}

#[tokio::test]
async fn h09_what_the_provider_says_about_an_error_reaches_nobody() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let state = state_of(&authorize_url);
    let callback = format!(
        "/oauth/callback/{connector}?state={state}&error=%3Cscript%3E&error_description=%3Cscript%3Ealert(1)%3C/script%3E%0d%0aX:y"
    );
    let answer = world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(303);
    assert_eq!(
        answer.location(),
        format!("{RETURN}?status=failed&code=provider_refused")
    );
}

#[tokio::test]
async fn h02_of_fifty_equal_callbacks_one_proceeds() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let answers = join_all((0..50).map(|_| world.send(Call::get(&callback).cookie(&cookie)))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 303).count(),
        1
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 409).count(),
        49
    );
}

#[tokio::test]
async fn c3_a_callback_one_second_late_is_refused_and_the_code_not_redeemed() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    world.pass(600);
    let late = world.send(Call::get(&callback).cookie(&cookie)).await;
    let expired = format!("{RETURN}?status=expired&code=session_expired");
    assert_eq!(late.expect_status(303).location(), expired);
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(409);
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c4_another_browser_cannot_finish_and_spoils_nothing() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let (_, other) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let name = cookie.split('=').next().unwrap();
    let wrong = format!("{name}={}", other.split('=').nth(1).unwrap());
    for call in [
        Call::get(&callback),
        Call::get(&callback).cookie(&other),
        Call::get(&callback).cookie(&wrong),
        Call::get(&callback).cookie(&cookie).cookie(&cookie),
    ] {
        world.send(call).await.expect_status(403);
    }
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(303);
}

#[tokio::test]
async fn a02_a_code_cannot_be_walked_into_another_connectors_flow() {
    let world = World::start().await;
    let (evil, honest) = (
        world.connector(&["read"]).await,
        world.connector(&["read"]).await,
    );
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &evil).await).await;
    let state = state_of(&authorize_url);
    let callback = format!("/oauth/callback/{honest}?code=attackers&state={state}");
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(400);
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn h07_a_wrong_issuer_ends_the_flow_and_a_promised_one_may_not_be_missing() {
    let world = World::start().await;
    let issuer = world.provider.url().to_owned();
    let mut body = world.connector_body(&["read"]);
    body["config"]["issuer"] = json!(issuer);
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.expect_status(201).text("id");
    for wrong in [
        "https://evil.example",
        &format!("{issuer}/"),
        &issuer.to_uppercase(),
    ] {
        let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
        let state = state_of(&authorize_url);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", "x")
            .append_pair("state", &state)
            .append_pair("iss", wrong)
            .finish();
        let callback = format!("/oauth/callback/{connector}?{query}");
        world
            .send(Call::get(&callback).cookie(&cookie))
            .await
            .expect_status(400);
        // Burned: the right callback does not help any more.
        world
            .send(Call::get(&callback).cookie(&cookie))
            .await
            .expect_status(409);
    }
    world.provider.configure(|settings| settings.iss = true);
    world.connect("alice", &connector).await;
}

#[tokio::test]
async fn h12_a_token_in_the_callback_is_refused() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let state = state_of(&authorize_url);
    for extra in ["access_token=x", "id_token=x", "code=a&code=b"] {
        let callback = format!("/oauth/callback/{connector}?state={state}&code=c&{extra}");
        world
            .send(Call::get(&callback).cookie(&cookie))
            .await
            .expect_status(400);
    }
}

#[tokio::test]
async fn h08_every_answer_to_a_browser_is_kept_by_nobody_and_runs_nothing() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let link = world.begin("alice", &connector).await;
    let answers = [
        world.send(Call::get(&link)).await,
        world.send(Call::get(&link)).await,
        world.send(Call::get("/oauth/callback/x")).await,
        world.send(Call::get("/oauth/callback/x?state=a.b")).await,
    ];
    for answer in answers {
        let header = |name: &str| answer.headers.get(name).map(String::as_str);
        assert_eq!(header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(header("referrer-policy"), Some("no-referrer"));
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert!(header("strict-transport-security").is_some());
        let csp = header("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
    }
}

#[tokio::test]
async fn h01_somebody_else_cannot_finish_and_the_code_is_never_redeemed() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    // Alice started; Bob, logged in as Bob, was sent her link and went through with it.
    let code = world.authorize("alice", "bob", &connector).await;
    world
        .complete("bob", &code)
        .await
        .expect_problem(403, "user_mismatch");
    // Burned for Alice as well: what Bob consented to is not hers.
    world
        .complete("alice", &code)
        .await
        .expect_problem(400, "completion_invalid");
    assert_eq!(world.provider.counters().total.token, 0);
    for user in ["alice", "bob"] {
        assert!(world.stored(user, &connector).await.is_none());
    }
}

#[tokio::test]
async fn h01_the_same_user_of_another_app_or_workspace_is_somebody_else() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for (workspace, app) in [("acme", "blog"), ("globex", "shop")] {
        let code = world.authorize("alice", "alice", &connector).await;
        let body = json!({"code": code});
        let complete = Call::post("/v1/me/connections/complete")
            .user_of(workspace, app, "alice")
            .json(&body);
        world
            .send(complete)
            .await
            .expect_problem(403, "user_mismatch");
    }
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c6_a_code_that_nobody_completes_is_worthless_after_two_minutes() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    world.pass(120);
    world
        .complete("alice", &code)
        .await
        .expect_problem(410, "session_expired");
    assert_eq!(world.provider.counters().total.token, 0);
}

#[tokio::test]
async fn c7_a_repeated_completion_gets_the_same_connection() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let first = world.complete("alice", &code).await.expect_status(200);
    let second = world.complete("alice", &code).await.expect_status(200);
    assert_eq!(first.body, second.body);
    assert_eq!(world.provider.counters().total.redemptions(), 1);
}

#[tokio::test]
async fn of_twenty_equal_completions_one_redeems_the_code() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let answers = join_all((0..20).map(|_| world.complete("alice", &code))).await;
    assert_eq!(world.provider.counters().total.redemptions(), 1);
    assert!(answers.iter().any(|answer| answer.status == 200));
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.expect_problem(409, "conflict");
    }
}

#[tokio::test]
async fn a_completion_code_that_is_not_one_is_refused() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let (session, secret) = code.split_once('.').unwrap();
    let forged = format!("{session}.{}", "A".repeat(43));
    for wrong in ["", "x", secret, &forged, &format!("{code}A")] {
        world
            .complete("alice", wrong)
            .await
            .expect_problem(400, "completion_invalid");
    }
    world.complete("alice", &code).await.expect_status(200);
}

#[tokio::test]
async fn c11_a_code_whose_exchange_failed_is_not_sent_again() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for (behaviour, status, problem) in [
        (
            Behaviour::Respond {
                status: 502,
                headers: vec![],
                body: String::new(),
            },
            503,
            "provider_unavailable",
        ),
        (Behaviour::ProcessThenDrop, 503, "provider_unavailable"),
        (
            Behaviour::OAuthError {
                status: 400,
                code: "invalid_grant".into(),
            },
            502,
            "code_refused",
        ),
        (
            Behaviour::OAuthError {
                status: 401,
                code: "invalid_client".into(),
            },
            502,
            "code_refused",
        ),
    ] {
        let code = world.authorize("alice", "alice", &connector).await;
        let before = world.provider.counters().total.token;
        world.provider.push(Endpoint::Token, behaviour);
        world
            .complete("alice", &code)
            .await
            .expect_problem(status, problem);
        world
            .complete("alice", &code)
            .await
            .expect_problem(400, "completion_invalid");
        assert_eq!(world.provider.counters().total.token, before + 1);
    }
    assert!(world.stored("alice", &connector).await.is_none());
}

#[tokio::test]
async fn c14_a_callback_while_kms_is_away_can_be_loaded_again() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    world
        .kms
        .become_state(testkit::fake_kms::KmsState::Unavailable);
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(503);
    world.kms.become_state(testkit::fake_kms::KmsState::Serving);
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(303);
}

#[tokio::test]
async fn h14_less_scope_than_asked_for_is_connected_and_shown() {
    let world = World::start().await;
    let connector = world.connector(&["read", "write"]).await;
    world
        .provider
        .configure(|settings| settings.granted_scopes = Some(vec!["read".into()]));
    let connected = world.connect("alice", &connector).await;
    assert_eq!(connected.body["missing_scopes"], json!(["write"]));
    let wants_write = json!({"connector_id": connector, "user_id": "alice", "scopes": ["write"]});
    let refused = world
        .lookup_with(wants_write)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "missing_scopes");
    world.lookup("alice", &connector).await.expect_status(200);
}

#[tokio::test]
async fn reconnecting_keeps_the_connection_and_a_new_one_after_a_disconnect_is_another() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let first = world
        .connect("alice", &connector)
        .await
        .text("connection_id");
    assert_eq!(
        world
            .connect("alice", &connector)
            .await
            .text("connection_id"),
        first
    );
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
    assert_ne!(
        world
            .connect("alice", &connector)
            .await
            .text("connection_id"),
        first
    );
    assert_eq!(
        world.bus.types()[1..],
        [
            "connection.connected",
            "connection.reconnected",
            "connection.disconnected",
            "connection.connected",
        ]
    );
}

#[tokio::test]
async fn h16_reconnecting_with_another_account_is_refused_and_the_old_one_stays() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let token = world.token("alice", &connector).await;
    let code = world.authorize("alice", "somebody", &connector).await;
    world
        .complete("alice", &code)
        .await
        .expect_problem(409, "account_mismatch");
    assert_eq!(world.token("alice", &connector).await, token);
    // The other account's tokens are nobody's: the provider is told.
    world.tick_revoker().await;
    assert_eq!(world.provider.grant_state("somebody"), GrantState::Revoked);
    assert_eq!(world.provider.grant_state("alice"), GrantState::Live);
}

#[tokio::test]
async fn an_event_that_the_bus_did_not_take_is_published_later_once() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.bus.set_down(true);
    world.connect("alice", &connector).await;
    world.bus.set_down(false);
    world.tick().await;
    assert_eq!(
        world.bus.types(),
        ["connector.created"],
        "not yet: it may still be on its way"
    );
    world.pass(31);
    world.tick().await;
    world.tick().await;
    assert_eq!(
        world.bus.types(),
        ["connector.created", "connection.connected"]
    );
}

#[tokio::test]
async fn c12_a_grant_without_refresh_token_is_connected_and_ends_with_its_access_token() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world
        .provider
        .configure(|settings| settings.omit_refresh_token = true);
    world.connect("alice", &connector).await;
    world.lookup("alice", &connector).await.expect_status(200);
    world.pass(3600);
    let refused = world
        .lookup("alice", &connector)
        .await
        .expect_problem(409, "reconnect_required");
    assert_eq!(refused.text("reason"), "refresh_expired");
    assert_eq!(world.provider.counters().total.refreshes(), 0);
    assert_eq!(
        world.bus.types().last(),
        Some(&"connection.reconnect_required")
    );
}

pub(crate) fn state_of(authorize_url: &str) -> String {
    let url = url::Url::parse(authorize_url).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state");
    state.expect("a state").1.into_owned()
}

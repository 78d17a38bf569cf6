//! Attacks on connect flows over real HTTP: the rows of the catalogue in
//! docs/SECURITY.md. The attacker may have accounts, clients and whole providers of their own.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use testkit::fake_as::{Client, FakeAs, FakeAsConfig, GrantState, Redirects, consent};
use url::Url;

use crate::stack::{Away, RETURN, STACK, Workspace, see};

/// The heading of the page for a callback that no flow waits for.
const NOT_OURS: &str = "This page cannot be used";
const MIXED_UP: &str = "The answer came from somewhere else";
const OTHER_BROWSER: &str = "This is not the browser you started in";
const ALREADY_DONE: &str = "This step is already done";

/// An attacker's authorization server.
async fn evil_provider() -> FakeAs {
    // Its codes are its own: nothing here depends on what time it has.
    let mut config = FakeAsConfig::new(std::sync::Arc::new(|| 1_700_000_000_000));
    config.name = "Evil".into();
    FakeAs::start(config).await
}

/// A connector of the workspace at an evil provider, whose issuer is known.
async fn evil_connector(acme: &Workspace, evil: &FakeAs) -> String {
    let (at, mut body) = (evil.url(), acme.connector_body("Evil", &["read"]));
    body["config"] = json!({
        "authorize_url": format!("{at}/authorize"), "token_url": format!("{at}/token"),
        "issuer": at,
    });
    acme.connector_of(body).await
}

/// An authorize URL with parameters of the attacker's.
fn with(authorize_url: &str, at: &str, changes: &[(&str, &str)]) -> String {
    let url = Url::parse(authorize_url).expect("a URL");
    let mut changed = Url::parse(&format!("{at}/authorize")).expect("a URL");
    for (name, value) in url.query_pairs() {
        let change = changes.iter().find(|(changed, _)| *changed == name);
        let value = change.map_or(&*value, |(_, value)| value);
        changed.query_pairs_mut().append_pair(&name, value);
    }
    changed.into()
}

/// The same callback, for another connector.
fn at_connector(callback: &str, connector: &str) -> String {
    let mut url = Url::parse(callback).expect("a URL");
    url.set_path(&format!("/oauth/callback/{connector}"));
    url.into()
}

fn redirect_uri(connector: &str) -> String {
    format!("{}/oauth/callback/{connector}", STACK.public_url)
}

/// A parameter of a URL.
fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    let found = url.query_pairs().find(|(known, _)| known == name);
    found
        .unwrap_or_else(|| panic!("no {name} on {url}"))
        .1
        .into_owned()
}

/// Alice is at a provider.
async fn alice_away(acme: &Workspace, connector: &str) -> Away {
    acme.follow(&acme.begin("alice", connector).await).await
}

/// Nothing came of it: no code was sent to the honest provider, and nobody is connected.
async fn nothing_came_of_it(acme: &Workspace, users: &[&str], connectors: &[&str]) {
    assert_eq!(
        acme.provider.counters().await.client(&acme.client_id).token,
        0
    );
    for user in users {
        for connector in connectors {
            let answer = acme.lookup(user, connector).await;
            answer.problem(404, "not_connected");
        }
        let grant = acme.provider.grant_state(&acme.account(user)).await;
        assert_eq!(grant, GrantState::None);
    }
}

/// The evil provider sends the victim on to the honest one, with the state it was given itself
/// and as the client and redirect URI that the honest connector has there.
#[tokio::test]
async fn a01_coat_a_code_of_one_connector_does_not_enter_a_flow_of_another() {
    let acme = Workspace::new("coat").await;
    let evil = evil_provider().await;
    let ours = evil_connector(&acme, &evil).await;
    let honest = acme.connector("Honest", &["read"]).await;
    let away = alice_away(&acme, &ours).await;
    let changes = [("redirect_uri", &*redirect_uri(&honest))];
    let onward = with(&away.authorize_url, &STACK.provider_url, &changes);
    let callback = consent(&onward, &acme.account("alice")).await;
    assert!(callback.starts_with(&redirect_uri(&honest)), "{callback}");
    let end = acme.open(&callback, &[&away.cookie]).await;
    end.page(400, NOT_OURS);
    assert_eq!(evil.counters().total.token, 0);
    nothing_came_of_it(&acme, &["alice"], &[&ours, &honest]).await;
}

/// The attacker has a client of their own at the honest provider, with the evil connector's
/// redirect URI: the code comes to the path that is expected, with the honest issuer's name.
#[tokio::test]
async fn a01_coat_an_honest_code_at_the_evil_connectors_path_is_of_another_issuer() {
    let acme = Workspace::new("coat-iss").await;
    let evil = evil_provider().await;
    let ours = evil_connector(&acme, &evil).await;
    let own = Client::new("client-of-mallory", "mallory");
    let own = own.redirecting(Redirects::Exactly(vec![redirect_uri(&ours)]));
    acme.provider.add_client(own).await;
    let away = alice_away(&acme, &ours).await;
    let changes = [("client_id", "client-of-mallory")];
    let onward = with(&away.authorize_url, &STACK.provider_url, &changes);
    let callback = consent(&onward, &acme.account("alice")).await;
    assert_eq!(parameter(&callback, "iss"), STACK.provider_url);
    let end = acme.open(&callback, &[&away.cookie]).await;
    end.page(400, MIXED_UP);
    // The flow is over: the evil provider's own code does not revive it.
    let mut late = Url::parse(&redirect_uri(&ours)).expect("a URL");
    let answer = [("code", "x"), ("state", &away.state()), ("iss", evil.url())];
    late.query_pairs_mut().extend_pairs(answer);
    let late = acme.open(late.as_str(), &[&away.cookie]).await;
    late.page(409, ALREADY_DONE);
    assert_eq!(evil.counters().total.token, 0);
    nothing_came_of_it(&acme, &["alice"], &[&ours]).await;
    let counters = acme.provider.counters().await;
    assert_eq!(counters.client("client-of-mallory").token, 0);
}

#[tokio::test]
async fn a01_coat_two_connectors_of_one_provider_keep_their_codes_apart() {
    let acme = Workspace::new("coat-siblings").await;
    let reading = acme.connector("Reading", &["read"]).await;
    let writing = acme.connector("Writing", &["read", "write"]).await;
    let away = alice_away(&acme, &reading).await;
    let callback = consent(&away.authorize_url, &acme.account("alice")).await;
    let walked = at_connector(&callback, &writing);
    acme.open(&walked, &[&away.cookie])
        .await
        .page(400, NOT_OURS);
    nothing_came_of_it(&acme, &["alice"], &[&reading, &writing]).await;
    // The flow itself is none the worse for it.
    let back = acme.open(&callback, &[&away.cookie]).await.expect(303);
    see(&back.told()["code"]);
    acme.complete("alice", &back.told()["code"])
        .await
        .expect(200);
    assert_eq!(acme.redemptions().await, 1);
}

#[tokio::test]
async fn a01_coat_a_code_does_not_cross_workspaces() {
    let acme = Workspace::new("coat-ours").await;
    let globex = Workspace::new("coat-theirs").await;
    let connector = acme.connector("Files", &["read"]).await;
    let foreign = globex.connector("Files", &["read"]).await;
    let away = alice_away(&acme, &connector).await;
    let callback = consent(&away.authorize_url, &acme.account("alice")).await;
    let walked = at_connector(&callback, &foreign);
    acme.open(&walked, &[&away.cookie])
        .await
        .page(400, NOT_OURS);
    nothing_came_of_it(&acme, &["alice"], &[&connector]).await;
    nothing_came_of_it(&globex, &["alice"], &[&foreign]).await;
}

/// A page of the attacker's sends the victim, who is on the way to one provider, to the
/// callback of another, with the attacker's code.
#[tokio::test]
async fn a02_corf_an_injected_code_connects_nothing_with_or_without_an_open_flow() {
    let acme = Workspace::new("corf").await;
    let evil = evil_provider().await;
    let ours = evil_connector(&acme, &evil).await;
    let honest = acme.connector("Honest", &["read"]).await;
    let mallory = acme.follow(&acme.begin("mallory", &honest).await).await;
    let own = consent(&mallory.authorize_url, &acme.account("mallory")).await;
    let code = parameter(&own, "code");

    let victim = alice_away(&acme, &ours).await;
    let state = victim.state();
    let injected = format!("{}?code={code}&state={state}", redirect_uri(&honest));
    acme.open(&injected, &[&victim.cookie])
        .await
        .page(400, NOT_OURS);
    // With the attacker's state, in the browser that has a flow open and in one that has none.
    for cookies in [&[&*victim.cookie][..], &[]] {
        acme.open(&own, cookies).await.page(403, OTHER_BROWSER);
    }
    let without = format!("{}?code={code}", redirect_uri(&honest));
    acme.open(&without, &[]).await.page(400, NOT_OURS);
    assert_eq!(evil.counters().total.token, 0);
    nothing_came_of_it(&acme, &["alice", "mallory"], &[&ours, &honest]).await;
}

/// Alice sends Bob the provider's link of a flow of hers. Bob's browser has no cookie of it,
/// whoever is signed in to the app there.
#[tokio::test]
async fn a03_cosf_an_authorize_link_sent_to_somebody_else_connects_nobody() {
    let acme = Workspace::new("cosf").await;
    let connector = acme.connector("Files", &["read"]).await;
    let away = alice_away(&acme, &connector).await;
    let bobs = acme.follow(&acme.begin("bob", &connector).await).await;
    let callback = consent(&away.authorize_url, &acme.account("bob")).await;
    // (a) In Bob's browser, with a flow of his own open, and (c) in one that knows nobody.
    for cookies in [&[&*bobs.cookie][..], &[]] {
        acme.open(&callback, cookies).await.page(403, OTHER_BROWSER);
    }
    nothing_came_of_it(&acme, &["alice", "bob"], &[&connector]).await;
}

/// Alice sends Bob our own link. His browser gets the cookie, and the flow comes as far as the
/// app, where he is not who began it.
#[tokio::test]
async fn a04_a_connect_link_sent_to_somebody_else_connects_nobody() {
    let acme = Workspace::new("cosf-link").await;
    let connector = acme.connector("Files", &["read"]).await;
    // (b) Bob is signed in.
    let code = acme
        .authorize("alice", &acme.account("bob"), &connector)
        .await;
    acme.complete("bob", &code)
        .await
        .problem(403, "user_mismatch");
    // The flow is burned, for Alice too, who may have learned the code.
    acme.complete("alice", &code)
        .await
        .problem(400, "completion_invalid");
    // (c) Nobody is.
    let code = acme
        .authorize("alice", &acme.account("bob"), &connector)
        .await;
    let complete = "/v1/me/connections/complete";
    let body = Some(json!({"code": code}));
    acme.call(Method::POST, complete, "", body)
        .await
        .expect(401);
    nothing_came_of_it(&acme, &["alice", "bob"], &[&connector]).await;
}

#[tokio::test]
async fn a05_login_csrf_a_foreign_code_enters_no_flow_of_the_victims() {
    let acme = Workspace::new("csrf").await;
    let connector = acme.connector("Files", &["read"]).await;
    let mallory = acme.follow(&acme.begin("mallory", &connector).await).await;
    let own = consent(&mallory.authorize_url, &acme.account("mallory")).await;
    let code = parameter(&own, "code");
    let victim = alice_away(&acme, &connector).await;
    let state = victim.state();
    let (session, secret) = state.split_once('.').expect("a state has two parts");
    let with_state = |state: &str| {
        let uri = redirect_uri(&connector);
        format!("{uri}?code={code}&state={state}&iss={}", STACK.provider_url)
    };
    // In the victim's browser: states that are forged, guessed, half right, or the attacker's.
    let forged = format!("{session}.{}", "A".repeat(secret.len()));
    let swapped = format!("{session}.{}", mallory.state().rsplit('.').next().unwrap());
    for state in [&*forged, &swapped, "alice", session, secret, ""] {
        let answer = acme.open(&with_state(state), &[&victim.cookie]).await;
        answer.page(400, NOT_OURS);
    }
    let answer = acme.open(&own, &[&victim.cookie]).await;
    answer.page(403, OTHER_BROWSER);
    // In the attacker's browser: the victim's state.
    let answer = acme.open(&with_state(&state), &[&mallory.cookie]).await;
    answer.page(403, OTHER_BROWSER);
    nothing_came_of_it(&acme, &["alice", "mallory"], &[&connector]).await;
}

/// As a last resort there is PKCE: were state and cookie known to the attacker, the code of
/// another flow still fits no verifier but that flow's.
#[tokio::test]
async fn a05_h05_a_foreign_code_in_a_stolen_flow_is_refused_by_the_provider() {
    let acme = Workspace::new("csrf-pkce").await;
    let connector = acme.connector("Files", &["read"]).await;
    let mallory = acme.follow(&acme.begin("mallory", &connector).await).await;
    let own = consent(&mallory.authorize_url, &acme.account("mallory")).await;
    let victim = alice_away(&acme, &connector).await;
    let mut stolen = Url::parse(&own).expect("a URL");
    let pairs: Vec<_> = stolen.query_pairs().into_owned().collect();
    stolen
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().map(|(name, value)| {
            let value = if name == "state" {
                victim.state()
            } else {
                value.clone()
            };
            (name.clone(), value)
        }));
    let back = acme
        .open(stolen.as_str(), &[&victim.cookie])
        .await
        .expect(303);
    see(&back.told()["code"]);
    acme.complete("alice", &back.told()["code"])
        .await
        .problem(502, "code_refused");
    assert_eq!(acme.redemptions().await, 1);
    for user in ["alice", "mallory"] {
        let grant = acme.provider.grant_state(&acme.account(user)).await;
        assert_eq!(grant, GrantState::None);
    }
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
}

/// RFC 9700 section 4.4.1, in both directions: the answer is of another server than the one the
/// flow was begun with, or does not say of which.
#[tokio::test]
async fn a06_mixup_an_answer_of_another_issuer_ends_the_flow() {
    let acme = Workspace::new("mixup").await;
    let evil = evil_provider().await;
    let ours = evil_connector(&acme, &evil).await;
    let mut body = acme.connector_body("Honest", &["read"]);
    body["config"]["issuer"] = json!(STACK.provider_url);
    let honest = acme.connector_of(body).await;
    let iss = |issuer: &str| {
        let mut pair = form_urlencoded::Serializer::new(String::new());
        pair.append_pair("iss", issuer).finish()
    };
    let answers = [
        (&ours, format!("code=honest&{}", iss(&STACK.provider_url))),
        (&honest, format!("code=evil&{}", iss(evil.url()))),
        (&honest, format!("error=access_denied&{}", iss(evil.url()))),
        (
            &honest,
            format!("code=x&{}", iss(&format!("{}/", STACK.provider_url))),
        ),
        (
            &honest,
            format!("code=x&{}", iss(&STACK.provider_url.to_uppercase())),
        ),
        (&honest, format!("code=x&{}", iss(""))),
    ];
    for (connector, answer) in answers {
        let away = alice_away(&acme, connector).await;
        let callback = format!(
            "{}?{answer}&state={}",
            redirect_uri(connector),
            away.state()
        );
        let end = acme.open(&callback, &[&away.cookie]).await;
        end.page(400, MIXED_UP);
        let again = acme.open(&callback, &[&away.cookie]).await;
        again.page(409, ALREADY_DONE);
    }
    assert_eq!(evil.counters().total.token, 0);
    nothing_came_of_it(&acme, &["alice"], &[&ours, &honest]).await;
}

#[tokio::test]
async fn a09_h02_of_fifty_equal_callbacks_one_counts_and_a_replay_changes_nothing() {
    let acme = Workspace::new("replay").await;
    let connector = acme.connector("Files", &["read"]).await;
    let away = alice_away(&acme, &connector).await;
    let callback = consent(&away.authorize_url, &acme.account("alice")).await;
    let again = async || acme.open(&callback, &[&away.cookie]).await;
    let answers = join_all((0..50).map(|_| again())).await;
    let (passed, others): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 303);
    assert_eq!(passed.len(), 1);
    for answer in others {
        // A machine that starts fifty processes may keep one of them from its table.
        if answer.status != 503 {
            answer.page(409, ALREADY_DONE);
        }
    }
    let code = &passed[0].told()["code"];
    see(code);
    let completed = join_all((0..10).map(|_| acme.complete("alice", code))).await;
    assert!(completed.iter().any(|answer| answer.status == 200));
    assert_eq!(acme.redemptions().await, 1);

    let token = acme.token("alice", &connector).await;
    again().await.page(409, ALREADY_DONE);
    assert_eq!(acme.redemptions().await, 1);
    assert_eq!(acme.token("alice", &connector).await, token);
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
}

#[tokio::test]
async fn a24_a_parameter_that_comes_twice_is_refused_and_spends_nothing() {
    let acme = Workspace::new("pollution").await;
    let connector = acme.connector("Files", &["read"]).await;
    let away = alice_away(&acme, &connector).await;
    let callback = consent(&away.authorize_url, &acme.account("alice")).await;
    for more in ["state=x", "code=x", "iss=x", "error=x&error=x", "%73tate=x"] {
        for polluted in [
            format!("{callback}&{more}"),
            callback.replace('?', &format!("?{more}&")),
        ] {
            let answer = acme.open(&polluted, &[&away.cookie]).await;
            answer.page(400, NOT_OURS);
        }
    }
    // The same parameter once more with the same value is one too many as well.
    let state = away.state();
    let twice = format!("{callback}&state={state}");
    let answer = acme.open(&twice, &[&away.cookie]).await;
    answer.page(400, NOT_OURS);
    let cookies = [&*away.cookie, "__Host-grantry_other=x", &*away.cookie];
    let answer = acme.open(&callback, &cookies).await;
    answer.page(403, OTHER_BROWSER);
    nothing_came_of_it(&acme, &["alice"], &[&connector]).await;

    let back = acme.open(&callback, &[&away.cookie]).await.expect(303);
    assert!(back.headers["location"].starts_with(RETURN), "{back:?}");
    see(&back.told()["code"]);
    acme.complete("alice", &back.told()["code"])
        .await
        .expect(200);
}

//! What is left of a flow that connected nothing: an entry in the audit, and in it, for admins
//! alone, what the provider said (H-09).

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::fake_as::{Behaviour, When};

use crate::confirm::Asked;
use crate::connect::state_of;
use crate::requests::Counted;
use crate::world::{Answer, Call, RETURN, World};

/// The entries of flows that failed, latest first, as admins see them.
async fn failed(world: &World) -> Vec<Value> {
    let list = Call::get("/v1/audit?action=connect.failed").admin_of("acme");
    let page = world.send(list).await.expect_status(200);
    page.body["items"].as_array().unwrap().clone()
}

async fn reasons(world: &World) -> Vec<String> {
    let entries = failed(world).await;
    let reasons = entries.iter().map(|entry| entry["reason"].as_str());
    reasons.map(|reason| reason.unwrap().to_owned()).collect()
}

/// A browser of alice's that the provider sends back with `answer` beside the state.
struct Returning {
    path: String,
    cookie: String,
}

impl Returning {
    async fn with(world: &World, connector: &str, answer: &str) -> Self {
        let (authorize_url, cookie) = world.follow(&world.begin("alice", connector).await).await;
        let state = state_of(&authorize_url);
        Self {
            path: format!("/oauth/callback/{connector}?state={state}&{answer}"),
            cookie,
        }
    }

    fn call(&self) -> Call {
        Call::get(&self.path).cookie(&self.cookie)
    }
}

async fn refused(world: &World, connector: &str, answer: &str) -> Answer {
    let returning = Returning::with(world, connector, answer).await;
    world.send(returning.call()).await
}

#[tokio::test]
async fn h09_what_a_provider_says_is_for_admins_alone_cut_short_and_cleaned() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let long = "x".repeat(5000);
    let cut = "x".repeat(200);
    for (sent, error, description) in [
        // A client's redirect URI that is not registered, as providers tell it.
        (
            "error=redirect_uri_mismatch&error_description=not+registered",
            "redirect_uri_mismatch",
            Some("not registered"),
        ),
        ("error=invalid_scope", "invalid_scope", None),
        (
            "error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%22%3E%3Cimg+src=x+onerror=alert(1)%3E",
            "<script>alert(1)</script>",
            Some("\"><img src=x onerror=alert(1)>"),
        ),
        (
            "error=a%0d%0aSet-Cookie:+a=b&error_description=%1b%5b31m%00red",
            "aSet-Cookie: a=b",
            Some("[31mred"),
        ),
        (
            "error=%E2%80%AEdesserp&error_description=%E2%81%A6%E2%80%8B",
            "desserp",
            None,
        ),
        (
            "error=%ff%fe&error_description=%c3%28",
            "\u{fffd}\u{fffd}",
            Some("\u{fffd}("),
        ),
        (
            &format!("error={long}&error_description={long}"),
            &cut,
            Some(&cut),
        ),
        ("error=", "", None),
    ] {
        world.pass(1);
        let back = refused(&world, &connector, sent).await.expect_status(303);
        let told = format!("{RETURN}?status=failed&code=provider_refused");
        assert_eq!(back.location(), told, "{sent}");
        let entry = &failed(&world).await[0];
        let mut said = json!({"error": error});
        if let Some(description) = description {
            said["error_description"] = json!(description);
        }
        assert_eq!(entry["provider_said"], said, "{sent}");
        assert_eq!(
            (&entry["reason"], &entry["outcome"], &entry["actor"]),
            (
                &json!("provider_refused"),
                &json!("refused"),
                &json!({"kind": "user", "id": "alice"})
            )
        );
        assert_eq!(
            (&entry["connector_id"], &entry["app_id"], &entry["user_id"]),
            (&json!(connector), &json!("shop"), &json!("alice"))
        );
        assert!(entry["request_id"].is_string());
    }
    let mine = world.send(Call::get("/v1/me/audit").user("alice")).await;
    let mine = mine.expect_status(200).body;
    let items = mine["items"].as_array().unwrap();
    assert!(items.len() == 8 && items.iter().all(|item| item["action"] == "connect.failed"));
    let lines = world.lines.lock().unwrap().join("\n");
    for words in ["provider_said", "script", "registered", "desserp", &cut] {
        assert!(!mine.to_string().contains(words), "{words}");
        assert!(!lines.contains(words), "{words}");
    }
}

#[tokio::test]
async fn h09_more_than_the_gateway_lets_through_is_refused_before_it_is_read() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let answer = format!("error=x&error_description={}", "y".repeat(60_000));
    let back = refused(&world, &connector, &answer).await;
    back.expect_status(400);
    let posted = [
        ("state", "s"),
        ("error", "x"),
        ("error_description", &"y".repeat(1_000_000)),
    ];
    let post = Call::post(&format!("/oauth/callback/{connector}")).form(&posted);
    world.send(post).await.expect_status(400);
    assert!(failed(&world).await.is_empty());
}

#[tokio::test]
async fn h09_each_bad_end_has_its_entry() {
    let world = World::start().await;
    let mut body = world.connector_body(&["read"]);
    body["config"]["issuer"] = json!(world.provider.url());
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let connector = world.send(create).await.text("id");
    for (answer, status, reason) in [
        ("error=access_denied", 303, "access_denied"),
        ("error=server_error", 303, "provider_unavailable"),
        ("code=c&iss=https://evil.example", 400, "mixup_suspected"),
    ] {
        world.pass(1);
        refused(&world, &connector, answer)
            .await
            .expect_status(status);
        assert_eq!(reasons(&world).await[0], reason);
    }
    let late = Returning::with(&world, &connector, "code=c").await;
    world.pass(600);
    world.send(late.call()).await.expect_status(303);
    assert_eq!(reasons(&world).await[0], "session_expired");

    let code = world.authorize("alice", "alice", &connector).await;
    let wrong = Behaviour::OAuthError {
        status: 400,
        code: "invalid_grant".into(),
    };
    world.provider.push(When::redeeming(), wrong);
    let answer = world.complete("alice", &code).await;
    answer.expect_problem(502, "code_refused");
    assert_eq!(reasons(&world).await[0], "code_refused");
    let entry = &failed(&world).await[0];
    assert!(entry.get("provider_said").is_none(), "{entry}");

    world.connect("alice", &connector).await;
    let code = world.authorize("alice", "bob", &connector).await;
    world.pass(1);
    let answer = world.complete("alice", &code).await;
    answer.expect_problem(409, "account_mismatch");
    assert_eq!(reasons(&world).await[0], "account_mismatch");
    assert_eq!(reasons(&world).await.len(), 6);
}

#[tokio::test]
async fn c1_who_cancels_on_our_page_leaves_an_entry_and_who_connects_leaves_none() {
    let world = crate::confirm::screen_world().await;
    let connector = world.connector(&["read"]).await;
    for (pressed, left) in [("connect", 0), ("cancel", 1)] {
        let asked = Asked::on(&world, "alice", "alice", &connector).await;
        for _ in 0..2 {
            world.send(asked.press(pressed)).await.expect_status(303);
        }
        assert_eq!(reasons(&world).await, vec!["cancelled"; left]);
    }
}

#[tokio::test]
async fn of_fifty_equal_refusals_one_entry_is_left() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let returning = Returning::with(&world, &connector, "error=access_denied").await;
    join_all((0..50).map(|_| world.send(returning.call()))).await;
    assert_eq!(reasons(&world).await, ["access_denied"]);
}

#[tokio::test]
async fn a_refusal_of_the_provider_costs_what_the_table_says() {
    let counted = Counted::start().await;
    let world = &counted.world;
    let connector = world.connector(&["read"]).await;
    let returning = Returning::with(world, &connector, "error=access_denied").await;
    counted.requests();
    world.send(returning.call()).await.expect_status(303);
    let expected = ["GetItem", "GetItem", "UpdateItem", "PutItem"];
    assert_eq!(counted.requests(), expected);
}

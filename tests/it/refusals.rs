//! What a refusal looks like, what it costs, and which answers may hold a token.

use serde_json::json;
use testkit::fake_as::{Behaviour, When};

use crate::isolation::matrix::{Scene, own_calls};
use crate::template::Template;
use crate::world::{Call, World};

/// The one look-up, by all its names.
const LOOK_UPS: [&str; 5] = [
    "POST /v1/tokens",
    "POST /v1/oauth/token",
    "GET /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/token",
    "GET /api/apps/{app_id}/external-auth/tokens/connectors/{connector_id}",
    "GET /api/apps/{app_id}/external-auth/tokens/{integration_type}",
];

/// RFC 9457: a type that stays, and nothing of ours or of the provider's inside.
#[tokio::test]
async fn h80_every_refusal_is_a_problem_and_tells_nothing_of_the_inside() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    world.pass(3600);
    let upstream = Behaviour::Respond {
        status: 500,
        headers: vec![],
        body: "canary at /var/task/main.rs:7".into(),
    };
    world.provider.push(When::refreshing(), upstream);
    let key = world.key_of("acme", "shop");
    let lookup = json!({"connector_id": connector, "user_id": "alice"});
    let mut calls = vec![
        (503, Call::post("/v1/tokens").bearer(&key).json(&lookup)),
        (401, Call::post("/v1/tokens").bearer("canary").json(&lookup)),
        (404, Call::get("/v1/canary")),
        (405, Call::put("/v1/tokens")),
        (
            400,
            Call::post("/v1/connectors")
                .admin_of("acme")
                .text("{canary"),
        ),
        (404, Call::get("/v1/connectors/ca.nary").admin_of("acme")),
        (
            413,
            Call::post("/v1/connectors")
                .admin_of("acme")
                .text(&"x".repeat(70_000)),
        ),
    ];
    for (route, jwt) in Template::read().routes() {
        if jwt {
            let (method, path) = route.0.split_once(' ').unwrap();
            let path = path.replace(['{', '}'], "");
            calls.push((401, crate::template::call(method, &path)));
        }
    }
    for (status, call) in calls {
        let answer = world.send(call).await.expect_status(status);
        let code = answer.text("code");
        let answer = answer.expect_problem(status, &code);
        let members = answer.body.as_object().unwrap().keys();
        let known = ["type", "title", "status", "code", "detail", "errors"];
        for member in members {
            assert!(known.contains(&member.as_str()), "{member}: {answer:?}");
        }
        let text = answer.body.to_string();
        for inside in ["canary", ".rs", "panicked", "Dynamo", "Kms", "127.0.0.1"] {
            assert!(!text.contains(inside), "{inside}: {text}");
        }
    }
}

#[tokio::test]
async fn h84_a_token_is_in_the_answer_of_the_look_up_alone_and_kept_by_nobody() {
    let mut looked_up = 0;
    for (route, call) in own_calls() {
        let scene = Scene::set().await;
        let answer = scene.send(call, &scene.own).await;
        let text = answer.body.to_string();
        let issued = scene.world.provider.issued_secrets();
        assert!(!issued.is_empty());
        let shown = issued.iter().filter(|it| text.contains(&it.value)).count();
        let is_lookup = LOOK_UPS.contains(&route);
        assert_eq!(shown, usize::from(is_lookup), "{route}");
        if is_lookup {
            assert_eq!(answer.headers["cache-control"], "no-store");
            looked_up += 1;
        }
    }
    assert_eq!(looked_up, LOOK_UPS.len());
    // No JWT opens it, whosever it is.
    let scene = Scene::set().await;
    let body = json!({"connector_id": scene.own.connector, "user_id": "alice"});
    let lookup = || Call::post("/v1/tokens").json(&body);
    for call in [lookup().user("alice"), lookup().admin_of("acme")] {
        let refused = scene.world.send(call).await;
        refused.expect_problem(401, "unauthenticated");
    }
}

/// whoever floods the public routes spends none of our calls to KMS or to a provider.
#[tokio::test]
async fn a26_bogus_callbacks_and_tickets_cost_no_kms_call_and_no_request() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (kms, requests) = (world.kms.calls(), world.provider.requests().len());
    for n in 0..200 {
        let token = format!("session{n}.{}", "A".repeat(43));
        let callback = format!("/oauth/callback/{connector}?code=x&state={token}");
        for path in [&callback, &format!("/connect/{token}"), "/connect/x"] {
            let answer = world.send(Call::get(path)).await;
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    assert_eq!(world.kms.calls(), kms);
    assert_eq!(world.provider.requests().len(), requests);
}

//! The log: one line per request, whose metrics CloudWatch reads from it, and no secret.

use serde_json::{Value, json};

use crate::world::{Call, World};

#[tokio::test]
async fn every_request_leaves_one_line_with_route_workspace_outcome_and_duration() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.lines.lock().unwrap().clear();
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    world
        .send(Call::get("/connect/some.ticket"))
        .await
        .expect_status(410);
    world
        .send(Call::get("/nowhere/alice?code=secret"))
        .await
        .expect_problem(404, "not_found");
    world
        .send(Call::delete("/v1/tokens"))
        .await
        .expect_problem(405, "method_not_allowed");

    let lines: Vec<Value> = world
        .lines
        .lock()
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            assert!(
                line["duration"].is_number() && line["request_id"].is_string(),
                "{line}"
            );
            let metrics = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(metrics["Namespace"], "Grantry");
            (&line["route"], &line["outcome"], &line["workspace"])
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                &json!("POST /v1/tokens"),
                &json!("not_connected"),
                &json!("acme")
            ),
            (
                &json!("GET /connect/{ticket}"),
                &json!("link_invalid"),
                &json!(null)
            ),
            (&json!("GET unmatched"), &json!("not_found"), &json!(null)),
            (
                &json!("DELETE /v1/tokens"),
                &json!("method_not_allowed"),
                &json!(null)
            ),
        ]
    );
}

#[tokio::test]
async fn h81_h83_no_line_no_event_and_no_audit_entry_holds_a_secret() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let callback = world.consent(&authorize_url, "alice").await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let code = back.location_params()["code"].clone();
    world.complete("alice", &code).await.expect_status(200);
    world.token("alice", &connector).await;
    world.pass(3600);
    world.token("alice", &connector).await;
    world.disconnect("alice", &connector).await;

    let mut secrets: Vec<String> = world
        .provider
        .issued_secrets()
        .into_iter()
        .map(|secret| secret.value)
        .collect();
    secrets.extend([
        "client-secret".into(),
        code,
        cookie.split('=').nth(1).unwrap().into(),
        world.key_of("acme", "shop"),
    ]);
    let audit = world.send(Call::get("/v1/audit").admin_of("acme")).await;
    assert!(audit.body["items"].as_array().unwrap().len() >= 7);
    let told = format!(
        "{:?} {} {}",
        world.lines.lock().unwrap(),
        serde_json::to_string(&world.bus.events()).unwrap(),
        audit.body
    );
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret} was told");
    }
}

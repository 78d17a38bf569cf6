//! Two live client secrets, so that one takes over from the other without an outage.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use shared::ports::Clock as _;
use testkit::fake_as::Client;

use crate::world::World;

const OLD: &str = "client-secret";
const NEW: &str = "the-new-secret";

/// The provider takes these secrets from now on.
fn takes(world: &World, secrets: &[&str]) {
    let mut client = Client::new("client", OLD);
    client.secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    world.provider.add_client(client);
}

async fn rotate(world: &World, connector: &str) {
    let body = json!({"client_secret": NEW, "keep_previous_secret": true});
    world
        .change_connector(connector, &body)
        .await
        .expect_status(200);
}

/// The secrets of the token requests after the first `skipped`, and what each request shows of
/// either.
fn sent(world: &World, skipped: usize) -> Vec<Vec<&'static str>> {
    let requests = world.provider.requests().into_iter().skip(skipped);
    let tokens = requests.filter(|request| request.request == "POST /token");
    tokens
        .map(|request| {
            let basic = request.authorization.clone().unwrap_or_default();
            let basic = BASE64_STANDARD
                .decode(basic.trim_start_matches("Basic "))
                .unwrap_or_default();
            let text = format!("{request:?} {}", String::from_utf8_lossy(&basic));
            let secrets = [("old", OLD), ("new", NEW)].into_iter();
            let shown = secrets.filter(|(_, secret)| text.contains(secret));
            shown.map(|(name, _)| name).collect()
        })
        .collect()
}

#[tokio::test]
async fn h37_of_two_live_secrets_the_new_one_is_tried_first_and_never_both_at_once() {
    let world = World::start().await;
    takes(&world, &[OLD]);
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    rotate(&world, &connector).await;

    // The provider does not know the new one yet: refreshes and connects go on.
    world.pass(3600);
    let before = world.provider.requests().len();
    world.token("alice", &connector).await;
    world.connect("bob", &connector).await;
    assert_eq!(sent(&world, before), [["new"], ["old"], ["new"], ["old"]]);
    // Then it does, and then it knows no other.
    for secrets in [&[OLD, NEW][..], &[NEW][..]] {
        takes(&world, secrets);
        world.pass(3600);
        let before = world.provider.requests().len();
        world.token("alice", &connector).await;
        assert_eq!(sent(&world, before), [["new"]]);
    }
    assert!(!world.bus.types().contains(&"connector.misconfigured"));
}

#[tokio::test]
async fn a_secret_that_was_dropped_or_replaced_is_not_tried_any_more() {
    for body in [
        json!({"previous_secret": null}),
        json!({"client_secret": NEW}),
    ] {
        let world = World::start().await;
        takes(&world, &[OLD]);
        let connector = world.connector(&["read"]).await;
        world.connect("alice", &connector).await;
        rotate(&world, &connector).await;
        let changed = world
            .change_connector(&connector, &body)
            .await
            .expect_status(200);
        let live = changed.body["client_secrets"].as_array().unwrap();
        assert_eq!(live.len(), 1);
        assert_eq!(live[0]["role"], "current");

        world.pass(3600);
        let before = world.provider.requests().len();
        let refused = world.lookup("alice", &connector).await;
        refused.expect_problem(503, "provider_unavailable");
        assert_eq!(sent(&world, before), [["new"]]);
    }
}

#[tokio::test]
async fn a_view_tells_which_of_two_secrets_works_and_since_when() {
    let world = World::start().await;
    takes(&world, &[OLD]);
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let made_at = json!(world.clock.now());
    world.pass(60);
    rotate(&world, &connector).await;
    let rotated_at = json!(world.clock.now());
    let live = async || world.view_connector(&connector).await.body["client_secrets"].clone();
    let current = json!({"role": "current", "set_at": rotated_at, "last_four": "cret"});
    let previous = json!({"role": "previous", "set_at": made_at, "last_four": "cret"});
    assert_eq!(live().await, json!([current, previous]));

    world.pass(3600);
    world.token("alice", &connector).await;
    let mut worked = previous.clone();
    worked["last_worked_at"] = json!(world.clock.now());
    assert_eq!(live().await, json!([current, worked]));

    takes(&world, &[NEW]);
    world.pass(3600);
    world.token("alice", &connector).await;
    let mut now_works = current;
    now_works["last_worked_at"] = json!(world.clock.now());
    assert_eq!(live().await, json!([now_works, worked]));
    // What is known of a secret stays with it.
    let dropped = json!({"previous_secret": null});
    world
        .change_connector(&connector, &dropped)
        .await
        .expect_status(200);
    assert_eq!(live().await, json!([now_works]));
}

/// H-37, H-38: the previous secret goes nowhere but where it was given for.
#[tokio::test]
async fn h37_h38_a_new_client_or_endpoint_ends_the_previous_secret() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    rotate(&world, &connector).await;
    let mut config = world.connector_body(&[])["config"].clone();
    config["token_url"] = json!("https://elsewhere.example/token");
    for other in [json!({"client_id": "other"}), json!({"config": config})] {
        let mut kept = other.clone();
        kept["client_secret"] = json!("third-secret");
        kept["keep_previous_secret"] = json!(true);
        let refused = world.change_connector(&connector, &kept).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "keep_previous_secret");

        let mut alone = other;
        alone["client_secret"] = json!("third-secret");
        let changed = world
            .change_connector(&connector, &alone)
            .await
            .expect_status(200);
        assert_eq!(changed.body["client_secrets"].as_array().unwrap().len(), 1);
        let again = json!({"client_secret": NEW, "keep_previous_secret": true});
        world
            .change_connector(&connector, &again)
            .await
            .expect_status(200);
    }
}

#[tokio::test]
async fn what_makes_no_sense_about_two_secrets_is_named_by_field() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for (body, field) in [
        (
            json!({"keep_previous_secret": true}),
            "keep_previous_secret",
        ),
        (json!({"previous_secret": "x"}), "previous_secret"),
        (
            json!({"client_secret": NEW, "keep_previous_secret": true, "previous_secret": null}),
            "previous_secret",
        ),
    ] {
        let refused = world.change_connector(&connector, &body).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

//! Stories of admins: connectors, apps, API keys, the catalogue.

use serde_json::{Value, json};

use crate::world::{Call, World};

#[tokio::test]
async fn a_created_connector_shows_its_redirect_uri_and_never_its_secret() {
    let world = World::start().await;
    let body = world.connector_body(&["read", "write"]);
    let created = world
        .send(Call::post("/v1/connectors").admin_of("acme").json(&body))
        .await;
    let created = created.expect_status(201);
    let id = created.text("id");
    assert_eq!(
        created.text("redirect_uri"),
        format!("https://api.grantry.test/oauth/callback/{id}")
    );
    assert_eq!(created.text("client_secret_last_four"), "cret");
    assert_eq!(created.body["scopes"], json!(["read", "write"]));

    let path = format!("/v1/connectors/{id}");
    let viewed = world
        .send(Call::get(&path).admin_of("acme"))
        .await
        .expect_status(200);
    let mut expected = created.body.clone();
    expected["health"] = json!({"status": "ok"});
    expected["connections"] = json!({
        "connected": 0, "reconnect_required": 0, "disconnecting": 0, "counted_all": true,
    });
    assert_eq!(viewed.body, expected);
    let listed = world
        .send(Call::get("/v1/connectors").admin_of("acme"))
        .await;
    assert_eq!(
        listed.expect_status(200).body["items"],
        json!([created.body])
    );
    for answer in [created.body, viewed.body] {
        assert!(!answer.to_string().contains("client-secret\""), "{answer}");
    }
    assert_eq!(world.bus.types(), ["connector.created"]);
}

#[tokio::test]
async fn scopes_may_be_text_with_one_a_line() {
    let world = World::start().await;
    let mut body = world.connector_body(&[]);
    body["scopes"] = json!("write\n\n read \nwrite\n");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let created = world.send(create).await.expect_status(201);
    assert_eq!(created.body["scopes"], json!(["write", "read"]));

    body["scopes"] = json!("read write");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    let refused = world
        .send(create)
        .await
        .expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "scopes");
}

#[tokio::test]
async fn only_builder_and_above_may_add_or_change_connectors() {
    let world = World::start().await;
    let id = world.connector(&["read"]).await;
    let body = world.connector_body(&["read"]);
    for plan in ["free", "starter", "", "unheard-of"] {
        let claims = json!({"sub": "root", "workspace_id": "acme", "role": "owner", "plan": plan});
        let create = Call::post("/v1/connectors")
            .claims(claims.clone())
            .json(&body);
        let refused = world
            .send(create)
            .await
            .expect_problem(403, "plan_required");
        assert_eq!(refused.body["required_plan"], "builder");

        let path = format!("/v1/connectors/{id}");
        let update = Call::patch(&path)
            .claims(claims.clone())
            .json(&json!({"name": "New"}));
        world
            .send(update)
            .await
            .expect_problem(403, "plan_required");
        world
            .send(Call::get(&path).claims(claims))
            .await
            .expect_status(200);
    }
}

#[tokio::test]
async fn viewers_read_and_change_nothing_and_users_are_no_admins() {
    let world = World::start().await;
    let id = world.connector(&["read"]).await;
    let viewer = json!({"sub": "v", "workspace_id": "acme", "role": "viewer", "plan": "builder"});
    let path = format!("/v1/connectors/{id}");
    world
        .send(Call::get(&path).claims(viewer.clone()))
        .await
        .expect_status(200);
    let changes = [
        Call::post("/v1/connectors").json(&world.connector_body(&["read"])),
        Call::patch(&path).json(&json!({"name": "x"})),
        Call::put("/v1/connectors/mine").json(&world.connector_body(&["read"])),
        Call::post(&format!("{path}/disable")),
        Call::post(&format!("{path}/enable")),
        Call::delete(&format!("{path}?confirm=Files")),
        Call::put("/v1/apps/other").json(&json!({"name": "x", "return_urls": []})),
        Call::delete("/v1/apps/shop?confirm=Shop"),
        Call::post("/v1/apps/shop/keys").json(&json!({"name": "x"})),
        Call::delete("/v1/apps/shop/keys/x"),
        Call::delete(&format!("{path}/connections/x")),
    ];
    for change in changes {
        world
            .send(change.clone().claims(viewer.clone()))
            .await
            .expect_problem(403, "forbidden");
        world
            .send(change.clone().user("alice"))
            .await
            .expect_problem(403, "forbidden");
        world
            .send(change)
            .await
            .expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn of_two_admins_who_edit_the_same_version_one_is_refused() {
    let world = World::start().await;
    let path = format!("/v1/connectors/{}", world.connector(&["read"]).await);
    let etag = world.send(Call::get(&path).admin_of("acme")).await.headers["etag"].clone();
    let rename = |name: &str| {
        Call::patch(&path)
            .admin_of("acme")
            .json(&json!({"name": name}))
    };

    world
        .send(rename("No tag"))
        .await
        .expect_problem(428, "precondition_required");
    let first = world
        .send(rename("First").header("if-match", &etag))
        .await
        .expect_status(200);
    assert_ne!(first.headers["etag"], etag);
    let second = world.send(rename("Second").header("if-match", &etag)).await;
    second.expect_problem(412, "precondition_failed");
    let now = world.send(Call::get(&path).admin_of("acme")).await;
    assert_eq!(now.text("name"), "First");
}

#[tokio::test]
async fn h37_a_new_endpoint_or_client_needs_the_secret_again() {
    let world = World::start().await;
    let path = format!("/v1/connectors/{}", world.connector(&["read"]).await);
    let mut config = world.connector_body(&[])["config"].clone();
    config["token_url"] = json!("https://elsewhere.example/token");
    for change in [json!({"client_id": "other"}), json!({"config": config})] {
        let etag = world.send(Call::get(&path).admin_of("acme")).await.headers["etag"].clone();
        let update = Call::patch(&path)
            .admin_of("acme")
            .header("if-match", &etag);
        let refused = world.send(update.clone().json(&change)).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "client_secret");

        let mut with_secret = change;
        with_secret["client_secret"] = json!("another-secret");
        world
            .send(update.json(&with_secret))
            .await
            .expect_status(200);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_connector_is_named_by_field() {
    let world = World::start().await;
    let good = world.connector_body(&["read"]);
    let with = |member: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    for (body, field) in [
        (with("name", json!("")), "name"),
        (with("name", json!("x".repeat(101))), "name"),
        (with("client_id", json!("é")), "client_id"),
        (with("client_secret", json!("")), "client_secret"),
        (with("provider", json!("nobody")), "provider"),
        (with("config", json!({})), "config.authorize_url"),
        (
            with("config", json!({"authorize_url": "https://a.example/"})),
            "config.token_url",
        ),
    ] {
        let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
        let refused = world
            .send(create)
            .await
            .expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    for body in ["", "{", "[]", "{\"nmae\": 1}"] {
        let create = Call::post("/v1/connectors").admin_of("acme").text(body);
        world
            .send(create)
            .await
            .expect_problem(400, "invalid_request");
    }
    assert_eq!(
        world.bus.types(),
        Vec::<&str>::new(),
        "nothing was half-written"
    );
}

/// It would read like a change of the member, and change nothing.
#[tokio::test]
async fn null_changes_no_member_that_cannot_be_null() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let path = format!("/v1/connectors/{connector}");
    for member in [
        "name",
        "client_id",
        "client_secret",
        "scopes",
        "scope_policy",
        "accounts",
        "config",
    ] {
        let change = Call::patch(&path)
            .admin_of("acme")
            .header("if-match", "\"1\"")
            .json(&json!({(member): null}));
        let refused = world.send(change).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], member);
    }
    let plan = Call::post(&format!("{path}/scope-plan"))
        .admin_of("acme")
        .json(&json!({"scopes": [], "scope_policy": null}));
    world
        .send(plan)
        .await
        .expect_problem(400, "invalid_request");
    // Where it would read like a narrower request and be the widest.
    for member in ["provider", "connector_id"] {
        let revoke = Call::post("/v1/revocations").admin_of("acme");
        let revoke = revoke.json(&json!({"confirm": "acme", (member): null}));
        let refused = world.send(revoke).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], member);
    }
}

#[tokio::test]
async fn a_new_connector_has_a_template_or_none_and_not_null() {
    let world = World::start().await;
    let mut body = json!({"name": "Calendar", "provider": "google", "client_id": "id",
        "client_secret": "s-1", "scopes": ["openid"], "template": null});
    let create = |body: &Value| Call::post("/v1/connectors").admin_of("acme").json(body);
    let refused = world.send(create(&body)).await;
    let refused = refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.body["errors"][0]["field"], "template");
    body.as_object_mut().unwrap().remove("template");
    world.send(create(&body)).await.expect_status(201);
}

#[tokio::test]
async fn a_body_beyond_64_kib_is_refused() {
    let world = World::start().await;
    let body = json!({"name": "x".repeat(70_000)});
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world
        .send(create)
        .await
        .expect_problem(413, "payload_too_large");
}

#[tokio::test]
async fn h10_an_app_lists_return_urls_in_their_exact_form() {
    let world = World::start().await;
    let put = |url: &str| {
        let body = json!({"name": "App", "return_urls": [url]});
        Call::put("/v1/apps/web").admin_of("acme").json(&body)
    };
    for url in [
        "ftp://a.example/",
        "http://a.example/",
        "javascript:alert(1)",
        "//a.example/",
        "https://a.example",
        "https://A.example/",
        "https://a.example/#x",
        "https://me@a.example/",
    ] {
        let refused = world
            .send(put(url))
            .await
            .expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "return_urls", "{url}");
    }
    world
        .send(put("https://a.example/"))
        .await
        .expect_status(201);
    world
        .send(put("https://b.example/x?y=z"))
        .await
        .expect_status(200);
    let viewed = world.send(Call::get("/v1/apps/web").admin_of("acme")).await;
    assert_eq!(
        viewed.body["return_urls"],
        json!(["https://b.example/x?y=z"])
    );
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_stops_working_when_removed() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    world.connect("alice", &connector).await;
    let keys = "/v1/apps/shop/keys";
    let made = Call::post(keys)
        .admin_of("acme")
        .json(&json!({"name": "second"}));
    let made = world.send(made).await.expect_status(201);
    let (key, id) = (made.text("key"), made.text("id"));
    let listed = world
        .send(Call::get(keys).admin_of("acme"))
        .await
        .expect_status(200);
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 2);
    assert!(!listed.body.to_string().contains(&key), "{listed:?}");

    let lookup = || {
        let body = json!({"connector_id": connector, "user_id": "alice"});
        Call::post("/v1/tokens").bearer(&key).json(&body)
    };
    world.send(lookup()).await.expect_status(200);
    let path = format!("{keys}/{id}");
    world
        .send(Call::delete(&path).admin_of("acme"))
        .await
        .expect_status(204);
    world
        .send(lookup())
        .await
        .expect_problem(401, "unauthenticated");
    world
        .send(Call::delete(&path).admin_of("acme"))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_catalogue_lists_the_provider_of_every_file_and_custom() {
    let world = World::start().await;
    let list = world
        .send(Call::get("/v1/providers").admin_of("acme"))
        .await
        .expect_status(200);
    let ids: Vec<_> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].clone())
        .collect();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/catalogue/providers");
    let files = std::fs::read_dir(files).unwrap();
    let mut expected: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    expected.sort();
    expected.push("custom".to_owned());
    assert_eq!(ids, expected);
    for id in ids {
        let path = format!("/v1/providers/{}", id.as_str().unwrap());
        world
            .send(Call::get(&path).admin_of("acme"))
            .await
            .expect_status(200);
    }
    let unknown = world
        .send(Call::get("/v1/providers/nobody").admin_of("acme"))
        .await;
    unknown.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_connector_is_deleted_by_name_and_disconnects_everyone() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    let path = format!("/v1/connectors/{connector}");
    for wrong in [path.clone(), format!("{path}?confirm=files")] {
        let refused = world.send(Call::delete(&wrong).admin_of("acme")).await;
        refused.expect_problem(400, "confirmation_required");
    }
    let delete = || Call::delete(&format!("{path}?confirm=Files")).admin_of("acme");
    let begun = world.send(delete()).await.expect_status(202);
    assert_eq!(begun.text("status"), "deleting");
    world.send(delete()).await.expect_status(202);

    // Hand-out has stopped before anything else has happened.
    world
        .lookup("alice", &connector)
        .await
        .expect_problem(404, "not_connected");
    world.tick_revoker().await;
    for user in ["alice", "bob"] {
        assert_eq!(
            world.provider.grant_state(user),
            testkit::fake_as::GrantState::Revoked
        );
    }
    // The index needs its time before the last connection is known to be gone.
    world
        .send(Call::get(&path).admin_of("acme"))
        .await
        .expect_status(200);
    world.pass(61);
    world.tick_revoker().await;
    world
        .send(Call::get(&path).admin_of("acme"))
        .await
        .expect_problem(404, "not_found");
    assert_eq!(world.bus.types().last(), Some(&"connector.deleted"));
    // Any time, also after the connector was deleted.
    world
        .disconnect("alice", &connector)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn x2_a_connector_that_is_being_deleted_takes_no_new_connection() {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    let code = world.authorize("alice", "alice", &connector).await;
    let path = format!("/v1/connectors/{connector}?confirm=Files");
    world
        .send(Call::delete(&path).admin_of("acme"))
        .await
        .expect_status(202);

    world
        .complete("alice", &code)
        .await
        .expect_problem(409, "conflict");
    let begin = json!({"connector_id": connector, "return_url": crate::world::RETURN});
    let begin = Call::post("/v1/me/connections").user("alice").json(&begin);
    world.send(begin).await.expect_problem(404, "not_found");
    assert!(world.stored("alice", &connector).await.is_none());
}

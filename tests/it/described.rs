//! Stories of providers that an admin describes, and of fields that each user fills in.

use serde_json::{Value, json};

use crate::world::{Answer, Call, RETURN, World};

/// The stories' provider, described by an admin in the catalogue's format.
fn described(world: &World, patch: &[(&str, Value)]) -> Value {
    let at = world.provider.url();
    let mut body = world.connector_body(&["read"]);
    body["config"] = json!({});
    body["template"] = json!({
        "name": "Acme",
        "authorize": {"url": format!("{at}/authorize"), "pkce": "required"},
        "token": {"url": format!("{at}/token"), "auth": "post"},
        "refresh": {"rotation": "none", "assumed_lifetime": {"seconds": 3600}},
        "revoke": {"url": format!("{at}/revoke"), "token": "refresh", "send": "form",
            "hint": true, "auth": "post"},
        "identity": {"url": format!("{at}/userinfo"), "id": "/sub"}
    });
    for (pointer, value) in patch {
        let (place, name) = pointer.rsplit_once('/').unwrap();
        body["template"].pointer_mut(place).unwrap()[name] = value.clone();
    }
    body
}

async fn created(world: &World, body: &Value) -> String {
    let create = Call::post("/v1/connectors").admin_of("acme").json(body);
    world.send(create).await.expect_status(201).text("id")
}

async fn refused(world: &World, body: &Value, member: &str) -> String {
    let create = Call::post("/v1/connectors").admin_of("acme").json(body);
    let problem = world
        .send(create)
        .await
        .expect_problem(400, "invalid_request");
    let detail = problem.body.to_string();
    assert!(detail.contains(member), "{member} is not in {detail}");
    detail
}

async fn begin(world: &World, connector: &str, config: Value) -> Answer {
    let body = json!({"connector_id": connector, "return_url": RETURN, "config": config});
    let begin = Call::post("/v1/me/connections").user("alice").json(&body);
    world.send(begin).await
}

/// Alice's way to the provider and back to us, with the flow's cookie.
async fn consented(world: &World, begun: Answer) -> (String, String) {
    let link = begun.expect_status(201).text("connect_url");
    let link = link.strip_prefix(crate::world::API).unwrap();
    let (authorize_url, cookie) = world.follow(link).await;
    (world.consent(&authorize_url, "alice").await, cookie)
}

#[tokio::test]
async fn a_described_provider_is_connected_refreshed_and_revoked_like_any_other() {
    let world = World::start().await;
    let body = described(&world, &[]);
    let connector = created(&world, &body).await;
    let path = format!("/v1/connectors/{connector}");
    let view = world.send(Call::get(&path).admin_of("acme")).await;
    assert_eq!(view.body["template"], body["template"]);
    world.connect("alice", &connector).await.expect_status(200);
    let first = world.token("alice", &connector).await;
    world.pass(3600);
    assert_ne!(world.token("alice", &connector).await, first);
    let gone = world.disconnect("alice", &connector).await;
    assert_eq!(gone.expect_status(200).body["revocation"], "revoked");
}

/// H-35, H-30, A-13: whatever a description says, what it may call is for the rules to say.
#[tokio::test]
async fn h30_h35_a13_a_description_that_leads_astray_is_refused_by_its_member() {
    let world = World::start().await;
    for url in [
        "http://auth.example.com/token",
        "https://10.0.0.1/token",
        "https://169.254.169.254/latest/meta-data/",
        "https://0x0a000001/",
        "https://[::ffff:10.0.0.1]/",
        "https://auth.example.com/token#x",
        "https://auth.example.com/token?client_secret=x",
        "https://user:pw@auth.example.com/token",
        "file:///proc/self/environ",
        "https://{host}/token",
        "https://evil.com\\@auth.example.com/",
    ] {
        for (place, member) in [
            ("/token/url", "template.token.url"),
            ("/authorize/url", "template.authorize.url"),
            ("/revoke/url", "template.revoke.url"),
            ("/identity/url", "template.identity.url"),
            ("/issuer", "template.issuer"),
        ] {
            refused(&world, &described(&world, &[(place, json!(url))]), member).await;
        }
        let more = [
            (
                "/after_code",
                json!({"url": url, "method": "get", "grant_type": "x", "auth": "none"}),
            ),
            (
                "/refresh",
                json!({"rotation": "none", "assumed_lifetime": "never", "request": {"url": url}}),
            ),
        ];
        for (member, value) in more {
            refused(&world, &described(&world, &[(member, value)]), "template.").await;
        }
    }
    let field = |members: Value| {
        let mut field = json!({"name": "host", "label": "Host", "help": "a host",
            "required": true, "example": "acme.example.com"});
        for (name, value) in members.as_object().unwrap() {
            field[name] = value.clone();
        }
        [
            ("/fields", json!([field])),
            ("/token/url", json!("https://{host}/token")),
        ]
    };
    let any_host = "^([a-z0-9-]{1,63}\\.)+[a-z]{2,63}$";
    for (members, reason) in [
        (json!({}), "has no pattern"),
        (json!({"pattern": "^.+$"}), "it must spell letters"),
        (
            json!({"pattern": any_host, "asked": "user"}),
            "lets secrets go to",
        ),
    ] {
        let detail = refused(&world, &described(&world, &field(members)), "template.").await;
        assert!(detail.contains(reason), "{reason} is not in {detail}");
    }
    let pattern = json!({"pattern": any_host});
    let mut body = described(&world, &field(pattern));
    body["config"] = json!({"host": "127.0.0.1"});
    refused(&world, &body, "config.host").await;
}

#[tokio::test]
async fn h15_a_description_sets_no_parameter_of_the_protocol_and_says_nothing_twice() {
    let world = World::start().await;
    for (place, value, member) in [
        (
            "/authorize/params",
            json!({"state": "x"}),
            "template.authorize.params.state",
        ),
        (
            "/token/params",
            json!({"Client_Secret": "x"}),
            "template.token.params.Client_Secret",
        ),
        (
            "/authorize/rename",
            json!({"state": "s"}),
            "template.authorize.rename.state",
        ),
        (
            "/headers",
            json!({"Host": "evil.com"}),
            "template.headers.Host",
        ),
        (
            "/token/auth",
            json!("private_key_jwt"),
            "template.token.auth",
        ),
        ("/extends", json!("google"), "extends"),
        ("/nonsense", json!(1), "nonsense"),
        ("/name", json!("x".repeat(17_000)), "template"),
    ] {
        refused(&world, &described(&world, &[(place, value)]), member).await;
    }
    let mut elsewhere = described(&world, &[]);
    elsewhere["provider"] = json!("github");
    refused(&world, &elsewhere, "template").await;
    let mut both = described(&world, &[]);
    both["config"] = world.connector_body(&[])["config"].clone();
    refused(&world, &both, "config.authorize_url").await;
}

/// H-37, H-38.
#[tokio::test]
async fn h37_h38_a_description_with_another_endpoint_wants_the_secret_again() {
    let world = World::start().await;
    let body = described(&world, &[]);
    let connector = created(&world, &body).await;
    let path = format!("/v1/connectors/{connector}");
    let change = async |change: Value| {
        let view = world.send(Call::get(&path).admin_of("acme")).await;
        let etag = view.headers["etag"].clone();
        let patch = Call::patch(&path)
            .admin_of("acme")
            .header("if-match", &etag);
        world.send(patch.json(&change)).await
    };
    let renamed = described(&world, &[("/name", json!("Acme Files"))]);
    change(json!({"template": renamed["template"]}))
        .await
        .expect_status(200);
    let moved = described(
        &world,
        &[(
            "/refresh/request",
            json!({"url": format!("{}/elsewhere", world.provider.url())}),
        )],
    );
    let problem = change(json!({"template": moved["template"]})).await;
    let problem = problem.expect_problem(400, "invalid_request");
    assert!(
        problem.body.to_string().contains("client_secret"),
        "{problem:?}"
    );
    let again = json!({"template": moved["template"], "client_secret": "client-secret"});
    change(again).await.expect_status(200);
    // Back to plain fields, which are as good.
    let flat = json!({"template": null, "config": world.connector_body(&[])["config"],
        "client_secret": "client-secret"});
    let view = change(flat).await.expect_status(200);
    assert!(view.body.get("template").is_none());
}

#[tokio::test]
async fn what_a_callback_carries_is_kept_if_it_is_what_it_has_to_be() {
    let world = World::start().await;
    let callback = json!({
        "realm_id": {"param": "realmId", "pattern": "^[0-9]{1,20}$", "required": true},
        "server": {"param": "server", "pattern": "^[a-z]{2}$"}
    });
    let connector = created(&world, &described(&world, &[("/callback", callback)])).await;
    for (more, ending) in [
        ("", Some("provider_refused")),
        ("&realmId=", Some("provider_refused")),
        ("&realmId=12x", Some("provider_refused")),
        ("&realmId=12%0A", Some("provider_refused")),
        ("&realmId=12&server=EU", Some("provider_refused")),
        ("&realmId=12", None),
        ("&realmId=12&server=eu", None),
    ] {
        let (callback, cookie) =
            consented(&world, begin(&world, &connector, json!({})).await).await;
        let back = Call::get(&format!("{callback}{more}")).cookie(&cookie);
        let params = world.send(back).await.expect_status(303).location_params();
        let Some(ending) = ending else {
            world
                .complete("alice", &params["code"])
                .await
                .expect_status(200);
            let kept = world.lookup("alice", &connector).await.expect_status(200);
            let server = more.ends_with("eu").then_some("eu");
            assert_eq!(kept.body["connection_config"]["realm_id"], "12");
            assert_eq!(kept.body["connection_config"]["server"].as_str(), server);
            continue;
        };
        assert_eq!(params["status"], "failed", "{more}");
        assert_eq!(params["code"], ending, "{more}");
    }
}

/// A connector whose users say where their tokens are.
async fn asking(world: &World) -> String {
    let at = world.provider.url();
    let field = json!({"name": "site", "asked": "user", "label": "Site", "help": "your site",
        "required": true, "pattern": "^(token|elsewhere)$", "example": "token"});
    let body = described(
        world,
        &[
            ("/fields", json!([field])),
            ("/token/url", json!(format!("{at}/{{site}}"))),
            ("/authorize/params", json!({"site": "{site}"})),
        ],
    );
    created(world, &body).await
}

#[tokio::test]
async fn a_user_is_asked_for_what_only_they_know() {
    let world = World::start().await;
    let connector = asking(&world).await;
    let listed = world
        .send(Call::get("/v1/me/connectors").user("alice"))
        .await;
    let fields = &listed.body["items"][0]["fields"];
    assert_eq!(fields[0]["name"], "site");
    assert_eq!(fields[0]["asked"], "user");
    for (config, member) in [
        (json!({}), "config.site"),
        (json!({"site": ""}), "config.site"),
        (json!({"site": "evil.com/"}), "config.site"),
        (json!({"site": "token", "host": "evil.com"}), "config.host"),
        (json!({"site": 7}), "config"),
    ] {
        let answer = begin(&world, &connector, config).await;
        let problem = answer.expect_problem(400, "invalid_request");
        assert!(problem.body.to_string().contains(member), "{problem:?}");
    }
    let body = json!({"app_id": "shop", "return_url": RETURN, "config": {"site": "token"}});
    let by_admin = Call::post(&format!("/v1/connectors/{connector}/connect"));
    let by_admin = world.send(by_admin.admin_of("acme").json(&body)).await;
    by_admin.expect_problem(409, "kind_mismatch");
}

#[tokio::test]
async fn what_a_user_told_is_used_for_this_connection_from_then_on() {
    let world = World::start().await;
    let connector = asking(&world).await;
    let begun = begin(&world, &connector, json!({"site": "token"})).await;
    let link = begun.body["connect_url"].as_str().unwrap().to_owned();
    let (authorize_url, _) = world
        .follow(link.strip_prefix(crate::world::API).unwrap())
        .await;
    assert!(authorize_url.contains("site=token"), "{authorize_url}");

    let begun = begin(&world, &connector, json!({"site": "token"})).await;
    let (callback, cookie) = consented(&world, begun).await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let code = back.location_params()["code"].clone();
    world.complete("alice", &code).await.expect_status(200);
    let found = world.lookup("alice", &connector).await.expect_status(200);
    assert_eq!(found.body["connection_config"]["site"], "token");
    let first = found.text("access_token");
    world.pass(3600);
    assert_ne!(
        world.token("alice", &connector).await,
        first,
        "a refresh goes to the same site"
    );
    let gone = world.disconnect("alice", &connector).await;
    assert_eq!(gone.expect_status(200).body["revocation"], "revoked");

    // Another site is another place, and nobody else's.
    let begun = begin(&world, &connector, json!({"site": "elsewhere"})).await;
    let (callback, cookie) = consented(&world, begun).await;
    let back = world.send(Call::get(&callback).cookie(&cookie)).await;
    let code = back.location_params()["code"].clone();
    world
        .complete("alice", &code)
        .await
        .expect_problem(502, "code_refused");
}

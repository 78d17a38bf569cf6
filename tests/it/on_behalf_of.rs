//! `On-Behalf-Of`: the user's own JWT that rides along with an app's API key, verified here
//! because no gateway looks at it.

use serde_json::{Map, Value, json};
use testkit::issuer::{Desk, Mint};

use crate::world::{Answer, Call, ISSUER, World};

async fn connected() -> (World, String) {
    let world = World::start().await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
    }
    (world, connector)
}

/// A look-up that names nobody.
fn asks(connector: &str) -> Call {
    Call::post("/v1/tokens").json(&json!({"connector_id": connector}))
}

async fn send(world: &World, call: Call) -> Answer {
    world.send(call.bearer(&world.key_of("acme", "shop"))).await
}

fn mint(user: &str) -> Mint {
    let mint = Mint::new(user).claim("workspace_id", "acme");
    mint.claim("app_id", "shop")
}

#[tokio::test]
async fn the_token_is_of_the_user_whose_jwt_rides_along() {
    let (world, connector) = connected().await;
    for user in ["alice", "bob"] {
        let call = asks(&connector).on_behalf_of(&world.jwt(user));
        let found = send(&world, call).await.expect_status(200);
        let named = world.token(user, &connector).await;
        assert_eq!(found.text("access_token"), named);
    }
    let nobody = send(&world, asks(&connector)).await;
    nobody.expect_problem(409, "kind_mismatch");
}

#[tokio::test]
async fn who_is_named_has_to_be_who_rides_along() {
    let (world, connector) = connected().await;
    let body = |user: &str| json!({"connector_id": connector, "user_id": user});
    let list = |user: &str| Call::get(&format!("/v1/users/{user}/connections"));
    let leave = |user: &str| {
        let path = format!("/v1/users/{user}/connections/{connector}");
        Call::delete(&path)
    };
    let jwt = world.jwt("alice");
    for other in [
        Call::post("/v1/tokens").json(&body("bob")),
        list("bob"),
        leave("bob"),
    ] {
        let refused = send(&world, other.on_behalf_of(&jwt)).await;
        let refused = refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.body["errors"][0]["field"], "user_id");
    }
    for own in [
        Call::post("/v1/tokens").json(&body("alice")),
        list("alice"),
        leave("alice"),
    ] {
        let done = send(&world, own.on_behalf_of(&jwt)).await;
        done.expect_status(200);
    }
    world.token("bob", &connector).await;
}

#[tokio::test]
async fn a_jwt_that_is_not_the_issuers_for_us_and_live_proves_nobody() {
    let (world, connector) = connected().await;
    let good = || mint("alice");
    let set = |change: &dyn Fn(&mut Mint)| {
        let mut mint = good();
        change(&mut mint);
        world.issuer.mint(&mint)
    };
    let stranger = {
        let clock = world.clock.clone();
        let now = move || shared::ports::Clock::now(&clock).millis();
        Desk::of("https://evil.example", std::sync::Arc::new(now))
    };
    let signed = world.jwt("alice");
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let (_, payload) = head.split_once('.').unwrap();
    for jwt in [
        set(&|it| it.ttl = -1),
        set(&|it| it.ttl = 0),
        set(&|it| it.aud = Some("another".into())),
        set(&|it| it.iss = Some(format!("{ISSUER}/"))),
        set(&|it| it.kid = Some("unknown".into())),
        set(&|it| it.foreign_key = true),
        set(&|it| it.sub = String::new()),
        stranger.mint(&good()),
        // {"alg":"none"}, and the same with the signature of another head.
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"),
        format!("{head}."),
        String::new(),
        world.key_of("acme", "shop"),
    ] {
        let call = asks(&connector).on_behalf_of(&jwt);
        let refused = send(&world, call).await;
        refused.expect_problem(401, "unauthenticated");
    }
    let basic = asks(&connector).header("on-behalf-of", &signed);
    let refused = send(&world, basic).await;
    refused.expect_problem(401, "unauthenticated");
}

/// H-20: a user's JWT proves them in their own app and workspace, whoever holds the key.
#[tokio::test]
async fn h20_a_user_of_another_app_or_workspace_does_not_ride_along() {
    let (world, connector) = connected().await;
    for of in [["acme", "blog", "alice"], ["globex", "shop", "alice"]] {
        let jwt = world.jwt_of(of);
        for call in [
            asks(&connector),
            Call::get("/v1/users/alice/connections"),
            Call::delete(&format!("/v1/users/alice/connections/{connector}")),
        ] {
            let refused = send(&world, call.on_behalf_of(&jwt)).await;
            refused.expect_problem(403, "forbidden");
        }
    }
    let nowhere = world.issuer.mint(&Mint::new("alice"));
    let refused = send(&world, asks(&connector).on_behalf_of(&nowhere)).await;
    refused.expect_problem(403, "forbidden");
    world.token("alice", &connector).await;
}

/// A JWT alone is no key, and a key that is gone is none with a JWT.
#[tokio::test]
async fn a_jwt_rides_along_with_a_live_key_only() {
    let (world, connector) = connected().await;
    let jwt = world.jwt("alice");
    let forged = format!("grantry_sk_acme.shop.{}", "A".repeat(43));
    for call in [
        asks(&connector),
        asks(&connector).bearer(&jwt),
        asks(&connector).bearer(&forged),
    ] {
        let refused = world.send(call.on_behalf_of(&jwt)).await;
        refused.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_key_for_riders_only_acts_for_nobody_else() {
    let (world, connector) = connected().await;
    let make = json!({"name": "careful", "on_behalf_of_only": true});
    let make = Call::post("/v1/apps/shop/keys")
        .admin_of("acme")
        .json(&make);
    let made = world.send(make).await.expect_status(201);
    assert_eq!(made.body["on_behalf_of_only"], true);
    let key = made.text("key");
    let jwt = world.jwt("alice");
    let named = json!({"connector_id": connector, "user_id": "alice"});
    for call in [
        asks(&connector),
        Call::post("/v1/tokens").json(&named),
        Call::get("/v1/users/alice/connections"),
        Call::delete(&format!("/v1/users/alice/connections/{connector}")),
    ] {
        let call = call.bearer(&key);
        let refused = world.send(call.clone()).await;
        refused.expect_problem(403, "on_behalf_of_required");
        world.send(call.on_behalf_of(&jwt)).await.expect_status(200);
        if world.status("alice", &connector).await["status"] != "connected" {
            world.connect("alice", &connector).await;
        }
    }
}

/// What a rider was answered is not for who repeats the request without them (H-85).
#[tokio::test]
async fn h85_an_answer_is_for_who_rode_along() {
    let (world, connector) = connected().await;
    let path = format!("/v1/users/alice/connections/{connector}");
    let leave = Call::delete(&path).header("idempotency-key", "k");
    let ridden = leave.clone().on_behalf_of(&world.jwt("alice"));
    let first = send(&world, ridden.clone()).await.expect_status(200);
    let alone = send(&world, leave).await.expect_status(200);
    assert!(!alone.headers.contains_key("idempotency-replayed"));
    // With another JWT of the same user it is the same caller.
    world.pass(1);
    let later = Call::delete(&path).header("idempotency-key", "k");
    let later = send(&world, later.on_behalf_of(&world.jwt("alice"))).await;
    assert_eq!(later.headers["idempotency-replayed"], "true");
    assert_eq!(later.body, first.body);
}

#[tokio::test]
async fn the_issuer_is_asked_twice_in_ten_minutes_and_while_it_is_away_it_is_told() {
    let (world, connector) = connected().await;
    let ask = async || {
        let call = asks(&connector).on_behalf_of(&world.jwt("alice"));
        send(&world, call).await
    };
    for _ in 0..5 {
        ask().await.expect_status(200);
        world.pass(100);
    }
    // Where its keys are, and the keys.
    let reads = world.issuer.reads();
    assert_eq!(reads, 2);
    world.issuer.set_away(true);
    world.pass(99);
    ask().await.expect_status(200);
    world.pass(600);
    let away = ask().await.expect_problem(503, "temporarily_unavailable");
    assert!(away.headers.contains_key("retry-after"));
    world.issuer.set_away(false);
    ask().await.expect_status(200);
}

/// A-26 for the issuer: nonsense is not worth a question to it.
#[tokio::test]
async fn a26_jwts_of_unknown_keys_have_the_issuers_keys_read_once_a_minute_at_most() {
    let (world, connector) = connected().await;
    let unknown = Mint {
        kid: Some("unknown".into()),
        ..mint("alice")
    };
    for _ in 0..50 {
        let jwt = world.issuer.mint(&unknown);
        let refused = send(&world, asks(&connector).on_behalf_of(&jwt)).await;
        refused.expect_problem(401, "unauthenticated");
    }
    assert_eq!(world.issuer.reads(), 2);
}

/// A claim that is no text counts for nothing.
#[tokio::test]
async fn a_claim_of_another_kind_names_nothing() {
    let (world, connector) = connected().await;
    let mut odd = mint("alice");
    odd.claims = Map::from_iter([
        ("workspace_id".to_owned(), json!(["acme"])),
        ("app_id".to_owned(), Value::Null),
    ]);
    let jwt = world.issuer.mint(&odd);
    let refused = send(&world, asks(&connector).on_behalf_of(&jwt)).await;
    refused.expect_problem(403, "forbidden");
}

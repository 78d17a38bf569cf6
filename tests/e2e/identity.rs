//! Who is let in: wrong, missing, expired and foreign credentials, and the plan.

use http::Method;
use serde_json::{Value, json};

use crate::stack::{Workspace, see};

#[tokio::test]
async fn jwts_that_are_not_this_issuers_for_this_api_are_refused_at_the_gateway() {
    let acme = Workspace::new("jwts").await;
    let claims = json!({"workspace_id": acme.id, "role": "owner", "plan": "builder"});
    let mint = |member: &str, value: Value| {
        let mut mint = json!({"sub": "root", "claims": claims});
        mint[member] = value;
        acme.mint(mint)
    };
    let good = mint("ttl", json!(60)).await;
    acme.call(Method::GET, "/v1/connectors", &good, None)
        .await
        .expect(200);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let unsigned = {
        use base64::Engine as _;
        let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        format!("{header}.{}.", head.split('.').nth(1).unwrap())
    };
    let refused = [
        ("missing", String::new()),
        ("garbage", "x.y.z".to_owned()),
        (
            "wrong signature",
            format!("{head}.{flipped}{}", &signature[1..]),
        ),
        ("no signature", unsigned),
        ("expired", mint("ttl", json!(-60)).await),
        (
            "another audience",
            mint("aud", json!("somebody-else")).await,
        ),
        (
            "another issuer",
            mint("iss", json!("https://evil.example")).await,
        ),
        ("a foreign key", mint("foreign_key", json!(true)).await),
        ("an API key", acme.key.clone()),
    ];
    for (what, token) in refused {
        for path in ["/v1/connectors", "/v1/me/connectors"] {
            let answer = acme.call(Method::GET, path, &token, None).await;
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn wrong_api_keys_get_401_and_a_live_one_reaches_its_own_app_only() {
    let acme = Workspace::new("api-keys").await;
    let connector = acme.connector("Files", &["read"]).await;
    acme.connect("alice", &connector).await;
    let body = json!({"connector_id": connector, "user_id": "alice"});
    let user = acme.user("alice").await;
    let admin = acme.admin().await;
    let altered = format!("{}x", &acme.key[..acme.key.len() - 1]);
    let removed = {
        let made = json!({"name": "short-lived"});
        let made = acme
            .call(Method::POST, "/v1/apps/shop/keys", &admin, Some(made))
            .await
            .expect(201);
        let path = format!("/v1/apps/shop/keys/{}", made.text("id"));
        acme.call(Method::DELETE, &path, &admin, None)
            .await
            .expect(204);
        see(&made.text("key"));
        made.text("key")
    };
    for wrong in ["", "x", &altered, &removed, &user, &admin] {
        let lookup = acme
            .call(Method::POST, "/v1/tokens", wrong, Some(body.clone()))
            .await;
        lookup.problem(401, "unauthenticated");
        let list = acme
            .call(Method::GET, "/v1/users/alice/connections", wrong, None)
            .await;
        list.problem(401, "unauthenticated");
    }
    acme.lookup("alice", &connector).await.expect(200);
    acme.lookup("nobody", &connector)
        .await
        .problem(404, "not_connected");
    acme.lookup("alice", "unknown")
        .await
        .problem(404, "not_connected");
}

#[tokio::test]
async fn a_free_workspace_cannot_add_connectors_and_keeps_those_it_has() {
    let acme = Workspace::new("plans").await;
    let connector = acme.connector("Files", &["read"]).await;
    acme.connect("alice", &connector).await;
    let free = acme.admin_on("free").await;
    let body = acme.connector_body("More", &["read"]);
    let refused = acme
        .call(Method::POST, "/v1/connectors", &free, Some(body))
        .await;
    let refused = refused.problem(403, "plan_required");
    assert_eq!(refused.text("required_plan"), "builder");
    let list = acme
        .call(Method::GET, "/v1/connectors", &free, None)
        .await
        .expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    acme.lookup("alice", &connector).await.expect(200);
    acme.connect("bob", &connector).await;
}

#[tokio::test]
async fn a_users_token_is_no_admins_and_an_admins_no_users() {
    let acme = Workspace::new("roles").await;
    let (user, admin) = (acme.user("alice").await, acme.admin().await);
    let body = acme.connector_body("Files", &["read"]);
    let create = acme
        .call(Method::POST, "/v1/connectors", &user, Some(body))
        .await;
    create.problem(403, "forbidden");
    let mine = acme
        .call(Method::GET, "/v1/me/connectors", &admin, None)
        .await;
    mine.problem(403, "forbidden");
}

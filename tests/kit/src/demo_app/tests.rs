use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::{AppConfig, DemoApp, config_file};
use crate::issuer::Issuer;
use crate::loopback::{Port, Serving, client};

/// The app in front of an API that answers as told and remembers what it was asked.
struct Story {
    app: DemoApp,
    api: Arc<Api>,
    _issuer: Issuer,
    _serving: Serving,
}

#[derive(Default)]
struct Api {
    connector: Mutex<Value>,
    refusal: Mutex<Option<(u16, Value)>>,
    asked: Mutex<Vec<Asked>>,
}

#[derive(Clone)]
struct Asked {
    line: String,
    authorization: String,
    body: Value,
}

fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

impl Story {
    async fn begin(connector: Value) -> Self {
        let issuer = Issuer::start(Arc::new(|| 1_800_000_000_000)).await;
        let port = Port::bind(anywhere()).await.unwrap();
        let api = Arc::new(Api {
            connector: Mutex::new(connector),
            ..Api::default()
        });
        // A name that only the app's own resolver knows.
        let api_url = port
            .url()
            .replace("127.0.0.1", "0123abcd.execute-api.localhost")
            + "/";
        let router = Router::new().fallback(answer).with_state(Arc::clone(&api));
        let config = AppConfig {
            api_url,
            issuer_url: issuer.url().to_owned(),
            workspace_id: "w1".to_owned(),
            app_id: "a1".to_owned(),
            connector_id: "c/1".to_owned(),
            user_id: "<kim>".to_owned(),
        };
        let app = DemoApp::bind(anywhere(), Arc::new(move || Ok(config.clone())))
            .await
            .unwrap();
        Self {
            app,
            api,
            _issuer: issuer,
            _serving: port.serve(router),
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = client()
            .get(self.app.url().to_owned() + path)
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn post(&self, path: &str, origin: &str) -> reqwest::Response {
        let request = client().post(self.app.url().to_owned() + path);
        request.header(header::ORIGIN, origin).send().await.unwrap()
    }

    fn refuse(&self, status: u16, problem: Value) {
        *self.api.refusal.lock().unwrap() = Some((status, problem));
    }

    fn asked(&self) -> Vec<Asked> {
        self.api.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {uri}");
    api.asked.lock().unwrap().push(Asked {
        line: line.clone(),
        authorization: headers[header::AUTHORIZATION].to_str().unwrap().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    if let Some((status, problem)) = api.refusal.lock().unwrap().clone() {
        let status = StatusCode::from_u16(status).unwrap();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        return (status, kind, problem.to_string()).into_response();
    }
    let body = match line.as_str() {
        "GET /v1/me/connectors" => {
            let connector = api.connector.lock().unwrap().clone();
            json!({ "items": [{ "connector_id": "another", "status": "connected" }, connector] })
        }
        "POST /v1/me/connections" => json!({ "connect_url": "https://grantry.example/connect/t" }),
        "POST /v1/me/connections/complete" => json!({}),
        "DELETE /v1/me/connections/c%2F1" => return StatusCode::NO_CONTENT.into_response(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    body.to_string().into_response()
}

fn unconnected() -> Value {
    json!({ "connector_id": "c/1", "name": "Mail & more", "status": "not_connected" })
}

fn connected() -> Value {
    json!({
        "connector_id": "c/1", "status": "connected", "account_label": "kim@<b>work",
        "granted_scopes": ["mail"], "missing_scopes": [],
    })
}

#[tokio::test]
async fn the_front_page_offers_connect_to_the_signed_in_user() {
    let story = Story::begin(unconnected()).await;
    let (status, page) = story.get("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("signed in as <strong>&lt;kim&gt;</strong>"));
    assert!(page.contains("Mail &amp; more") && page.contains("Not connected"));
    assert!(page.contains("action=\"/connect\"") && !page.contains("action=\"/disconnect\""));
    let jwt = story.asked()[0].authorization.replace("Bearer ", "");
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(jwt)
        .unwrap()
        .claims;
    assert_eq!(
        (&claims["sub"], &claims["workspace_id"], &claims["app_id"]),
        (&json!("<kim>"), &json!("w1"), &json!("a1"))
    );
}

#[tokio::test]
async fn the_front_page_offers_disconnect_once_connected() {
    let story = Story::begin(connected()).await;
    let (_, page) = story.get("/").await;
    assert!(page.contains("kim@&lt;b&gt;work") && page.contains("<code>mail</code>"));
    assert!(page.contains("action=\"/disconnect\"") && !page.contains("action=\"/connect\""));
}

#[tokio::test]
async fn the_front_page_says_why_a_reconnect_is_needed() {
    let story = Story::begin(json!({
        "connector_id": "c/1", "status": "reconnect_required", "reason": "scopes_changed",
        "missing_scopes": ["calendar"],
    }));
    let (_, page) = story.await.get("/").await;
    assert!(page.contains("asks for more than you granted") && page.contains("calendar"));
    assert!(page.contains("Reconnect"));
}

#[tokio::test]
async fn connect_sends_the_browser_where_grantry_says() {
    let story = Story::begin(unconnected()).await;
    let response = story.post("/connect", story.app.url()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        response.headers()[header::LOCATION],
        "https://grantry.example/connect/t"
    );
    let asked = &story.asked()[0];
    let body = json!({ "connector_id": "c/1", "return_url": story.app.return_url() });
    assert_eq!(
        (asked.line.as_str(), &asked.body),
        ("POST /v1/me/connections", &body)
    );
}

#[tokio::test]
async fn a_form_from_another_site_changes_nothing() {
    let story = Story::begin(connected()).await;
    for path in ["/connect", "/disconnect"] {
        let response = story.post(path, "https://elsewhere.example").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
    assert!(story.asked().is_empty());
}

#[tokio::test]
async fn the_completion_code_is_posted_and_the_account_shown() {
    let story = Story::begin(connected()).await;
    let (status, page) = story.get("/return?status=authorized&code=cc%2B1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("connected as <strong>kim@&lt;b&gt;work</strong>"));
    let asked = &story.asked()[0];
    assert_eq!(asked.line, "POST /v1/me/connections/complete");
    assert_eq!(asked.body, json!({ "code": "cc+1" }));
}

#[tokio::test]
async fn a_refused_completion_says_what_and_what_next() {
    let story = Story::begin(unconnected()).await;
    let title = "Another <account>";
    story.refuse(
        409,
        json!({ "title": title, "detail": "d.", "code": "account_mismatch" }),
    );
    let (status, page) = story.get("/return?status=authorized&code=c").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(page.contains("<h1>Another &lt;account&gt;</h1>"));
    assert!(page.contains("disconnect first") && page.contains("account_mismatch"));
}

#[tokio::test]
async fn walks_that_stopped_early_end_on_a_page_that_says_so() {
    let story = Story::begin(unconnected()).await;
    for (query, expected) in [
        (
            "status=denied&code=access_denied",
            "You chose not to connect",
        ),
        ("status=expired&code=session_expired", "That took too long"),
        ("status=failed&code=%3Cscript%3E", "&lt;script&gt;"),
    ] {
        let (status, page) = story.get(&format!("/return?{query}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains(expected), "{page}");
        assert!(!page.contains("<script>"));
    }
    assert!(story.asked().is_empty(), "there is nothing to complete");
}

#[tokio::test]
async fn disconnect_deletes_and_returns_to_the_front_page() {
    let story = Story::begin(connected()).await;
    let response = story.post("/disconnect", story.app.url()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/");
    assert_eq!(story.asked()[0].line, "DELETE /v1/me/connections/c%2F1");
}

#[tokio::test]
async fn a_gateway_that_refuses_the_jwt_asks_to_sign_in_anew() {
    let story = Story::begin(unconnected()).await;
    story.refuse(401, json!({ "message": "Unauthorized" }));
    let (_, page) = story.get("/").await;
    assert!(page.contains("The sign-in was not accepted"));
}

#[tokio::test]
async fn a_missing_configuration_is_explained() {
    let nowhere = config_file("no/such/file.json".into());
    let app = DemoApp::bind(anywhere(), nowhere).await.unwrap();
    let response = client().get(app.url()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.text().await.unwrap().contains("not set up yet"));
}

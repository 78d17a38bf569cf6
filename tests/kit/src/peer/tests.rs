//! What the peer makes of requests that a client should not send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use catalogue_format::Template;
use reqwest::Response;
use serde_json::{Value, json};
use url::Url;

use super::{KnownClient, Peer, Returned};
use crate::fake_as::s256;
use crate::loopback::client;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "https://api.example/oauth/callback/c1";

/// A peer that plays one provider, `acme`.
struct Scene {
    peer: Peer,
    now: Arc<AtomicI64>,
}

impl Scene {
    async fn set(changed: Value) -> Self {
        let mut template = json!({
            "name": "Acme",
            "authorize": {"url": "https://acme.example/authorize", "pkce": "required"},
            "token": {"url": "https://acme.example/token", "auth": "post"},
            "refresh": {"rotation": "strict", "assumed_lifetime": {"seconds": 3600}},
            "revoke": {"url": "https://acme.example/revoke", "token": "refresh", "send": "form",
                "auth": "post"},
            "identity": {"url": "https://acme.example/me", "id": "/id"},
        });
        for (name, value) in changed.as_object().expect("members") {
            template[name] = value.clone();
        }
        let now = Arc::new(AtomicI64::new(1_795_366_800_000));
        let clock = Arc::clone(&now);
        let peer = Peer::start(Arc::new(move || clock.load(Ordering::SeqCst))).await;
        let template: Template = serde_json::from_value(template).expect("a template");
        let known = KnownClient {
            id: "client".into(),
            secret: "secret".into(),
        };
        peer.play("acme", template, &BTreeMap::new(), known);
        Self { peer, now }
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// A code that was issued for the challenge of [`VERIFIER`].
    async fn code(&self) -> String {
        let mut url = Url::parse("https://acme.example/authorize").unwrap();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "client"),
            ("redirect_uri", REDIRECT),
            ("state", "s"),
            ("scope", "read"),
            ("code_challenge", &s256(VERIFIER)),
            ("code_challenge_method", "S256"),
        ]);
        let Returned::To(back) = self.peer.consent("acme", url.as_str()).await else {
            panic!("nothing is posted");
        };
        let back = Url::parse(&back).unwrap();
        let mut params = back.query_pairs();
        let code = params.find(|(name, _)| name == "code");
        code.expect("a code").1.into_owned()
    }

    /// Posts a form as the client; `changed` are members that are added or replaced.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let mut form: BTreeMap<_, _> = form.iter().copied().collect();
        form.entry("client_id").or_insert("client");
        form.entry("client_secret").or_insert("secret");
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().filter(|(_, value)| !value.is_empty()))
            .finish();
        let url = format!("{}/acme/acme.example/{path}", self.peer.url());
        let kind = "application/x-www-form-urlencoded";
        let request = client().post(url).header("content-type", kind).body(body);
        request.send().await.expect("the peer answers")
    }

    async fn redeem(&self, code: &str, changed: &[(&str, &str)]) -> Response {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        form.retain(|(name, _)| changed.iter().all(|(other, _)| other != name));
        self.post("token", &[&form, changed].concat()).await
    }

    async fn refresh(&self, token: &str) -> Response {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post("token", &form).await
    }
}

async fn tokens(response: Response) -> (String, String) {
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    let token = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (token("access_token"), token("refresh_token"))
}

#[tokio::test]
async fn every_departure_from_the_description_is_refused_and_named() {
    let scene = Scene::set(json!({})).await;
    for (changed, fault) in [
        (("client_secret", "other"), "client_secret is"),
        (("client_id", ""), "client_id is missing"),
        (("code_verifier", "other"), "the verifier is another"),
        (("redirect_uri", "https://evil.example"), "redirect_uri is"),
        (("grant_type", ""), "grant_type is missing"),
        (("scope", "read"), "nobody asked for scope"),
        (("code", "code-0"), "an unknown code"),
    ] {
        let code = scene.code().await;
        let refused = scene.redeem(&code, &[changed]).await;
        assert_eq!(refused.status(), 400, "{changed:?}");
        let faults = scene.peer.faults("acme");
        let last = faults.last().expect("a fault");
        assert!(last.contains(fault), "{changed:?}: {last}");
    }
    assert_eq!(scene.peer.live_grants("acme"), 0);
    let code = scene.code().await;
    tokens(scene.redeem(&code, &[]).await).await;
    assert_eq!(scene.peer.live_grants("acme"), 1);
}

#[tokio::test]
async fn a_code_or_a_rotated_token_used_twice_ends_the_grant() {
    let scene = Scene::set(json!({})).await;
    let code = scene.code().await;
    let (access, _) = tokens(scene.redeem(&code, &[]).await).await;
    assert!(scene.peer.accepts("acme", &access));
    assert_eq!(scene.redeem(&code, &[]).await.status(), 400);
    assert!(!scene.peer.accepts("acme", &access));

    let code = scene.code().await;
    let (_, first) = tokens(scene.redeem(&code, &[]).await).await;
    let (access, second) = tokens(scene.refresh(&first).await).await;
    assert_eq!(scene.refresh(&first).await.status(), 400);
    assert!(!scene.peer.accepts("acme", &access));
    assert_eq!(scene.refresh(&second).await.status(), 400);
}

#[tokio::test]
async fn each_rotation_treats_the_old_token_as_it_says() {
    for (rotation, at_once, later) in [
        (json!("none"), true, true),
        (json!("sliding"), true, true),
        (json!("strict"), false, false),
        (json!({"grace": 60}), true, false),
    ] {
        for (seconds, accepted) in [(0, at_once), (60, later)] {
            let refresh = json!({"rotation": rotation, "assumed_lifetime": {"seconds": 3600}});
            let scene = Scene::set(json!({"refresh": refresh})).await;
            let code = scene.code().await;
            let (_, token) = tokens(scene.redeem(&code, &[]).await).await;
            let (_, next) = tokens(scene.refresh(&token).await).await;
            assert_eq!(next.is_empty(), rotation == "none", "{rotation}");
            scene.pass(seconds);
            let again = scene.refresh(&token).await.status() == 200;
            assert_eq!(again, accepted, "{rotation} after {seconds} s");
        }
    }
}

#[tokio::test]
async fn tokens_die_of_age_of_disuse_and_by_revocation() {
    let refresh = json!({"rotation": "strict", "assumed_lifetime": {"seconds": 3600},
        "idle_days": 2, "hard_limit_days": 3});
    let scene = Scene::set(json!({"refresh": refresh})).await;
    let code = scene.code().await;
    let (access, token) = tokens(scene.redeem(&code, &[]).await).await;
    scene.pass(3600);
    assert!(!scene.peer.accepts("acme", &access));
    let (_, token) = tokens(scene.refresh(&token).await).await;
    scene.pass(47 * 3600);
    let (_, token) = tokens(scene.refresh(&token).await).await;
    scene.pass(24 * 3600);
    assert_eq!(scene.refresh(&token).await.status(), 400, "three days");

    let code = scene.code().await;
    let (_, idle) = tokens(scene.redeem(&code, &[]).await).await;
    scene.pass(48 * 3600);
    assert_eq!(scene.refresh(&idle).await.status(), 400, "two days unused");

    let code = scene.code().await;
    let (access, token) = tokens(scene.redeem(&code, &[]).await).await;
    let wrong = scene.post("revoke", &[("token", "unknown")]).await;
    assert_eq!(wrong.status(), 400);
    assert!(scene.peer.accepts("acme", &access));
    let ended = scene.post("revoke", &[("token", &token)]).await;
    assert_eq!(ended.status(), 200);
    assert!(!scene.peer.accepts("acme", &access));
    assert_eq!(scene.refresh(&token).await.status(), 400);
}

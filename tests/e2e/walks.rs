//! Whole flows in a real browser, as people walk them.

use http::header::REFERRER_POLICY;
use serde_json::json;
use testkit::demo_app::{AppConfig, DemoApp};
use testkit::fake_as::{GrantState, SecretKind};

use crate::browser::Browser;
use crate::site::Site;
use crate::stack::{STACK, Workspace, see};

/// The provider's button that agrees.
pub(crate) const AGREE: &str = "button[value=connect]";

/// The link of a flow of Alice that comes back to a site.
pub(crate) async fn begin(acme: &Workspace, connector: &str, site: &Site) -> String {
    let jwt = acme.user("alice").await;
    let begin = json!({
        "connector_id": connector, "return_url": site.at("/return"),
        "login_hint": acme.account("alice"),
    });
    acme.begin_as(&jwt, begin).await
}

/// A site where the workspace's flows come back to, and which completes them or does not.
pub(crate) async fn app_at_a_site(acme: &Workspace, completion: &str) -> Site {
    let site = Site::start().await;
    let return_urls = [site.at("/return")];
    let app = json!({"name": "Shop", "return_urls": return_urls, "completion": completion});
    acme.register("shop", app).await;
    site
}

#[tokio::test]
async fn a_person_connects_in_the_demo_app_by_pressing_its_buttons() {
    let acme = Workspace::new("walk-demo").await;
    let connector = acme.connector("Files", &["read"]).await;
    let config = AppConfig {
        api_url: STACK.public_url.clone(),
        issuer_url: STACK.issuer_url.clone(),
        workspace_id: acme.id.clone(),
        app_id: "shop".into(),
        connector_id: connector.clone(),
        user_id: "alice".into(),
    };
    let here = "127.0.0.1:0".parse().unwrap();
    let app = DemoApp::bind(here, std::sync::Arc::new(move || Ok(config.clone()))).await;
    let app = app.expect("a free port");
    let registration = json!({"name": "Shop", "return_urls": [app.return_url()]});
    acme.register("shop", registration).await;

    let browser = Browser::start().await;
    browser.goto(app.url()).await;
    browser.press("button").await;
    browser
        .write("input[name=account]", &acme.account("alice"))
        .await;
    browser.see_cookies(&STACK.public_url).await;
    browser.press(AGREE).await;
    let back = browser.arrives_at(&app.return_url()).await;
    note_code(&back);
    assert_eq!(browser.text("h1").await, "Connected to Files");
    let token = acme.token("alice", &connector).await;
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
    // The flow is over, and so is its cookie.
    assert_eq!(browser.cookies(&STACK.public_url).await, []);
    browser.broke_no_policy().await;
}

#[tokio::test]
async fn a10_h08_the_providers_code_is_in_no_referer_and_no_history() {
    let acme = Workspace::new("walk-referer").await;
    let connector = acme.connector("Files", &["read"]).await;
    let (site, third) = (app_at_a_site(&acme, "app").await, Site::start().await);
    // The most careless app there can be: it tells everybody where it is.
    let careless = [(REFERRER_POLICY, "unsafe-url".to_owned())];
    let link = format!("<a href=\"{}\">elsewhere</a>", third.at("/"));
    site.page("/return", &careless, link);

    let browser = Browser::start().await;
    browser.goto(&begin(&acme, &connector, &site).await).await;
    browser.see_cookies(&STACK.public_url).await;
    let at_the_provider = browser.url().await;
    browser.press(AGREE).await;
    let back = browser.arrives_at(&site.at("/return")).await;
    note_code(&back);
    browser.press("a").await;
    browser.arrives_at(&third.at("/")).await;

    let state = at_the_provider
        .query_pairs()
        .find(|(name, _)| name == "state");
    let state = state.expect("the provider got a state").1;
    let issued = acme.provider.issued_secrets().await;
    let own = |secret: &&testkit::fake_as::IssuedSecret| {
        secret.kind == SecretKind::Code && secret.account == acme.account("alice")
    };
    let code = &issued.iter().find(own).expect("a code was issued").value;

    // Neither the provider's address reached the app, nor ours.
    assert_eq!(site.referers(), [None]);
    assert_eq!(third.referers(), [Some(back.to_string())]);
    let history = browser.history().await;
    assert!(history.contains(&back.to_string()), "{history:?}");
    for place in history.iter().chain(third.referers().iter().flatten()) {
        assert!(!place.contains(code), "{place}");
        // Where the user agreed the state belongs: the provider has it anyway.
        let elsewhere = !place.starts_with(&STACK.provider_url);
        assert!(!(elsewhere && place.contains(&*state)), "{place}");
    }
}

#[tokio::test]
async fn the_confirm_page_works_by_keyboard_alone_and_without_scripts() {
    let acme = Workspace::new("walk-keyboard").await;
    let connector = acme.connector("Files", &["read"]).await;
    let site = app_at_a_site(&acme, "screen").await;
    let browser = Browser::without_scripts().await;
    browser.goto(&begin(&acme, &connector, &site).await).await;
    browser.see_cookies(&STACK.public_url).await;
    browser.press_by_keyboard("Connect").await;
    arrive_at_confirm(&browser).await;
    let heading = browser.text("h1").await;
    assert_eq!(heading, "Connect 127.0.0.1 to Shop?");
    assert!(browser.text("dl").await.contains("alice"));
    // Two stops, named by what they do; nothing else takes the focus.
    let button = |name: &str| ("button".to_owned(), name.to_owned());
    assert_eq!(browser.tab().await, button("Connect"));
    assert_eq!(browser.tab().await, button("Cancel"));
    browser.goto(browser.url().await.as_str()).await;
    browser.press_by_keyboard("Connect").await;

    let back = browser.arrives_at(&site.at("/return")).await;
    assert!(back.as_str().contains("?status=connected&"), "{back}");
    // The address of the confirm page has a code of ours: the app is not told it.
    assert_eq!(site.referers(), [None]);
    let token = acme.token("alice", &connector).await;
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
    browser.broke_no_policy().await;
}

#[tokio::test]
async fn cancel_on_the_confirm_page_connects_nothing() {
    let acme = Workspace::new("walk-cancel").await;
    let connector = acme.connector("Files", &["read"]).await;
    let site = app_at_a_site(&acme, "screen").await;
    let browser = Browser::start().await;
    browser.goto(&begin(&acme, &connector, &site).await).await;
    browser.see_cookies(&STACK.public_url).await;
    browser.press(AGREE).await;
    let confirm = arrive_at_confirm(&browser).await;
    browser.press("button[value=cancel]").await;
    let back = browser.arrives_at(&site.at("/return")).await;
    assert_eq!(back.query(), Some("status=cancelled&code=cancelled"));
    assert_eq!(acme.redemptions().await, 0);
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
    let grant = acme.provider.grant_state(&acme.account("alice")).await;
    assert_eq!(grant, GrantState::None);
    // The page, opened again, comes to the same end.
    browser.goto(confirm.as_str()).await;
    assert_eq!(browser.url().await, back);
    browser.broke_no_policy().await;
}

#[tokio::test]
async fn h13_an_answer_that_is_posted_passes_our_page_and_ends_the_flow() {
    let acme = Workspace::new("walk-form-post").await;
    let mut body = acme.connector_body("Files", &["read"]);
    body["config"]["response_mode"] = json!("form_post");
    let connector = acme.connector_of(body).await;
    let site = app_at_a_site(&acme, "app").await;
    for scripts in [true, false] {
        let browser = match scripts {
            true => Browser::start().await,
            false => Browser::without_scripts().await,
        };
        browser.goto(&begin(&acme, &connector, &site).await).await;
        browser.see_cookies(&STACK.public_url).await;
        browser.press(AGREE).await;
        // The provider's page posts from its own site, without the flow's cookie.
        let decided = format!("{}/authorize/decision", STACK.provider_url);
        browser.arrives_at(&decided).await;
        assert_eq!(browser.text("h1").await, "Back to the application");
        browser.press("button").await;
        if !scripts {
            browser.arrives_at(&STACK.public_url).await;
            assert_eq!(browser.text("h1").await, "Going on");
            browser.press("button").await;
        }
        let back = browser.arrives_at(&site.at("/return")).await;
        let code = note_code(&back);
        acme.complete("alice", &code).await.expect(200);
        browser.broke_no_policy().await;
    }
    assert_eq!(acme.redemptions().await, 2);
    acme.lookup("alice", &connector).await.expect(200);
}

/// The address of the confirm page, once the browser is there.
pub(crate) async fn arrive_at_confirm(browser: &Browser) -> url::Url {
    let confirm = format!("{}/oauth/confirm", STACK.public_url);
    let confirm = browser.arrives_at(&confirm).await;
    note_code(&confirm);
    confirm
}

/// The completion code on an address, which is noted for the search that follows these tests.
pub(crate) fn note_code(url: &url::Url) -> String {
    let code = url.query_pairs().find(|(name, _)| name == "code");
    let code = code.unwrap_or_else(|| panic!("no code on {url}")).1;
    see(&code);
    code.into_owned()
}

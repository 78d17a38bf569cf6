//! What other windows, frames and hosts can do with a flow in a real browser.

use std::time::Duration;

use http::HeaderName;
use http::header::SET_COOKIE;
use serde_json::{Value, json};
use testkit::fake_as::consent;
use url::Url;

use crate::browser::Browser;
use crate::site::Site;
use crate::stack::{RETURN, STACK, Workspace, eventually, see};
use crate::walks::{AGREE, app_at_a_site, arrive_at_confirm, begin};

/// A page that opens a link in a window of its own, and keeps what it is told.
fn opener(link: &str) -> String {
    format!(
        "<!doctype html><title>App</title><button>Connect</button><script>\
         const got = [];\
         addEventListener('message', (e) => got.push({{origin: e.origin, data: e.data}}));\
         document.querySelector('button').onclick = () => open('{link}', 'flow', 'popup');\
         </script>"
    )
}

/// The link of a flow of Alice in a popup, for a page of `site`.
async fn begin_popup(acme: &Workspace, connector: &str, site: &Site) -> String {
    let jwt = acme.user("alice").await;
    let begin = json!({
        "connector_id": connector, "return_url": site.at("/return"), "display": "popup",
        "login_hint": acme.account("alice"),
    });
    acme.begin_as(&jwt, begin).await
}

/// Walks a flow in the popup that a page opens. Answers what the page was told until the popup
/// had closed itself, and the page could tell itself something.
async fn walk_in_a_popup(browser: &Browser, page: &str) -> Vec<Value> {
    browser.goto(page).await;
    let app = browser.windows().await.remove(0);
    browser.press("button").await;
    let popup = browser.has_windows(2).await;
    browser.switch_to(&popup).await;
    browser.see_cookies(&STACK.public_url).await;
    browser.press(AGREE).await;
    assert_eq!(browser.has_windows(1).await, app);
    browser.switch_to(&app).await;
    browser
        .run("postMessage('last', location.origin)", json!([]))
        .await;
    let got = async || {
        let got = browser.run("return got", json!([])).await;
        got.as_array().expect("a list").clone()
    };
    let is_last = |message: &Value| message["data"] == "last";
    let soon = Duration::from_secs(20);
    eventually(soon, "the page tells itself something", async || {
        got().await.iter().any(is_last)
    })
    .await;
    let mut got = got().await;
    got.retain(|message| !is_last(message));
    got
}

#[tokio::test]
async fn h11_a_popup_tells_its_opener_once_and_closes() {
    let acme = Workspace::new("popup").await;
    let connector = acme.connector("Files", &["read"]).await;
    let site = app_at_a_site(&acme, "app").await;
    let link = begin_popup(&acme, &connector, &site).await;
    site.page("/", &[], opener(&link));
    let browser = Browser::start().await;
    let got = walk_in_a_popup(&browser, &site.at("/")).await;
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0]["origin"], json!(STACK.public_url));
    let data = &got[0]["data"];
    assert_eq!(
        (&data["type"], &data["status"]),
        (&json!("grantry.connect"), &json!("authorized"))
    );
    let code = data["code"].as_str().expect("a completion code");
    see(code);
    acme.complete("alice", code).await.expect(200);
    acme.lookup("alice", &connector).await.expect(200);
    browser.broke_no_policy().await;
}

/// The popup has told something all the same: that is the last thing it does before it closes.
#[tokio::test]
async fn h11_an_opener_of_another_origin_is_told_nothing() {
    let acme = Workspace::new("popup-foreign").await;
    let connector = acme.connector("Files", &["read"]).await;
    let (site, evil) = (app_at_a_site(&acme, "app").await, Site::start().await);
    let link = begin_popup(&acme, &connector, &site).await;
    evil.page("/", &[], opener(&link));
    let browser = Browser::start().await;
    let got = walk_in_a_popup(&browser, &evil.at("/")).await;
    assert_eq!(got, [json!(null); 0]);
    assert_eq!(acme.redemptions().await, 0);
    acme.lookup("alice", &connector)
        .await
        .problem(404, "not_connected");
}

/// The framing page is on a sibling host, so that the flow's cookie comes into the frame and
/// only our policy keeps the page out of it.
#[tokio::test]
async fn a22_the_confirm_page_is_shown_in_no_frame() {
    let acme = Workspace::new("frame").await;
    let connector = acme.connector("Files", &["read"]).await;
    let site = app_at_a_site(&acme, "screen").await;
    let browser = Browser::start().await;
    browser.goto(&begin(&acme, &connector, &site).await).await;
    browser.see_cookies(&STACK.public_url).await;
    browser.press(AGREE).await;
    let confirm = arrive_at_confirm(&browser).await;
    let confirm = confirm.as_str();

    let harmless = site.at_host(&sibling(), "/harmless");
    for (framed, is_shown) in [(harmless.as_str(), true), (confirm, false)] {
        let frame = format!("<!doctype html><iframe src=\"{framed}\"></iframe>");
        site.page("/frame", &[], frame);
        browser.goto(&site.at_host(&sibling(), "/frame")).await;
        browser.enter_frame().await;
        let place = browser.run("return location.href", json!([])).await;
        assert_eq!(place == json!(framed), is_shown, "{framed}: {place}");
        assert!(!browser.has("form, button").await, "{framed}");
    }
    let console = browser.console().await;
    let refused = |line: &String| line.contains("frame-ancestors");
    assert!(console.iter().any(refused), "{console:?}");
    // In a window of its own it is shown.
    browser.goto(confirm).await;
    assert!(browser.has("button[value=connect]").await);
    assert_eq!(acme.redemptions().await, 0);
}

/// Mallory, who rules a sibling host, gives the victim's browser the cookie of a flow that is
/// Mallory's, and then the end of that flow.
#[tokio::test]
async fn a23_a_sibling_host_sets_no_flow_cookie() {
    let acme = Workspace::new("tossing").await;
    let connector = acme.connector("Files", &["read"]).await;
    let away = acme.follow(&acme.begin("mallory", &connector).await).await;
    let callback = consent(&away.authorize_url, &acme.account("mallory")).await;

    let site = Site::start().await;
    let (_, domain) = sibling_of().expect("the stack's host has a parent");
    let tossed = |cookie: &str, more: &str| -> (HeaderName, String) {
        (SET_COOKIE, format!("{cookie}; Domain={domain}{more}"))
    };
    let cookie = &away.cookie;
    let headers = [
        tossed("harmless=1", "; Path=/"),
        tossed(cookie, "; Path=/; Secure"),
        tossed(cookie, "; Path=/"),
        tossed(cookie, "; Path=/oauth; Secure"),
        tossed(&cookie.replace("__Host-", "__host-"), "; Path=/; Secure"),
        tossed(&format!(" {cookie}"), "; Path=/; Secure"),
        tossed(&format!("={cookie}"), "; Path=/; Secure"),
    ];
    let script =
        format!("<script>document.cookie = '{cookie}; Domain={domain}; Path=/; Secure'</script>");
    site.page("/toss", &headers, script);
    let browser = Browser::start().await;
    browser.goto(&site.at_host(&sibling(), "/toss")).await;
    // The host can set cookies for its siblings; these it cannot.
    let cookies = browser.cookies(&callback).await;
    assert_eq!(cookies, [("harmless".to_owned(), "1".to_owned())]);
    browser.goto(&callback).await;
    let heading = browser.text("h1").await;
    assert_eq!(heading, "This is not the browser you started in");
    assert_eq!(acme.redemptions().await, 0);

    // Mallory's own browser would have gone on.
    let own = acme.open(&callback, &[cookie]).await.expect(303);
    assert!(own.headers["location"].starts_with(RETURN), "{own:?}");
    see(&own.told()["code"]);
}

/// A host that has the same parent as the stack's, and that parent.
fn sibling_of() -> Option<(String, String)> {
    let url = Url::parse(&STACK.public_url).ok()?;
    let (_, domain) = url.host_str()?.split_once('.')?;
    Some((format!("evil.{domain}"), domain.to_owned()))
}

fn sibling() -> String {
    sibling_of().expect("the stack's host has a parent").0
}

//! Scripts in what others write: the provider in its answer, an admin in a name, an issuer in a
//! claim. No page of ours runs one, or becomes another page by it.
//!
//! `payloads.txt` has one a line. Each says `window.__xss` or opens a dialog if it gets to run.

use futures_util::{StreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use testkit::fake_as::consent;

use crate::browser::Browser;
use crate::site::Site;
use crate::stack::{Away, STACK, Workspace, see};
use crate::walks::app_at_a_site;

fn payloads() -> Vec<&'static str> {
    include_str!("payloads.txt").lines().collect()
}

/// Flows that are begun at a time.
const AT_ONCE: usize = 4;

/// Whether a script has run in the page.
async fn was_run(browser: &Browser) -> bool {
    browser.shows_a_dialog().await
        || browser.run("return typeof window.__xss", json!([])).await != "undefined"
}

/// The elements of the page, in order: what a browser made of the markup.
async fn elements(browser: &Browser) -> Value {
    let names = "return [...document.querySelectorAll('*')].map((one) => one.localName).join(' ')";
    browser.run(names, json!([])).await
}

/// A page that has what somebody wrote just as it was written.
#[tokio::test]
async fn the_payloads_run_where_nothing_is_escaped() {
    let site = Site::start().await;
    let browser = Browser::start().await;
    let mut ran = 0;
    // A dialog would stay open.
    for payload in payloads().iter().filter(|one| !one.contains("alert(")) {
        let page = format!("<!doctype html><title>Careless</title><main>{payload}</main>");
        site.page("/", &[], page);
        browser.goto(&site.at("/")).await;
        ran += usize::from(was_run(&browser).await);
    }
    assert!(ran >= 20, "{ran} ran");
}

#[tokio::test]
async fn h09_a11_what_a_provider_says_runs_nowhere_and_is_shown_nowhere() {
    let acme = Workspace::new("xss-provider").await;
    let connector = acme.connector("Files", &["read"]).await;
    let site = app_at_a_site(&acme, "app").await;
    let begin = async |_: &&str| -> Away {
        let jwt = acme.user("alice").await;
        let begin = json!({"connector_id": connector, "return_url": site.at("/return")});
        acme.follow(&acme.begin_as(&jwt, begin).await).await
    };
    let payloads = payloads();
    let flows = stream::iter(&payloads).map(begin).buffered(AT_ONCE);
    let flows: Vec<_> = flows.collect().await;

    let browser = Browser::start().await;
    let at = &STACK.public_url;
    for (number, (payload, away)) in payloads.iter().zip(&flows).enumerate() {
        let text = utf8_percent_encode(payload, NON_ALPHANUMERIC);
        let answer = format!("error={text}&error_description={text}&error_uri={text}");
        let callback = format!("{at}/oauth/callback/{connector}");
        // Of no flow: a page of ours, with our words.
        let (page, heading) = match number % 4 {
            0 => (format!("{callback}?state={text}&{answer}"), NOT_OURS),
            1 => (format!("{at}/oauth/finish?flow={text}&{answer}"), NOT_OURS),
            2 => (format!("{at}/oauth/confirm?code={text}"), NOT_OURS),
            // A slash, escaped or not, makes it another path, which is not ours.
            _ => {
                let one_segment = payload.replace('/', " ");
                let text = utf8_percent_encode(&one_segment, NON_ALPHANUMERIC);
                (format!("{at}/connect/{text}"), LINK_USED)
            }
        };
        browser.goto(&page).await;
        assert!(!was_run(&browser).await, "{payload} ran at {page}");
        assert_eq!(browser.text("body").await, heading, "{payload} at {page}");
        // Of a flow: the app is told in words of ours.
        browser.take_cookie(at, &away.cookie).await;
        let state = away.state();
        browser
            .goto(&format!("{callback}?state={state}&{answer}"))
            .await;
        assert!(!was_run(&browser).await, "{payload} ran at the app");
        let end = site.at("/return?status=failed&code=provider_refused");
        assert_eq!(browser.url().await.as_str(), end, "{payload}");
    }
    browser.broke_no_policy().await;
    assert_eq!(acme.redemptions().await, 0);
}

const NOT_OURS: &str = "This page cannot be used\nIt does not belong to a connect flow that is \
                        under way. Go back to the app and press Connect again.";
const LINK_USED: &str = "This link no longer works\nA connect link works once and for ten \
                         minutes. Go back to the app and press Connect again.";

/// The confirm page of a flow in which every name is this text: its address, and the cookie.
async fn asked(acme: &Workspace, site: &Site, app: &str, text: &str) -> (String, String) {
    let return_url = site.at("/return");
    let registration = json!({"name": text, "return_urls": [return_url], "completion": "screen"});
    acme.register(app, registration).await;
    let mut body = acme.connector_body(text, &["read"]);
    // A scope has no space, quote or backslash (RFC 6749 section 3.3).
    if text
        .chars()
        .all(|c| c.is_ascii_graphic() && !"\"\\".contains(c))
    {
        body["scopes"] = json!([text]);
    }
    let connector = acme.connector_of(body).await;
    let claims = json!({"workspace_id": acme.id, "app_id": app, "email": text});
    let jwt = acme.mint(json!({"sub": text, "claims": claims})).await;
    let begin = json!({"connector_id": connector, "return_url": return_url});
    let away = acme.follow(&acme.begin_as(&jwt, begin).await).await;
    let callback = consent(&away.authorize_url, &acme.account(app)).await;
    let back = acme.open(&callback, &[&away.cookie]).await.expect(303);
    see(&back.told()["code"]);
    (back.headers["location"].clone(), away.cookie)
}

#[tokio::test]
async fn h09_a29_names_with_markup_in_them_are_text_on_the_confirm_page() {
    let acme = Workspace::new("xss-names").await;
    let site = Site::start().await;
    let texts = [vec!["Plain"], payloads()].concat();
    let pages = stream::iter(texts.iter().enumerate())
        .map(async |(number, text)| asked(&acme, &site, &format!("app-{number}"), text).await);
    let pages: Vec<_> = pages.buffered(AT_ONCE).collect().await;

    let browser = Browser::start().await;
    let mut plain = None;
    for (text, (page, cookie)) in texts.iter().zip(&pages) {
        browser.take_cookie(&STACK.public_url, cookie).await;
        browser.goto(page).await;
        assert!(!was_run(&browser).await, "{text} ran");
        // The same page as for a plain name, with the text in its place.
        let elements = elements(&browser).await;
        assert_eq!(plain.get_or_insert(elements.clone()), &elements, "{text}");
        let rows = "return [...document.querySelectorAll('dd')].map((one) => one.textContent)";
        let rows = browser.run(rows, json!([])).await;
        assert_eq!((&rows[0], &rows[3]), (&json!(text), &json!(text)));
        let user = rows[1].as_str().expect("who started");
        assert!(user.ends_with(&format!("({text})")), "{user}");
    }
    browser.broke_no_policy().await;
}

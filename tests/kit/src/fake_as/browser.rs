//! A person with a browser at the consent page.

use http::{StatusCode, header};

use crate::loopback::client;

/// Opens `authorize_url`, consents as `account` and returns where the browser is sent, without
/// going there. An account that the server chooses by itself (`auto_approve`) wins.
///
/// # Panics
/// When the server shows a refusal instead of the consent page.
pub async fn consent(authorize_url: &str, account: &str) -> String {
    location(&decide(authorize_url, &connect(account)).await)
}

/// As [`consent`] at a server that was asked to answer with a form: where that posts to, and its
/// fields.
///
/// # Panics
/// When the server shows a refusal instead of either page.
pub async fn consent_by_form(
    authorize_url: &str,
    account: &str,
) -> (String, Vec<(String, String)>) {
    posted(decide(authorize_url, &connect(account)).await).await
}

/// As [`consent_by_form`], but presses Cancel.
///
/// # Panics
/// When the server shows a refusal instead of either page.
pub async fn deny_by_form(authorize_url: &str) -> (String, Vec<(String, String)>) {
    posted(decide(authorize_url, &[("decision", "cancel")]).await).await
}

/// As [`consent`], but presses Cancel.
///
/// # Panics
/// When the server shows a refusal instead of the consent page.
pub async fn deny(authorize_url: &str) -> String {
    location(&decide(authorize_url, &[("decision", "cancel")]).await)
}

fn connect(account: &str) -> [(&'static str, &str); 2] {
    [("decision", "connect"), ("account", account)]
}

async fn decide(authorize_url: &str, fields: &[(&str, &str)]) -> reqwest::Response {
    let client = client();
    let response = client
        .get(authorize_url)
        .send()
        .await
        .expect("the provider answers");
    if response.status() == StatusCode::SEE_OTHER {
        return response;
    }
    let status = response.status();
    let here = response.url().clone();
    let page = response.text().await.expect("the page is complete");
    assert_eq!(status, StatusCode::OK, "no consent page: {page}");

    let action = attribute(&page, "action=\"").expect("the page has a form");
    let ticket = attribute(&page, "name=\"request\" value=\"").expect("the form has a ticket");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("request", ticket)
        .extend_pairs(fields)
        .finish();
    let target = here.join(action).expect("the action is a path");
    let kind = "application/x-www-form-urlencoded";
    let request = client
        .post(target)
        .header(header::CONTENT_TYPE, kind)
        .body(form);
    request.send().await.expect("the provider answers")
}

fn location(response: &reqwest::Response) -> String {
    assert_eq!(
        response.status(),
        StatusCode::SEE_OTHER,
        "the decision was not accepted"
    );
    let location = response
        .headers()
        .get(header::LOCATION)
        .expect("a redirect says where to");
    location.to_str().expect("a location is ASCII").to_owned()
}

/// The form of an answer that is posted.
pub(crate) async fn posted(response: reqwest::Response) -> (String, Vec<(String, String)>) {
    let page = response.text().await.expect("the page is complete");
    let action = attribute(&page, "action=\"").expect("the page has a form");
    let fields = page.split("<input ").skip(1).map(|field| {
        let name = attribute(field, "name=\"").expect("a field has a name");
        let value = attribute(field, "value=\"").expect("a field has a value");
        (name.to_owned(), value.replace("&amp;", "&"))
    });
    (action.to_owned(), fields.collect())
}

/// The text between `before` and the next quote; the page is our own.
fn attribute<'a>(page: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(before)?;
    rest.split_once('"').map(|(value, _)| value)
}

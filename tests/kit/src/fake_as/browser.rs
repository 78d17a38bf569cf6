//! A person with a browser at the consent page.

use http::{StatusCode, header};

use crate::loopback::client;

/// Opens `authorize_url`, consents as `account` and returns where the browser is sent, without
/// going there. An account that the server chooses by itself (`auto_approve`) wins.
///
/// # Panics
/// When the server shows a refusal instead of the consent page.
pub async fn consent(authorize_url: &str, account: &str) -> String {
    decide(
        authorize_url,
        &[("decision", "connect"), ("account", account)],
    )
    .await
}

/// As [`consent`], but presses Cancel.
///
/// # Panics
/// When the server shows a refusal instead of the consent page.
pub async fn deny(authorize_url: &str) -> String {
    decide(authorize_url, &[("decision", "cancel")]).await
}

async fn decide(authorize_url: &str, fields: &[(&str, &str)]) -> String {
    let client = client();
    let response = client
        .get(authorize_url)
        .send()
        .await
        .expect("the provider answers");
    if response.status() == StatusCode::SEE_OTHER {
        return location(&response);
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
    let response = request.send().await.expect("the provider answers");
    assert_eq!(
        response.status(),
        StatusCode::SEE_OTHER,
        "the decision was not accepted"
    );
    location(&response)
}

fn location(response: &reqwest::Response) -> String {
    let location = response
        .headers()
        .get(header::LOCATION)
        .expect("a redirect says where to");
    location.to_str().expect("a location is ASCII").to_owned()
}

/// The text between `before` and the next quote; the page is our own.
fn attribute<'a>(page: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(before)?;
    rest.split_once('"').map(|(value, _)| value)
}

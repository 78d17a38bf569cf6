//! Stories of providers that send users back with a POST: `response_mode=form_post` (H-13).

use serde_json::json;
use testkit::fake_as::{consent_by_form, deny_by_form};

use crate::confirm::{csp_hash, html};
use crate::connect::state_of;
use crate::world::{API, Answer, Call, RETURN, World};

pub(crate) type Fields = Vec<(String, String)>;

/// A connector whose provider is asked to post.
async fn posting(world: &World) -> String {
    let mut body = world.connector_body(&["read"]);
    body["config"]["response_mode"] = json!("form_post");
    let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
    world.send(create).await.expect_status(201).text("id")
}

/// What the provider's page posts for Alice, and the cookie of her browser.
async fn consented(world: &World, connector: &str) -> (Fields, String) {
    let (authorize_url, cookie) = world.follow(&world.begin("alice", connector).await).await;
    let (action, fields) = consent_by_form(&authorize_url, "alice").await;
    assert_eq!(action, format!("{API}/oauth/callback/{connector}"));
    (fields, cookie)
}

fn post(connector: &str, fields: &[(String, String)]) -> Call {
    let fields = fields.iter();
    let fields: Vec<_> = fields.map(|(n, v)| (n.as_str(), v.as_str())).collect();
    Call::post(&format!("/oauth/callback/{connector}")).form(&fields)
}

/// The fields of the form on a page of ours, which goes back to where it came from.
pub(crate) fn bounced(page: &Answer, connector: &str) -> Fields {
    let action = format!("<form method=\"post\" action=\"/oauth/callback/{connector}\">");
    assert!(html(page).contains(&action), "{page:?}");
    let inputs = html(page).split("<input type=\"hidden\" name=\"").skip(1);
    let fields = inputs.map(|input| {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        let (value, _) = rest.split_once("\">").unwrap();
        assert!(!value.contains(['<', '>', '"', '\'']), "{value}");
        (name.to_owned(), value.to_owned())
    });
    fields.collect()
}

#[tokio::test]
async fn h13_a_posted_answer_is_bounced_and_then_accepted_once() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (authorize_url, _) = world.follow(&world.begin("alice", &connector).await).await;
    assert!(authorize_url.contains("response_mode=form_post"));
    let (fields, cookie) = consented(&world, &connector).await;
    // From the provider's site: no cookie comes with it.
    let cross_site = post(&connector, &fields).header("sec-fetch-site", "cross-site");
    let page = world.send(cross_site).await.expect_status(200);
    let again = bounced(&page, &connector);
    let ours = || {
        let ours = post(&connector, &again).cookie(&cookie);
        ours.header("sec-fetch-site", "same-origin")
    };
    let back = world.send(ours()).await.expect_status(303);
    let params = back.location_params();
    assert_eq!(params["status"], "authorized");
    assert!(back.location().starts_with(RETURN));
    assert!(back.cookies[0].contains("Max-Age=0"));
    world.send(ours()).await.expect_status(409);
    world
        .complete("alice", &params["code"])
        .await
        .expect_status(200);
}

#[tokio::test]
async fn h13_a_post_that_was_not_bounced_never_goes_through() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (fields, cookie) = consented(&world, &connector).await;
    for site in ["same-origin", "cross-site", "none"] {
        let direct = post(&connector, &fields).cookie(&cookie);
        let direct = direct.header("sec-fetch-site", site);
        let page = world.send(direct).await.expect_status(200);
        assert!(!page.headers.contains_key("location"));
    }
    // Nothing has moved: the way round by the page is still open.
    let page = world.send(post(&connector, &fields)).await;
    let ours = post(&connector, &bounced(&page, &connector)).cookie(&cookie);
    world.send(ours).await.expect_status(303);
}

#[tokio::test]
async fn h13_a_marked_post_needs_the_cookie_and_our_own_site() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (fields, cookie) = consented(&world, &connector).await;
    let (_, other) = world.follow(&world.begin("alice", &connector).await).await;
    let page = world.send(post(&connector, &fields)).await;
    let again = bounced(&page, &connector);
    for forged in [
        post(&connector, &again),
        post(&connector, &again).cookie(&other),
        post(&connector, &again)
            .cookie(&cookie)
            .header("sec-fetch-site", "cross-site"),
        post(&connector, &again)
            .cookie(&cookie)
            .header("sec-fetch-site", "same-site"),
    ] {
        world.send(forged).await.expect_status(403);
    }
    let ours = post(&connector, &again).cookie(&cookie);
    world.send(ours).await.expect_status(303);
}

#[tokio::test]
async fn h13_a_code_comes_in_the_way_that_was_asked_for_and_in_no_other() {
    let world = World::start().await;
    let (posting, plain) = (posting(&world).await, world.connector(&["read"]).await);
    let (fields, cookie) = consented(&world, &posting).await;
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&fields)
        .finish();
    let by_query = format!("/oauth/callback/{posting}?{query}");
    world
        .send(Call::get(&by_query).cookie(&cookie))
        .await
        .expect_status(400);

    let (authorize_url, cookie) = world.follow(&world.begin("alice", &plain).await).await;
    assert!(!authorize_url.contains("response_mode"));
    let callback = world.consent(&authorize_url, "alice").await;
    let (_, query) = callback.split_once('?').unwrap();
    let mut fields: Fields = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    for _ in 0..2 {
        let by_form = post(&plain, &fields).cookie(&cookie);
        world.send(by_form).await.expect_status(400);
        fields.push(("bounced".into(), "1".into()));
    }
    world
        .send(Call::get(&callback).cookie(&cookie))
        .await
        .expect_status(303);
}

#[tokio::test]
async fn h13_a_provider_that_does_not_know_the_mode_may_say_so_in_the_query() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let state = state_of(&authorize_url);
    let error = format!("/oauth/callback/{connector}?state={state}&error=invalid_request");
    let back = world.send(Call::get(&error).cookie(&cookie)).await;
    assert_eq!(back.location_params()["code"], "provider_refused");
}

#[tokio::test]
async fn h13_c1_a_posted_refusal_comes_back_as_denied() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (authorize_url, cookie) = world.follow(&world.begin("alice", &connector).await).await;
    let (_, fields) = deny_by_form(&authorize_url).await;
    let page = world.send(post(&connector, &fields)).await;
    let ours = post(&connector, &bounced(&page, &connector)).cookie(&cookie);
    let back = world.send(ours).await.expect_status(303);
    assert_eq!(
        back.location(),
        format!("{RETURN}?status=denied&code=access_denied")
    );
}

#[tokio::test]
async fn h09_the_bounce_page_passes_on_four_fields_escaped_and_runs_one_script() {
    let world = World::start().await;
    let connector = posting(&world).await;
    let (authorize_url, _) = world.follow(&world.begin("alice", &connector).await).await;
    let evil = "\"><script>alert('x')</script>&";
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = [
        field("state", &state_of(&authorize_url)),
        field("code", evil),
        field("iss", evil),
        field("error", evil),
        field("error_description", evil),
        field("user", evil),
        field(evil, evil),
    ];
    let page = world.send(post(&connector, &fields)).await;
    let page = page.expect_status(200);
    let passed_on = bounced(&page, &connector);
    let names: Vec<_> = passed_on.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["state", "code", "iss", "error", "bounced"]);
    let escaped = "&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;&#38;";
    assert_eq!(passed_on[1].1, escaped);
    assert_eq!(html(&page).matches("<script").count(), 1);
    let between = |tag: &str| {
        let (_, rest) = html(&page).split_once(&format!("<{tag}>")).unwrap();
        rest.split_once(&format!("</{tag}>")).unwrap().0.to_owned()
    };
    let expected = format!(
        "default-src 'none'; style-src {}; script-src {}; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'self' https://shop.example",
        csp_hash(&between("style")),
        csp_hash(&between("script"))
    );
    assert_eq!(page.headers["content-security-policy"], expected);
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
}

#[tokio::test]
async fn h12_a24_a_posted_answer_with_tokens_or_anything_twice_is_refused() {
    let world = World::start().await;
    let (connector, other) = (posting(&world).await, posting(&world).await);
    let (fields, cookie) = consented(&world, &connector).await;
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for extra in [
        field("access_token", "x"),
        field("id_token", "x"),
        field("code", "x"),
        field("state", "x"),
        field("padding", &"x".repeat(70_000)),
    ] {
        let more = [fields.clone(), vec![extra]].concat();
        let marked = [more.clone(), vec![field("bounced", "1")]].concat();
        for fields in [more, marked] {
            let refused = post(&connector, &fields).cookie(&cookie);
            world.send(refused).await.expect_status(400);
        }
    }
    let elsewhere = post(&other, &fields).cookie(&cookie);
    world.send(elsewhere).await.expect_status(400);
    assert_eq!(world.provider.counters().total.token, 0);
}

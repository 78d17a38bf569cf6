//! The exchange that follows a code's, at providers whose codes bring tokens of an hour.

use super::*;

fn with_after_code(provider: &mut Provider, method: Method, auth: RequestAuth) {
    let url = provider.token.url.join("/long").unwrap();
    provider.after_code = Some(GrantRequest {
        url,
        method,
        grant_type: "x_long".into(),
        token_param: "access_token".into(),
        auth,
        body: BodyEncoding::Form,
        params: [("v".to_owned(), "1".to_owned())].into(),
        token_path: String::new(),
    });
}

async fn redeem(provider: &Provider) -> Result<TokenAnswer, TokenFailure> {
    api().exchange(provider, &client(), &grant()).await
}

#[tokio::test]
async fn what_a_code_brought_is_exchanged_before_anybody_sees_it() {
    let short = Reply::json(
        200,
        r#"{"access_token":"short","user_id":7,"permissions":["a","b"]}"#,
    );
    let long = Reply::json(200, r#"{"access_token":"long","expires_in":5184000}"#);
    let (server, mut provider) = serving(vec![short, long]).await;
    with_after_code(&mut provider, Method::Get, RequestAuth::Query);
    provider.token.scope_path = Some("/permissions".into());
    provider.captured = [("user_id".to_owned(), "/user_id".to_owned())].into();
    provider.identity = Some(Identity {
        id_token: false,
        url: None,
        json: None,
        id: "/user_id".into(),
        label: None,
    });
    let answer = redeem(&provider).await.unwrap();
    assert_eq!(answer.access_token.expose(), "long");
    assert_eq!(answer.lifetime, Some(Duration::from_secs(5_184_000)));
    // What only the first of the two answers tells is kept.
    assert_eq!(answer.scopes.unwrap().join(" "), "a b");
    assert_eq!(answer.connection_config["user_id"], "7");
    assert_eq!(answer.account.unwrap().id, "7");
    let asked = "GET /long?grant_type=x_long&access_token=short&v=1\
        &client_id=client%3A1&client_secret=s3cret%2B%26";
    assert_eq!(lines(&server), ["POST /token", asked]);
}

/// A code is spent once, whatever comes of the second request.
#[tokio::test]
async fn b11_a_code_is_not_sent_again_when_the_exchange_after_it_fails() {
    for (reply, expected) in [
        (
            Reply::json(401, r#"{"error":"invalid_client"}"#),
            TokenFailure::ClientRefused,
        ),
        (Reply::status(500, "", ""), TokenFailure::OutcomeUnknown),
        (Reply::json(200, "{}"), TokenFailure::OutcomeUnknown),
    ] {
        let (server, mut provider) = serving(vec![success(), reply]).await;
        with_after_code(&mut provider, Method::Post, RequestAuth::Post);
        let two_secrets = ClientCredentials {
            previous_secret: Some(Secret::new("older")),
            ..client()
        };
        let failure = api().exchange(&provider, &two_secrets, &grant()).await;
        assert_eq!(failure.unwrap_err(), expected);
        assert_eq!(lines(&server), ["POST /token", "POST /long"]);
    }
    // Where the code was refused nothing follows.
    let (server, mut provider) =
        serving(vec![Reply::json(400, r#"{"error":"invalid_grant"}"#)]).await;
    with_after_code(&mut provider, Method::Post, RequestAuth::None);
    assert_eq!(
        redeem(&provider).await.unwrap_err(),
        TokenFailure::GrantRefused
    );
    assert_eq!(lines(&server), ["POST /token"]);
}

//! A client whose secret is being replaced.

use std::sync::Mutex;

use super::*;

fn rotating() -> ClientCredentials {
    ClientCredentials {
        previous_secret: Some(Secret::new("the-old-one")),
        ..client()
    }
}

fn refused() -> Reply {
    Reply::json(401, r#"{"error":"invalid_client"}"#)
}

async fn refresh(provider: &Provider) -> Result<TokenAnswer, TokenFailure> {
    let token = Secret::new("rt0");
    api().refresh(provider, &rotating(), &token).await
}

fn secrets(server: &TestServer) -> Vec<Option<String>> {
    let received = server.received();
    let secrets = received.iter().map(|request| request.form("client_secret"));
    secrets.collect()
}

fn some(secrets: &[&str]) -> Vec<Option<String>> {
    let secrets = secrets.iter();
    secrets.map(|secret| Some((*secret).to_owned())).collect()
}

#[tokio::test]
async fn a_refused_secret_is_followed_by_the_previous_one_once() {
    let (server, provider) = serving(vec![refused(), success(), refused(), success()]).await;
    let answer = refresh(&provider).await.unwrap();
    assert!(answer.by_previous_secret);
    let redeemed = api().exchange(&provider, &rotating(), &grant()).await;
    assert!(redeemed.unwrap().by_previous_secret);
    let both = ["s3cret+&", "the-old-one"].repeat(2);
    assert_eq!(secrets(&server), some(&both));

    let (server, provider) = serving(vec![refused(), refused()]).await;
    assert_eq!(
        refresh(&provider).await.unwrap_err(),
        TokenFailure::ClientRefused
    );
    assert_eq!(secrets(&server).len(), 2);
}

#[tokio::test]
async fn whatever_else_is_answered_is_asked_once() {
    for reply in [
        success(),
        Reply::json(400, r#"{"error":"invalid_grant"}"#),
        Reply::json(400, r#"{"error":"invalid_request"}"#),
        Reply::json(503, r#"{"error":"temporarily_unavailable"}"#),
        Reply::status(200, "", "what"),
        Reply::status(401, "", ""),
    ] {
        let (server, provider) = serving(vec![reply, success()]).await;
        let answer = refresh(&provider).await;
        let by_previous = answer.is_ok_and(|answer| answer.by_previous_secret);
        assert!(!by_previous);
        assert_eq!(secrets(&server), some(&["s3cret+&"]));
    }
}

#[tokio::test]
async fn a_revocation_is_asked_for_with_the_previous_secret_where_the_current_one_is_refused() {
    let revoke = async |replies: Vec<Reply>| {
        let (server, provider) = serving(replies).await;
        let tokens = TokenSet {
            access_token: Secret::new("at0"),
            refresh_token: Some(Secret::new("rt0")),
            connection_config: BTreeMap::new(),
        };
        let answer = api().revoke(&provider, &rotating(), &tokens).await;
        (answer, secrets(&server))
    };
    let gone = || Reply::status(200, "", "");
    for refusal in [refused(), Reply::status(401, "", "")] {
        let (answer, sent) = revoke(vec![refusal, gone()]).await;
        assert_eq!(answer, RevocationAnswer::Revoked);
        assert_eq!(sent, some(&["s3cret+&", "the-old-one"]));
    }
    let later = RevocationAnswer::TryLater { after: None };
    let (answer, sent) = revoke(vec![refused(), refused()]).await;
    assert_eq!((answer, sent.len()), (later, 2));
    for other in [gone(), Reply::status(503, "", "")] {
        let (_, sent) = revoke(vec![other, gone()]).await;
        assert_eq!(sent, some(&["s3cret+&"]));
    }
}

/// The second answer is what counts: it is the one that was authenticated.
#[tokio::test]
async fn what_the_previous_secret_is_answered_is_the_outcome() {
    let dead = Reply::json(400, r#"{"error":"invalid_grant"}"#);
    let (_, provider) = serving(vec![refused(), dead]).await;
    assert_eq!(
        refresh(&provider).await.unwrap_err(),
        TokenFailure::GrantRefused
    );
}

/// Shows a later time with every look.
struct Hasty(Mutex<Duration>);

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Stopped.now()
    }

    fn monotonic(&self) -> Duration {
        let mut at = self.0.lock().unwrap();
        *at += Duration::from_secs(7);
        *at
    }

    async fn sleep(&self, _: Duration) {}

    fn is_trusted(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn b2_both_requests_have_the_time_of_one() {
    let (server, provider) = serving(vec![refused(), success()]).await;
    let http = HttpClient::new(AddressRules::LocalToo);
    let api = HttpProviderApi::new(http, Arc::new(Hasty(Mutex::default())), Arc::new(Sevens));
    let answer = api
        .refresh(&provider, &rotating(), &Secret::new("rt0"))
        .await;
    assert_eq!(answer.unwrap_err(), TokenFailure::ClientRefused);
    assert_eq!(server.received().len(), 1, "one second is left");
}

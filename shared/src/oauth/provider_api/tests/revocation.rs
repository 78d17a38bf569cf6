use super::*;
use crate::domain::provider::{RevocationAuth, TokenCarrier};

fn tokens(refresh: Option<&str>) -> TokenSet {
    TokenSet {
        access_token: Secret::new("at0"),
        refresh_token: refresh.map(Secret::new),
        connection_config: BTreeMap::new(),
    }
}

async fn revoked(provider: &Provider, refresh: Option<&str>) -> RevocationAnswer {
    api().revoke(provider, &client(), &tokens(refresh)).await
}

/// A token that is the request's own authorization.
fn bearer(provider: &mut Provider) {
    let revocation = provider.revocation.as_mut().unwrap();
    revocation.send = TokenCarrier::Bearer;
    revocation.auth = RevocationAuth::None;
    revocation.token = RevokedToken::Access;
    (revocation.either, revocation.hint) = (false, false);
}

const LATER: RevocationAnswer = RevocationAnswer::TryLater { after: None };

#[tokio::test]
async fn k1_a_revoked_refresh_token_takes_the_grant_with_it() {
    let (server, provider) = serving(vec![Reply::status(200, "", "")]).await;
    assert_eq!(
        revoked(&provider, Some("rt0")).await,
        RevocationAnswer::Revoked
    );
    assert_eq!(revoked(&provider, None).await, RevocationAnswer::Revoked);
    let tokens: Vec<_> = server
        .received()
        .iter()
        .map(|request| request.form("token"))
        .collect();
    assert_eq!(
        tokens,
        [Some("rt0".into()), Some("at0".into())],
        "the other where one is missing"
    );
}

#[tokio::test]
async fn k5_an_unsupported_token_type_makes_it_try_the_other_token_once() {
    let unsupported = || Reply::json(400, r#"{"error":"unsupported_token_type"}"#);
    let (server, provider) = serving(vec![unsupported(), Reply::status(200, "", "")]).await;
    assert_eq!(
        revoked(&provider, Some("rt0")).await,
        RevocationAnswer::Revoked
    );
    let hints: Vec<_> = server
        .received()
        .iter()
        .filter_map(|request| request.form("token_type_hint"))
        .collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);

    let (server, provider) = serving(vec![unsupported()]).await;
    assert_eq!(
        revoked(&provider, Some("rt0")).await,
        RevocationAnswer::Unsupported
    );
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn k4_an_endpoint_that_is_down_is_asked_again_later() {
    let busy = Reply::status(503, "retry-after: 7\r\n", "");
    for (reply, after) in [(busy, Some(7)), (Reply::Bytes(Vec::new()), None)] {
        let (server, provider) = serving(vec![reply]).await;
        let after = after.map(Duration::from_secs);
        assert_eq!(
            revoked(&provider, Some("rt0")).await,
            RevocationAnswer::TryLater { after }
        );
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn k6_a_provider_without_revocation_is_not_called() {
    let (server, mut provider) = serving(vec![success()]).await;
    let revocation = provider.revocation.as_mut().unwrap();
    (revocation.send, revocation.method) = (TokenCarrier::Path, Method::Delete);
    revocation.either = false;
    let answer = revoked(&provider, None).await;
    assert_eq!(
        answer,
        RevocationAnswer::Unsupported,
        "there is no refresh token to delete"
    );
    provider.revocation = None;
    assert_eq!(
        revoked(&provider, Some("rt0")).await,
        RevocationAnswer::Unsupported
    );
    assert_eq!(server.connections(), 0);
}

/// Disconnects mostly come when nobody has used the connection for a while.
#[tokio::test]
async fn an_expired_access_token_is_renewed_to_end_its_grant() {
    let expired = || Reply::json(401, r#"{"error":{".tag":"expired_access_token"}}"#);
    for (replies, expected, requests) in [
        (
            vec![expired(), success(), Reply::json(200, "null")],
            RevocationAnswer::Revoked,
            3,
        ),
        (
            vec![expired(), success(), expired()],
            RevocationAnswer::Revoked,
            3,
        ),
        (
            vec![expired(), success(), Reply::status(503, "", "")],
            LATER,
            3,
        ),
        (
            vec![expired(), Reply::json(400, r#"{"error":"invalid_grant"}"#)],
            RevocationAnswer::Revoked,
            2,
        ),
        (
            vec![expired(), Reply::json(400, r#"{"error":"invalid_client"}"#)],
            LATER,
            2,
        ),
        (vec![expired(), Reply::status(500, "", "")], LATER, 2),
    ] {
        let (server, mut provider) = serving(replies).await;
        bearer(&mut provider);
        assert_eq!(revoked(&provider, Some("rt0")).await, expected);
        let sent = server.received();
        assert_eq!(sent.len(), requests);
        assert_eq!(sent[0].header("authorization"), Some("Bearer at0"));
        assert_eq!(sent[1].form("refresh_token").as_deref(), Some("rt0"));
        if let Some(last) = sent.get(2) {
            assert_eq!(last.header("authorization"), Some("Bearer at1"));
        }
    }
}

#[tokio::test]
async fn an_unknown_access_token_without_a_refresh_token_is_the_end_of_the_grant() {
    let (server, mut provider) = serving(vec![Reply::status(404, "", "")]).await;
    let revocation = provider.revocation.as_mut().unwrap();
    (revocation.send, revocation.method) = (TokenCarrier::Json, Method::Delete);
    (revocation.token, revocation.either) = (RevokedToken::Access, false);
    assert_eq!(revoked(&provider, None).await, RevocationAnswer::Revoked);
    assert_eq!(lines(&server), ["DELETE /revoke"]);
}

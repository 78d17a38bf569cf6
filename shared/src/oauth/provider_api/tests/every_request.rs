//! Facts about every request that is ever made: none is sent on to where a redirect points, and
//! the client's secret goes where it belongs.

use http::Uri;

use super::*;
use crate::domain::provider::{RevocationAuth, TokenCarrier};

/// Every way of carrying a token, with a method and each client authentication that goes with it.
const REVOCATIONS: [(TokenCarrier, Method, RevocationAuth); 15] = {
    use RevocationAuth as Auth;
    use TokenCarrier::{Bearer, Form, Json, Path, Query};
    [
        (Form, Method::Post, Auth::Post),
        (Form, Method::Post, Auth::Basic),
        (Form, Method::Post, Auth::None),
        (Form, Method::Post, Auth::ClientHeader),
        (Form, Method::Delete, Auth::Basic),
        (Json, Method::Post, Auth::Post),
        (Json, Method::Post, Auth::Basic),
        (Json, Method::Delete, Auth::Basic),
        (Bearer, Method::Post, Auth::None),
        (Bearer, Method::Delete, Auth::None),
        (Path, Method::Delete, Auth::None),
        (Path, Method::Post, Auth::Basic),
        (Query, Method::Get, Auth::None),
        (Query, Method::Post, Auth::Post),
        (Query, Method::Delete, Auth::ClientHeader),
    ]
};

const AUTHS: [ClientAuth; 3] = [ClientAuth::Post, ClientAuth::Basic, ClientAuth::SecretBasic];

/// One request that a provider is sent, with everything that profiles may vary.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Code(ClientAuth, BodyEncoding),
    Refresh(ClientAuth, BodyEncoding),
    Exchange(Method),
    Account,
    Revocation((TokenCarrier, Method, RevocationAuth), RevokedToken),
}

impl Asked {
    fn every() -> Vec<Self> {
        let mut all = vec![
            Self::Exchange(Method::Post),
            Self::Exchange(Method::Get),
            Self::Account,
        ];
        for auth in AUTHS {
            for body in [BodyEncoding::Form, BodyEncoding::Json] {
                all.extend([Self::Code(auth, body), Self::Refresh(auth, body)]);
            }
        }
        for way in REVOCATIONS {
            let tokens = [RevokedToken::Access, RevokedToken::Refresh];
            all.extend(tokens.map(|token| Self::Revocation(way, token)));
        }
        all
    }

    /// Whether the client authenticates itself with this request.
    fn shows_the_secret(self) -> bool {
        match self {
            Self::Code(..) | Self::Refresh(..) | Self::Exchange(Method::Post) => true,
            Self::Exchange(_) | Self::Account => false,
            Self::Revocation((_, _, auth), _) => auth != RevocationAuth::None,
        }
    }

    /// Sends it to the provider at `server`; answers the failure of a token request.
    async fn send(self, server: &TestServer) -> Option<TokenFailure> {
        let mut provider = provider(server);
        let revocation = provider.revocation.as_mut().unwrap();
        revocation.url = server.url("/revoke/{client_id}/{token}");
        if let Self::Revocation((send, method, auth), token) = self {
            (revocation.send, revocation.method, revocation.auth) = (send, method, auth);
            (revocation.token, revocation.hint) = (token, false);
            if send != TokenCarrier::Path {
                revocation.url = server.url("/revoke/{client_id}");
            }
        }
        if let Self::Code(auth, body) | Self::Refresh(auth, body) = self {
            (provider.token.auth, provider.token.body) = (auth, body);
        }
        if let Self::Exchange(method) = self {
            provider.refresh.request = Some(GrantRequest {
                url: server.url("/renew").parse().unwrap(),
                method,
                grant_type: "x_exchange".into(),
                token_param: "x_token".into(),
                auth: match method {
                    Method::Get => RequestAuth::None,
                    Method::Post | Method::Delete => RequestAuth::Post,
                },
                body: BodyEncoding::Form,
                params: BTreeMap::new(),
                token_path: String::new(),
            });
        }
        match self {
            Self::Code(..) => {
                let answer = api().exchange(&provider, &client(), &grant()).await;
                answer.err()
            }
            Self::Refresh(..) | Self::Exchange(_) => refresh(&provider).await.err(),
            Self::Account => {
                let account = api().account(&provider, &Secret::new("at0")).await;
                assert!(account.is_none());
                None
            }
            Self::Revocation(..) => {
                let tokens = TokenSet {
                    access_token: Secret::new("at0"),
                    refresh_token: Some(Secret::new("rt0")),
                    connection_config: BTreeMap::new(),
                };
                api().revoke(&provider, &client(), &tokens).await;
                None
            }
        }
    }
}

#[tokio::test]
async fn h33_a13_no_request_of_any_kind_goes_where_a_redirect_points() {
    let elsewhere = TestServer::start(vec![success()]).await;
    for status in [301, 302, 303, 307, 308] {
        for to in [elsewhere.url("/token"), "/elsewhere".into()] {
            let location = format!("location: {to}\r\n");
            for asked in Asked::every() {
                let reply = Reply::status(status, &location, "");
                let server = TestServer::start(vec![reply]).await;
                let failure = asked.send(&server).await;
                let is_token_request = !matches!(asked, Asked::Account | Asked::Revocation(..));
                let expected = is_token_request.then_some(TokenFailure::Redirected);
                assert_eq!(failure, expected, "{status} {asked:?}");
                assert_eq!(server.connections(), 1, "{status} {asked:?}");
                assert!(!lines(&server)[0].contains("elsewhere"), "{asked:?}");
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

/// Every way in which the secret `s3cret+&` could be written in a request.
fn written_secrets() -> [String; 5] {
    let basic = |text: &str| BASE64_STANDARD.encode(text);
    [
        "s3cret".into(),
        "client_secret".into(),
        basic("client%3A1:s3cret%2B%26"),
        basic("s3cret+&"),
        basic("s3cret+&:"),
    ]
}

#[tokio::test]
async fn h37_the_client_secret_goes_where_the_client_authenticates_and_into_no_url() {
    for asked in Asked::every() {
        let server = TestServer::start(vec![Reply::json(400, "{}")]).await;
        asked.send(&server).await;
        let requests = server.received();
        assert!(!requests.is_empty(), "{asked:?}");
        for request in requests {
            let written = |text: &str| written_secrets().iter().any(|it| text.contains(it));
            let whole = format!("{}\n{}", request.head, request.body);
            assert_eq!(
                written(&whole),
                asked.shows_the_secret(),
                "{asked:?}: {whole}"
            );
            assert!(!written(request.line()), "{asked:?}: {}", request.line());
            let target: Uri = request.line().split(' ').nth(1).unwrap().parse().unwrap();
            let at = match asked {
                Asked::Code(..) | Asked::Refresh(..) => "/token",
                Asked::Exchange(_) => "/renew",
                Asked::Account => "/me",
                Asked::Revocation(..) => "/revoke/",
            };
            assert!(target.path().starts_with(at), "{asked:?}: {target}");
        }
    }
}

/// H-34: what an answer calls itself is not believed, and what it holds is read strictly.
#[tokio::test]
async fn h34_a_content_type_changes_nothing() {
    let body = r#"{"access_token":"at1","token_type":"Bearer"}"#;
    for kind in [
        "application/json",
        "text/html",
        "text/plain",
        "image/png",
        "nonsense",
    ] {
        let header = format!("content-type: {kind}\r\n");
        let (_server, provider) = serving(vec![Reply::status(200, &header, body)]).await;
        let answer = refresh(&provider).await.expect(kind);
        assert_eq!(answer.access_token.expose(), "at1");
        for broken in [
            format!("{body}x"),
            format!("{body}{body}"),
            body[1..].into(),
        ] {
            let (_server, provider) = serving(vec![Reply::status(200, &header, &broken)]).await;
            let failure = refresh(&provider).await.unwrap_err();
            assert_eq!(failure, TokenFailure::OutcomeUnknown, "{broken}");
        }
    }
}

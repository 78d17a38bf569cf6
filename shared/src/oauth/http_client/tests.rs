use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use http::Method;
use reqwest::dns::Resolve as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::testserver::{Reply, TestServer};
use super::*;

mod hostile;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

fn local() -> HttpClient {
    HttpClient::new(AddressRules::LocalToo)
}

fn get(url: &str) -> Request<Vec<u8>> {
    Request::get(url).body(Vec::new()).unwrap()
}

async fn outcome(client: &HttpClient, url: &str) -> Result<u16, SendError> {
    let answer = client.send(get(url), LONG).await?;
    Ok(answer.status().as_u16())
}

/// Answers what it is told, one list of addresses a call; then nothing, ever.
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let next = self.0.lock().unwrap().pop_front();
        match next {
            Some(addresses) if addresses.is_empty() => Err(std::io::Error::other("no such name")),
            Some(addresses) => Ok(addresses),
            None => std::future::pending().await,
        }
    }
}

fn with_resolver(rules: AddressRules, resolver: Arc<Scripted>) -> HttpClient {
    let limits = Limits {
        connect: SHORT,
        ..LIMITS
    };
    HttpClient::assemble(rules, resolver, tls(), limits)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_says_who_sends_it() {
    let server = TestServer::start(vec![Reply::status(201, "x-a: b\r\n", "done")]).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri(server.url("/token?a=b"))
        .header("content-type", "text/plain")
        .body(b"hello".to_vec())
        .unwrap();
    let answer = local().send(request, LONG).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_slice()),
        (201, &b"done"[..])
    );
    assert_eq!(answer.headers()["x-a"], "b");
    let received = &server.received()[0];
    assert_eq!(received.line(), "POST /token?a=b");
    assert_eq!(received.body, "hello");
    let agent = received.header("user-agent").unwrap();
    assert!(agent.starts_with("grantry/"), "{agent}");
    for absent in ["accept-encoding", "cookie", "referer", "authorization"] {
        assert_eq!(received.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn nothing_is_remembered_between_two_requests() {
    let reply = Reply::status(200, "set-cookie: a=b; Path=/\r\n", "");
    let server = TestServer::start(vec![reply]).await;
    let client = local();
    for _ in 0..2 {
        outcome(&client, &server.url("/")).await.unwrap();
    }
    assert_eq!(
        server.connections(),
        2,
        "a frozen Lambda must not find a dead connection"
    );
    assert_eq!(server.received()[1].header("cookie"), None);
}

/// H-33, F17.
#[tokio::test]
async fn h33_no_redirect_is_followed() {
    let elsewhere = TestServer::start(vec![Reply::status(200, "", "")]).await;
    for status in [301, 302, 303, 307, 308] {
        for target in [elsewhere.url("/"), "/again".into()] {
            let reply = Reply::status(status, &format!("location: {target}\r\n"), "");
            let server = TestServer::start(vec![reply]).await;
            assert_eq!(outcome(&local(), &server.url("/")).await.unwrap(), status);
            assert_eq!(server.connections(), 1);
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

/// H-34, F16.
#[tokio::test]
async fn h34_a_body_is_taken_up_to_64_kib() {
    let full = "x".repeat(LIMITS.body);
    let server = TestServer::start(vec![Reply::status(200, "", &full)]).await;
    assert_eq!(outcome(&local(), &server.url("/")).await.unwrap(), 200);

    let endless = |head: &str, chunk: &str| {
        Reply::Endless(
            format!("HTTP/1.1 200 X\r\n{head}\r\n").into_bytes(),
            chunk.as_bytes().to_vec(),
        )
    };
    for reply in [
        Reply::status(200, "", &format!("{full}x")),
        endless("content-length: 104857600\r\n", &full),
        endless("transfer-encoding: chunked\r\n", "1\r\nx\r\n"),
        endless("", &full),
    ] {
        let server = TestServer::start(vec![reply]).await;
        let error = outcome(&local(), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, SendError::TooLarge), "{error:?}");
    }
}

#[tokio::test]
async fn h34_headers_are_taken_up_to_16_kib() {
    let headers = format!("x-long: {}\r\n", "x".repeat(LIMITS.headers));
    let server = TestServer::start(vec![Reply::status(200, &headers, "")]).await;
    let error = outcome(&local(), &server.url("/")).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge), "{error:?}");

    let endless = Reply::Endless(b"HTTP/1.1 200 X\r\n".to_vec(), b"a: b\r\n".to_vec());
    let server = TestServer::start(vec![endless]).await;
    let error = outcome(&local(), &server.url("/")).await.unwrap_err();
    assert!(matches!(error, SendError::Lost(_)), "{error:?}");
}

/// H-34, F14.
#[tokio::test]
async fn h34_an_answer_that_never_ends_is_given_up_wherever_it_stops() {
    for start in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let server = TestServer::start(vec![Reply::Hang(start.into())]).await;
        let error = local()
            .send(get(&server.url("/")), SHORT)
            .await
            .unwrap_err();
        assert!(matches!(error, SendError::TimedOut), "{start:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_lost_and_the_request_is_not_repeated() {
    for answer in [
        "",
        "HTTP/1.1 200 X\r\ncontent-le",
        "HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nhalf",
        "SMTP ready",
    ] {
        let server = TestServer::start(vec![Reply::Bytes(answer.into())]).await;
        let error = outcome(&local(), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, SendError::Lost(_)), "{answer:?}: {error:?}");
        assert_eq!(server.received().len(), 1, "{answer:?}");
    }
}

/// F13.
#[tokio::test]
async fn f13_what_fails_before_sending_is_told_apart() {
    let closed = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = outcome(&local(), &format!("http://127.0.0.1:{closed}/secret-path")).await;
    let unknown_name = with_resolver(AddressRules::PublicHttps, Scripted::new(&[&[]]));
    let silent_dns = with_resolver(AddressRules::PublicHttps, Scripted::new(&[]));
    for error in [
        refused.unwrap_err(),
        outcome(&unknown_name, "https://a.example/secret-path")
            .await
            .unwrap_err(),
        outcome(&silent_dns, "https://a.example/secret-path")
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
        let shown = format!("{error:?} {error}");
        assert!(
            !shown.contains("secret-path"),
            "a URL may hold a token: {shown}"
        );
    }
}

/// H-31, A-13: the socket count is what proves it.
#[tokio::test]
async fn h31_a_name_with_one_private_address_is_never_connected_to() {
    let server = TestServer::start(vec![Reply::status(200, "", "")]).await;
    for addresses in [
        &["127.0.0.1"][..],
        &["93.184.215.14", "127.0.0.1"],
        &["127.0.0.1", "93.184.215.14"],
        &["::ffff:127.0.0.1"],
        &["::7f00:1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["0.0.0.0"],
        &["2606:4700::1111", "fd00:ec2::254"],
        &["169.254.169.254"],
    ] {
        let client = with_resolver(AddressRules::PublicHttps, Scripted::new(&[addresses]));
        let url = format!("https://evil.example:{}/", server.port);
        let error = outcome(&client, &url).await.unwrap_err();
        assert!(
            matches!(error, SendError::AddressRefused),
            "{addresses:?}: {error:?}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn h31_a_name_that_becomes_private_is_refused_the_second_time() {
    let guard = Guard {
        resolver: Scripted::new(&[&["93.184.215.14"], &["10.0.0.1"]]),
        rules: AddressRules::PublicHttps,
    };
    let resolve = || guard.resolve("rebind.example".parse().unwrap());
    let first: Vec<IpAddr> = resolve().await.unwrap().map(|at| at.ip()).collect();
    assert_eq!(first, ["93.184.215.14".parse::<IpAddr>().unwrap()]);
    let second = resolve().await.err().unwrap();
    assert!(second.is::<AddressRefused>());
}

#[tokio::test]
async fn h31_h32_literal_addresses_are_refused_before_connecting() {
    let server = TestServer::start(vec![Reply::status(200, "", "")]).await;
    let client = HttpClient::new(AddressRules::PublicHttps);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "localhost.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "user@127.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", server.port);
            let error = outcome(&client, &url).await.unwrap_err();
            assert!(
                matches!(error, SendError::AddressRefused),
                "{url}: {error:?}"
            );
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_local_stack_reaches_localhost_without_asking_dns() {
    let server = TestServer::start(vec![Reply::status(200, "", "")]).await;
    let client = with_resolver(AddressRules::LocalToo, Scripted::new(&[]));
    for host in ["localhost", "demo.localhost"] {
        let url = format!("http://{host}:{}/", server.port);
        assert_eq!(outcome(&client, &url).await.unwrap(), 200, "{url}");
    }
    let error = outcome(&client, "http://a.example/").await.unwrap_err();
    assert!(
        matches!(error, SendError::AddressRefused),
        "plain http stays on the machine"
    );
}

const CA: &[u8] = include_bytes!("certificates/ca.der");
const KEY: &[u8] = include_bytes!("certificates/server_key.der");
const LOCALHOST: &[u8] = include_bytes!("certificates/localhost.der");
const EXPIRED: &[u8] = include_bytes!("certificates/expired.der");
const OTHER_HOST: &[u8] = include_bytes!("certificates/other_host.der");

async fn tls_server(certificate: &'static [u8]) -> TestServer {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate)],
            PrivateKeyDer::try_from(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    TestServer::over(vec![Reply::status(200, "", "")], move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    })
    .await
}

fn trusting_the_test_authority() -> HttpClient {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(CA)).unwrap();
    let resolver = Scripted::new(&[]);
    HttpClient::assemble(AddressRules::LocalToo, resolver, tls_with(roots), LIMITS)
}

/// H-30.
#[tokio::test]
async fn h30_a_certificate_must_be_trusted_in_date_and_for_the_host() {
    let trusting = trusting_the_test_authority();
    let server = tls_server(LOCALHOST).await;
    let url = |server: &TestServer| format!("https://localhost:{}/", server.port);
    assert_eq!(outcome(&trusting, &url(&server)).await.unwrap(), 200);

    let (expired, other_host) = (tls_server(EXPIRED).await, tls_server(OTHER_HOST).await);
    let plain = TestServer::start(vec![Reply::status(200, "", "")]).await;
    for (client, server) in [
        (&trusting, &expired),
        (&trusting, &other_host),
        (&trusting, &plain),
        (&local(), &server),
    ] {
        let before = server.received().len();
        let error = outcome(client, &url(server)).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
        assert_eq!(server.received().len(), before, "no request was sent");
    }
}

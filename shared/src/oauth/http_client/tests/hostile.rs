//! Servers that mean harm, and what they can cost us: H-30 to H-34 and H-39 where the other
//! tests of the client leave off.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::domain::refresh_protocol::TOKEN_TIMEOUT;

#[test]
fn h34_a25_the_limits_are_what_the_documents_say() {
    assert_eq!(LIMITS.connect, Duration::from_secs(3));
    assert_eq!(LIMITS.body, 64 * 1024);
    assert_eq!(LIMITS.headers, 16 * 1024);
    assert_eq!(TOKEN_TIMEOUT, Duration::from_secs(8));
    assert_eq!(OTHER_TIMEOUT, Duration::from_secs(10));
}

/// A server that is always about to say more. No byte that it sends gives it more time.
#[tokio::test]
async fn h34_a25_an_answer_in_drops_gets_no_more_time_than_any_other() {
    for (head, drop) in [
        ("HTTP/1.1 200 X\r\n", "a: b\r\n"),
        ("HTTP/1.1 200 X\r\nx: ", "x"),
        ("HTTP/1.1 200 X\r\ncontent-length: 60000\r\n\r\n", "x"),
        (
            "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
        ),
        ("HTTP/1.1 200 X\r\n\r\n", "x"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let server = TestServer::start(vec![Reply::Drip(head.into(), drop.into())]).await;
        let time = Duration::from_millis(250);
        let answer = local().send(get(&server.url("/")), time).await;
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::TimedOut), "{head:?}: {error:?}");
        assert!(server.sent() > 0, "it was dripping");
    }
}

/// What a server gets rid of is more than what a client has read: the system's buffers on both
/// sides are in it. So this bounds the memory that the answer can have taken.
#[tokio::test]
async fn h34_a25_of_an_answer_without_end_a_few_hundred_kilobytes_are_read() {
    let chunk = "x".repeat(LIMITS.body);
    for head in [
        "HTTP/1.1 200 X\r\n\r\n",
        "HTTP/1.1 200 X\r\ncontent-length: 104857600\r\n\r\n",
        "HTTP/1.1 200 X\r\nx: ",
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
    ] {
        let reply = Reply::Endless(head.into(), chunk.clone().into());
        let server = TestServer::start(vec![reply]).await;
        let error = outcome(&local(), &server.url("/")).await.unwrap_err();
        let cut = matches!(error, SendError::TooLarge | SendError::Lost(_));
        assert!(cut, "{head:?}: {error:?}");
        assert!(server.sent() < 8 << 20, "{head:?}: {}", server.sent());
    }
}

/// One member unpacks to a mebibyte, a thousand times its size; any number of them is a gzip file.
const MEBIBYTE_OF_ZEROS: &[u8] = include_bytes!("../mebibyte_of_zeros.gz");

#[tokio::test]
async fn h34_a25_a_bomb_stays_packed() {
    assert!(MEBIBYTE_OF_ZEROS.len() < 1100);
    let bomb = MEBIBYTE_OF_ZEROS.repeat(LIMITS.body / MEBIBYTE_OF_ZEROS.len());
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let head = format!(
            "HTTP/1.1 200 X\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        let reply = Reply::Bytes([head.as_bytes(), &bomb].concat());
        let server = TestServer::start(vec![reply]).await;
        let answer = local().send(get(&server.url("/")), LONG).await.unwrap();
        assert_eq!(answer.body(), &bomb, "{coding}");
        assert_eq!(answer.headers()["content-encoding"], coding);
        let asked_for = server.received()[0].header("accept-encoding").is_some();
        assert!(!asked_for, "nobody is invited to pack");
    }
}

#[tokio::test]
async fn h34_a_handshake_that_does_not_end_is_cut_with_connecting() {
    for said in ["", "\u{16}\u{3}"] {
        let server = TestServer::over(Vec::new(), move |mut stream| async move {
            let _ = stream.write_all(said.as_bytes()).await;
            std::future::pending::<Option<TcpStream>>().await
        })
        .await;
        let client = with_resolver(AddressRules::LocalToo, Scripted::new(&[]));
        let url = format!("https://localhost:{}/", server.port);
        let error = outcome(&client, &url).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
    }
}

/// A ServerHello of TLS 1.1, the last version that is not taken: the client ends the handshake
/// with the alert that says so (RFC 5246 section 7.2.2).
#[tokio::test]
async fn h30_no_tls_before_1_2_is_spoken() {
    const PROTOCOL_VERSION: u8 = 70;
    let mut hello = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    let (heard, mut alerts) = tokio::sync::mpsc::channel(1);
    let server = TestServer::over(Vec::new(), move |mut stream| {
        let (hello, heard) = (hello.clone(), heard.clone());
        async move {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&hello).await;
            let mut alert = [0; 7];
            stream.read_exact(&mut alert).await.unwrap();
            heard.send(alert).await.unwrap();
            None::<TcpStream>
        }
    })
    .await;
    let url = format!("https://localhost:{}/", server.port);
    let error = outcome(&trusting_the_test_authority(), &url)
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
    let alert = alerts.recv().await.unwrap();
    assert_eq!((alert[0], alert[6]), (21, PROTOCOL_VERSION), "{alert:?}");
}

/// H-31, A-13. What a name meant a moment ago is not remembered, and what it means now is what
/// is judged.
#[tokio::test]
async fn h31_a_name_is_resolved_and_judged_for_every_connection() {
    // Hangs up on who has connected: that is all it takes to have been there.
    let server = TestServer::over(Vec::new(), |_| async { None::<TcpStream> }).await;
    let meanings: [&[&str]; 3] = [&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1", "10.0.0.1"]];
    let resolver = Scripted::new(&meanings);
    let client = HttpClient::assemble(AddressRules::LocalToo, resolver, tls(), LIMITS);
    let url = format!("https://rebind.example:{}/", server.port);
    let first = outcome(&client, &url).await.unwrap_err();
    assert!(matches!(first, SendError::NotSent(_)), "no TLS: {first:?}");
    assert_eq!(server.connections(), 1);
    for _ in &meanings[1..] {
        let error = outcome(&client, &url).await.unwrap_err();
        assert!(matches!(error, SendError::AddressRefused), "{error:?}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn h32_no_other_scheme_than_https_has_a_client() {
    let server = TestServer::start(vec![Reply::status(200, "", "")]).await;
    for rules in [AddressRules::PublicHttps, AddressRules::LocalToo] {
        for scheme in ["ftp", "ws", "wss", "file", "unix", "gopher"] {
            let url = format!("{scheme}://localhost:{}/proc/self/environ", server.port);
            let error = outcome(&HttpClient::new(rules), &url).await.unwrap_err();
            assert!(
                matches!(error, SendError::AddressRefused),
                "{url}: {error:?}"
            );
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn h39_only_hosts_of_the_list_are_called() {
    let server = TestServer::start(vec![Reply::status(200, "", "")]).await;
    let hosts = ProviderHosts::parse("*.demo.localhost").unwrap();
    let client = local().limited_to(hosts);
    for (host, called) in [
        ("auth.demo.localhost", true),
        ("demo.localhost", false),
        ("localhost", false),
        ("127.0.0.1", false),
    ] {
        let before = server.connections();
        let answer = outcome(&client, &format!("http://{host}:{}/", server.port)).await;
        assert_eq!(answer.is_ok(), called, "{host}: {answer:?}");
        assert_eq!(server.connections() - before, usize::from(called), "{host}");
        if let Err(error) = answer {
            assert!(matches!(error, SendError::AddressRefused), "{error:?}");
        }
    }
}

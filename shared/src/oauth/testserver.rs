//! An HTTP server on the loopback interface that does what one test tells it to, and keeps
//! what it was sent. Raw bytes, because most of what it has to do no server library can be
//! made to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What to do once a request has been read.
#[derive(Clone)]
pub(super) enum Reply {
    /// Send these bytes and close.
    Bytes(Vec<u8>),
    /// Send these bytes, then nothing, for ever.
    Hang(Vec<u8>),
    /// Send the first, then the second over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Send the first, then the second every few milliseconds.
    Drip(Vec<u8>, Vec<u8>),
}

impl Reply {
    /// A complete answer.
    pub(super) fn status(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
                .into_bytes(),
        )
    }

    /// A complete answer in JSON.
    pub(super) fn json(status: u16, body: &str) -> Self {
        Self::status(status, "content-type: application/json\r\n", body)
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// Request line and headers.
    pub(super) head: String,
    /// The body.
    pub(super) body: String,
}

impl Received {
    /// Method and target.
    pub(super) fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.strip_suffix(" HTTP/1.1").unwrap_or(line)
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// A member of a form body.
    pub(super) fn form(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.body.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// A running server; it ends with the test's runtime.
pub(super) struct TestServer {
    /// Where it listens.
    pub(super) port: u16,
    connections: Arc<Mutex<usize>>,
    received: Arc<Mutex<Vec<Received>>>,
    sent: Arc<AtomicUsize>,
}

impl TestServer {
    /// Gives the n-th request the n-th reply, and all later ones the last.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        Self::over(replies, |stream| async { Some(stream) }).await
    }

    /// As [`TestServer::start`], with a handshake of the test's own on each connection.
    pub(super) async fn over<S, H, F>(replies: Vec<Reply>, handshake: H) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Fn(tokio::net::TcpStream) -> F + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            received: Arc::default(),
            sent: Arc::default(),
        };
        let (connections, received) = (server.connections.clone(), server.received.clone());
        let sent = server.sent.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (received, replies) = (received.clone(), replies.clone());
                let sent = sent.clone();
                let stream = handshake(stream);
                tokio::spawn(async move {
                    let Some(mut stream) = stream.await else {
                        return;
                    };
                    let Some(request) = read(&mut stream).await else {
                        return;
                    };
                    let reply = {
                        let mut received = received.lock().unwrap();
                        received.push(request);
                        replies[(received.len() - 1).min(replies.len() - 1)].clone()
                    };
                    write(&mut stream, reply, &sent).await;
                });
            }
        });
        server
    }

    /// A URL of this server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests so far.
    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many bytes of endless answers were taken off the server's hands: no fewer than the
    /// client has read.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many connections were made, with or without a request.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let request = Received {
                head: head.to_owned(),
                body: body.to_owned(),
            };
            let expected = request.header("content-length").map_or(0, |length| {
                length.parse().expect("the client sends a length")
            });
            if request.body.len() >= expected {
                return Some(request);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Errors are the client's hanging up, which is what some tests are about.
async fn write(stream: &mut (impl AsyncWrite + Unpin), reply: Reply, sent: &AtomicUsize) {
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Reply::Endless(head, bytes) => {
            let _ = stream.write_all(&head).await;
            while stream.write_all(&bytes).await.is_ok() {
                sent.fetch_add(bytes.len(), Ordering::Relaxed);
            }
        }
        Reply::Drip(head, bytes) => {
            let _ = stream.write_all(&head).await;
            let mut beat = tokio::time::interval(Duration::from_millis(5));
            while stream.write_all(&bytes).await.is_ok() {
                sent.fetch_add(bytes.len(), Ordering::Relaxed);
                beat.tick().await;
            }
        }
    }
}

//! A listening port whose connections a handler can cut.
//!
//! A provider that dies mid-request leaves its client without a status line; an HTTP
//! response, however broken, cannot express that. So a handler may ask for its [`Line`] and
//! cut it, which ends the connection below HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A bound port that does not answer yet: its address is known before the router is built,
/// because metadata documents name it.
#[derive(Debug)]
pub struct Port {
    tcp: TcpListener,
    address: SocketAddr,
    lines: Lines,
}

impl Port {
    /// Binds `address`; port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// Those of the system, above all `AddrInUse`.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self {
            tcp,
            address,
            lines: Lines::default(),
        })
    }

    /// The origin a browser uses, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with `router` until the [`Serving`] is dropped. Handlers may extract
    /// `ConnectInfo<Line>`.
    #[must_use]
    pub fn serve(self, router: Router) -> Serving {
        let lines = self.lines.clone();
        let service = router.into_make_service_with_connect_info::<Line>();
        let task = tokio::spawn(async move {
            // Never ends by itself: axum retries failed accepts.
            let _ = axum::serve(self, service).await;
        });
        Serving { task, lines }
    }
}

/// A port that answers. Dropping it frees the port and cuts every open connection, so that a
/// test can take a provider away.
#[derive(Debug)]
pub struct Serving {
    task: JoinHandle<()>,
    lines: Lines,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        self.lines.cut_all();
    }
}

/// One client connection, seen from a handler.
#[derive(Clone, Debug)]
pub struct Line(Arc<Wire>);

impl Line {
    /// Ends the connection at once, without another byte. The server then drops the handler,
    /// which should wait for that instead of answering.
    pub fn cut(&self) {
        self.0.cut();
    }
}

impl Connected<IncomingStream<'_, Port>> for Line {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        Self(Arc::clone(&stream.io().wire))
    }
}

#[derive(Debug, Default)]
struct Wire {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wire {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "connection cut on purpose",
            ));
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<Weak<Wire>>>>);

impl Lines {
    fn open(&self) -> Arc<Wire> {
        let wire = Arc::new(Wire::default());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&wire));
        wire
    }

    fn cut_all(&self) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|wire| wire.cut());
    }
}

impl Listener for Port {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (tcp, peer) = Listener::accept(&mut self.tcp).await;
        // Small answers written in two pieces would otherwise wait for a delayed ACK.
        let _ = tcp.set_nodelay(true);
        (
            CuttableStream {
                tcp,
                wire: self.lines.open(),
            },
            peer,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A TCP stream that fails once its [`Line`] is cut.
#[derive(Debug)]
pub struct CuttableStream {
    tcp: TcpStream,
    wire: Arc<Wire>,
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before the check: a cut between the two still wakes this task.
        self.wire.reader.register(cx.waker());
        self.wire.check()?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.writer.register(cx.waker());
        self.wire.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.check()?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

//! Accepts connections, but only so many, and none that neither sends nor takes anything: a client
//! that hangs must not use up the daemon's file descriptors. Under TLS the handshake is part of the first
//! read, so that nobody waits for a client that does not shake hands.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_openssl::SslStream;

use super::tls::Tls;

/// Connections at a time; further ones wait in the system's queue.
const CONNECTIONS: usize = 64;

/// Longer than the usual scrape interval, so that a scraper keeps its connection.
const IDLE: Duration = Duration::from_secs(120);

/// A listener with limits.
#[derive(Debug)]
pub(super) struct Limited {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    idle: Duration,
    tls: Option<Tls>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(CONNECTIONS)), idle: IDLE, tls }
    }

    async fn accept_one(&mut self) -> (Connection, SocketAddr) {
        let permit = loop {
            // The semaphore is never closed; were it ever, waiting is the safe answer.
            match Arc::clone(&self.permits).acquire_owned().await {
                Ok(permit) => break permit,
                Err(_) => std::future::pending::<()>().await,
            }
        };
        // This `accept` retries by itself after passing faults.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            idle: self.idle,
            deadline: Box::pin(tokio::time::sleep(self.idle)),
            _permit: permit,
        };
        (connection, address)
    }
}

impl axum::serve::Listener for Limited {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (connection, address) = self.accept_one().await;
            let Some(tls) = &self.tls else { return (Stream::Plain(connection), address) };
            match tls.begin().and_then(|ssl| SslStream::new(ssl, connection)) {
                Ok(stream) => return (Stream::Tls(Box::new(stream)), address),
                Err(error) => tracing::error!(%error, "a connection cannot be given TLS"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Connection),
    Tls(Box<SslStream<Connection>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A connection that fails when nothing moves for too long.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes on what a read or write said; while it waits, watches the deadline.
    fn watched<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.deadline.as_mut().reset(Instant::now() + self.idle);
            return moved;
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(context, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn limited(listener: TcpListener, connections: usize, idle: Duration) -> Limited {
        Limited { listener, permits: Arc::new(Semaphore::new(connections)), idle, tls: None }
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut limited = limited(listener, 1, Duration::from_millis(50));
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = limited.accept().await;
        let error = connection.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_further_connection_waits_until_one_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut limited = limited(listener, 1, IDLE);
        let _clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let (first, _) = limited.accept().await;
        let wait = Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, limited.accept()).await.is_err(), "one at a time");
        drop(first);
        assert!(tokio::time::timeout(Duration::from_secs(5), limited.accept()).await.is_ok());
    }
}

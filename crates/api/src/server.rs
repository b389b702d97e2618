//! The admin listener: one thread, a current-thread runtime, a bounded number of connections with a bounded life.

use core::convert::Infallible;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use trunkline_tls::Certificates;

use crate::Source;
use crate::newcomers::{Newcomer, Newcomers};
use crate::routes;

/// The address and the limits of the admin port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 means any free port.
    pub listen: SocketAddr,
    /// What TLS clients are offered; `None`: the port is plain.
    pub tls: Option<Certificates>,
    /// Connections served at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// The longest request head, in bytes.
    pub header_bytes_max: usize,
    /// Time for a whole request head to arrive, including the idle time before it.
    pub header_timeout: Duration,
    /// The longest life of one connection; a scraper simply opens another.
    pub connection_life_max: Duration,
    /// Time that open connections get to finish when the server stops.
    pub stop_grace: Duration,
}

impl Config {
    /// Limits that fit an operator's tools: probes, a scraper or two, `curl`.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            connections_max: 64,
            header_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(30),
            connection_life_max: Duration::from_secs(600),
            stop_grace: Duration::from_millis(500),
        }
    }
}

/// The admin address could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}")]
pub struct BindError {
    /// The address that was asked for.
    pub listen: SocketAddr,
    /// The system's error.
    pub source: io::Error,
}

/// The admin thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the admin thread")]
pub struct StartError(#[from] io::Error);

/// The admin port, bound and not yet served. Connections wait in the kernel's queue until [`Admin::start`].
#[derive(Debug)]
pub struct Admin {
    config: Config,
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl Admin {
    /// Binds the address.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let listen = config.listen;
        let bound = || {
            let listener = TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            let local_addr = listener.local_addr()?;
            Ok((listener, local_addr))
        };
        let (listener, local_addr) = bound().map_err(|source| BindError { listen, source })?;
        Ok(Self { config, listener, local_addr })
    }

    /// The address that was bound, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves on a new thread until [`AdminPort::stop`].
    pub fn start(self, source: Arc<dyn Source>) -> Result<AdminPort, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _guard = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::new(Serving { config: self.config, source, stopped });
        let server = Server { serving, listener };
        let thread = std::thread::Builder::new()
            .name("trunkline-admin".into())
            .spawn(move || runtime.block_on(server.run()))?;
        Ok(AdminPort { stop, thread })
    }
}

/// The admin port while it is served.
#[derive(Debug)]
pub struct AdminPort {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl AdminPort {
    /// Accepts no more connections, gives open requests the grace time to finish, and joins the
    /// thread. Blocks.
    pub fn stop(self) {
        // An error means that the thread has ended already; joining reports that.
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the admin thread panicked");
        }
    }
}

struct Server {
    serving: Arc<Serving>,
    listener: tokio::net::TcpListener,
}

impl Server {
    async fn run(self) {
        let Serving { config, stopped, .. } = &*self.serving;
        let permits = Arc::new(Semaphore::new(config.connections_max));
        let newcomers = Newcomers::default();
        let mut connections = JoinSet::new();
        let mut stopped = stopped.clone();
        let mut warned_at = None;
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let permit = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                permit = room(&permits, &newcomers, &mut connections) => permit,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serving = Arc::clone(&self.serving);
                    let newcomer = newcomers.enter();
                    connections.spawn(async move {
                        serving.serve(stream, newcomer).await;
                        drop(permit);
                    });
                }
                Err(error) => pause_after_accept_error(&error, &mut warned_at).await,
            }
        }
        let finished = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(config.stop_grace, finished).await;
    }
}

/// Waits for room for one more connection. Whoever connects and says nothing makes room for it.
async fn room(
    permits: &Arc<Semaphore>,
    newcomers: &Newcomers,
    connections: &mut JoinSet<()>,
) -> Option<OwnedSemaphorePermit> {
    loop {
        match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => return Some(permit),
            Err(TryAcquireError::Closed) => return None,
            Err(TryAcquireError::NoPermits) if newcomers.dismiss_oldest() => {
                let _ = tokio::time::timeout(ROOM_WITHIN, connections.join_next()).await;
            }
            Err(TryAcquireError::NoPermits) => drop(connections.join_next().await),
        }
    }
}

/// How long a connection that is dismissed may take to be gone.
const ROOM_WITHIN: Duration = Duration::from_millis(100);

/// What every connection needs.
struct Serving {
    config: Config,
    source: Arc<dyn Source>,
    stopped: watch::Receiver<bool>,
}

impl Serving {
    /// Serves one connection; `newcomer` ends it until it has sent a request.
    async fn serve(&self, stream: TcpStream, newcomer: Newcomer) {
        let Some(certificates) = &self.config.tls else {
            return self.connection(TokioIo::new(stream), newcomer).await;
        };
        let shaken =
            tokio::time::timeout(self.config.header_timeout, shake_hands(stream, certificates));
        let shaken = tokio::select! {
            shaken = shaken => shaken,
            () = newcomer.dismissed() => return,
        };
        match shaken {
            Ok(Ok(Some(stream))) => self.connection(TokioIo::new(stream), newcomer).await,
            Ok(Ok(None)) | Err(_) => (),
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake on the admin port failed"),
        }
    }

    /// Serves one connection until it ends, its life is over, or the server stops.
    async fn connection<I>(&self, io: I, newcomer: Newcomer)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let newcomer = &newcomer;
        let service = service_fn(|request: Request<Incoming>| async move {
            newcomer.has_come();
            Ok::<_, Infallible>(routes::answer(&request, &*self.source).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.header_timeout)
            // The smallest buffer that hyper allows is 8 KiB.
            .max_buf_size(self.config.header_bytes_max.max(8 * 1024))
            .serve_connection(io, service);
        let mut stopped = self.stopped.clone();
        let (life_max, grace) = (self.config.connection_life_max, self.config.stop_grace);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = newcomer.dismissed() => return,
            () = wind_up(&mut stopped, life_max) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(grace, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an admin connection ended with an error");
        }
    }
}

/// Does the TLS handshake. `None`: the stream speaks no TLS, which it has been told.
async fn shake_hands(
    mut stream: TcpStream,
    certificates: &Certificates,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0; 3];
    let count = stream.peek(&mut first).await?;
    if !trunkline_tls::is_client_hello(&first[..count]) {
        stream.write_all(trunkline_tls::speak_tls_here().as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the stream, and the answer would be lost.
        let _ = stream.read(&mut [0; 4096]).await?;
        return Ok(None);
    }
    TlsAcceptor::from(certificates.config()).accept(stream).await.map(Some)
}

/// Waits until a connection must not take another request.
async fn wind_up(stopped: &mut watch::Receiver<bool>, life_max: Duration) {
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => (),
        () = tokio::time::sleep(life_max) => (),
    }
}

/// The interval in which an error that repeats is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Pauses after a failed accept; otherwise a process without free file descriptors would spin here.
async fn pause_after_accept_error(error: &io::Error, warned_at: &mut Option<Instant>) {
    if warned_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
        *warned_at = Some(Instant::now());
        tracing::warn!(%error, "cannot accept a connection on the admin port");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

//! Side doors: servers on the public port that are neither for clients nor for trunks. The
//! composition root adds them.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::PeerNotice;

/// A server for some paths of the public port. It is asked before the paths of clients.
///
/// A request that it upgrades keeps its [`Lease`] as long as it uses the stream.
pub trait SideDoor: Debug + Send + Sync {
    /// Whether this door serves the path.
    fn claims(&self, path: &str) -> bool;

    /// Answers a request. Runs on the thread of the connection, so it must not block.
    fn serve(&self, visit: Visit) -> SideAnswer;

    /// Learns something about the other nodes of the cluster. Runs on the cluster's thread, so it must
    /// not block.
    fn notice(&self, _: PeerNotice) {}
}

/// A future answer.
pub type SideAnswer = Pin<Box<dyn Future<Output = Response<SideBody>> + Send>>;

/// A body that may arrive over a long time.
pub type SideBody = BoxBody<Bytes, Infallible>;

/// A request for a [`SideDoor`].
#[derive(Debug)]
pub struct Visit {
    /// The request as it came; `hyper::upgrade::on` works.
    pub request: Request<Incoming>,
    /// The address of the other end of the connection.
    pub from: SocketAddr,
    /// Present for a request that asks for an upgrade.
    pub lease: Option<Lease>,
}

/// A stream's place within the node's limit of streams; held until dropped.
pub type Lease = Box<dyn Any + Send + Sync>;

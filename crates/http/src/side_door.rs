//! Other things on the public port than clients and trunks: what a composition root puts there.

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

/// Serves some paths of the public port. Asked before the paths of clients.
///
/// A request that it upgrades keeps its [`Lease`] for as long as it uses the stream.
pub trait SideDoor: Debug + Send + Sync {
    /// Whether a path is this door's.
    fn claims(&self, path: &str) -> bool;

    /// Answers a request. Runs on the thread of the connection, so it must not block.
    fn serve(&self, visit: Visit) -> SideAnswer;
}

/// An answer under way.
pub type SideAnswer = Pin<Box<dyn Future<Output = Response<SideBody>> + Send>>;

/// A body that may be long in coming.
pub type SideBody = BoxBody<Bytes, Infallible>;

/// A request for a [`SideDoor`].
#[derive(Debug)]
pub struct Visit {
    /// As it came; `hyper::upgrade::on` works.
    pub request: Request<Incoming>,
    /// The other end of the connection.
    pub from: SocketAddr,
    /// Of a request that asks for an upgrade.
    pub lease: Option<Lease>,
}

/// Keeps a stream's place among those that the node may hold, for as long as it lives.
pub type Lease = Box<dyn Any + Send + Sync>;

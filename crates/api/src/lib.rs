//! The admin port: health, metrics and the HTTP API.
//!
//! It runs on a thread of its own with a runtime of its own, so that a node whose shards are busy still answers its
//! operator. It knows nothing of clients and trunks: what it shows comes through [`Source`], which the composition
//! root implements.
//!
//! ```text
//! Admin::bind  ->  Admin::start(source)  ->  AdminPort::stop
//! ```

mod exposition;
mod newcomers;
mod process;
mod respond;
mod routes;
mod server;

pub use process::ProcessCollector;
pub use server::{Admin, AdminPort, BindError, Config, StartError};

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use serde::Serialize;

/// Resolves to the causes for which the process should be restarted.
pub type Liveness = Pin<Box<dyn Future<Output = Vec<Cause>> + Send>>;

/// Resolves to a JSON document, when what was asked has been found out.
pub type Asked = Pin<Box<dyn Future<Output = Result<Vec<u8>, Refused>> + Send>>;

/// Why a question has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// Lower case with underscores; never changes its meaning.
    pub error: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// What the admin port shows. Every method is called on the admin thread and must not block.
pub trait Source: Send + Sync + 'static {
    /// The threads that serve clients and no longer respond. Takes as long as it takes to be sure.
    fn liveness(&self) -> Liveness;

    /// Whether this node should get new connections, and if not, why.
    fn readiness(&self) -> Readiness;

    /// The answer to `GET /api/v1/status`: a JSON document.
    fn status_json(&self) -> Result<Vec<u8>, serde_json::Error>;

    /// The answer to `GET /api/v1/cluster`: a JSON document; `None` for a node that is alone.
    fn cluster_json(&self) -> Option<Result<Vec<u8>, serde_json::Error>>;

    /// The answer to `GET /api/v1/talkers` with this query. It may take a minute.
    fn talkers(&self, query: &str) -> Asked;

    /// Writes all metrics as OpenMetrics text.
    fn write_metrics(&self, out: &mut String) -> fmt::Result;
}

/// The answer to `GET /readyz`: ready exactly when there is no cause against it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Readiness {
    /// The reasons why new connections should go elsewhere; empty when ready.
    pub causes: Vec<Cause>,
    /// Facts that an operator should know although the node is ready.
    pub notes: Vec<Cause>,
}

/// One reason: a stable code for programs and a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Cause {
    /// Lower case with underscores; never changes its meaning.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

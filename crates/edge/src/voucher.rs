//! Clients' tokens that were not signed with a key of the hub: the composition root names who
//! judges them.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use trunkline_token::{Claims, TokenRefused};

/// Judges tokens that others have signed. Asked before the hub's keys.
pub trait Voucher: Debug + Send + Sync {
    /// Judges a client's token for that hub; `None` when it is not responsible for such a token.
    /// Runs on the thread of the connection, so it must not block.
    fn vouch(&self, hub: &str, token: &str) -> Vouched;
}

/// A future judgement.
pub type Vouched = Pin<Box<dyn Future<Output = Option<Result<Claims, TokenRefused>>> + Send>>;

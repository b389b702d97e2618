//! Clients' tokens that no key of the hub has signed: somebody else, whom the composition root names, vouches for them.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use trunkline_token::{Claims, TokenRefused};

/// Knows tokens that others have signed. Asked before the hub's keys.
pub trait Voucher: Debug + Send + Sync {
    /// What it finds of a client's token for that hub; nothing when such a token is not for it to judge. Runs on the
    /// thread of the connection, so it must not block.
    fn vouch(&self, hub: &str, token: &str) -> Vouched;
}

/// A judgement under way.
pub type Vouched = Pin<Box<dyn Future<Output = Option<Result<Claims, TokenRefused>>> + Send>>;

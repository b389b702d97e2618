//! The way from a new stream to the trunk that it continues: the task that accepted the stream
//! offers it, and the trunk's own task takes it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use trunkline_token::KeyMark;
use trunkline_websocket::Decoder;

use super::locked;
use super::trunk::Origin;
use crate::entrance::StreamPermit;
use crate::socket::Socket;

/// A stream whose app server wants to continue a trunk on it; it has sent `Hello` and nothing else.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) socket: Socket,
    pub(crate) decoder: Decoder,
    pub(crate) permit: Option<StreamPermit>,
    pub(crate) address: Origin,
    /// The key that signed the token of the stream.
    pub(crate) key: Option<KeyMark>,
    /// The app server's own address, as it says.
    pub(crate) from: Option<SocketAddr>,
    /// The number of batches that the app server has received.
    pub(crate) received: u64,
}

/// Tells the task that made an offer whether it was taken; if not, it gets the stream back. Dropped
/// when the stream is to be closed.
pub(crate) type Taken = oneshot::Sender<Option<Box<Offer>>>;

/// What a trunk needs so that it can continue on another stream.
pub(crate) struct Resuming {
    token: String,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
enum Slot {
    /// The trunk has ended.
    Closed,
    #[default]
    Empty,
    Offered(Box<Offer>, Taken),
}

impl fmt::Debug for Resuming {
    /// Hides the token, which gives access to the trunk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resuming").finish_non_exhaustive()
    }
}

impl Resuming {
    pub(super) fn new() -> Self {
        let mut secret = [0; 16];
        StdRng::from_os_rng().fill_bytes(&mut secret);
        Self { token: URL_SAFE_NO_PAD.encode(secret), slot: Mutex::default() }
    }

    /// The secret name by which the app server names the trunk.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Compares in constant time, so that timing tells nothing about the secret.
    pub(super) fn is_named(&self, token: &str) -> bool {
        bool::from(self.token.as_bytes().ct_eq(token.as_bytes()))
    }

    /// Offers a stream. The answer tells whether it was taken. An earlier offer that still waits is
    /// dropped, which closes its stream: the same process has given that one up. Returns the stream
    /// when the trunk has ended.
    pub(super) fn offer(
        &self,
        offer: Box<Offer>,
    ) -> Result<oneshot::Receiver<Option<Box<Offer>>>, Box<Offer>> {
        let mut slot = locked(&self.slot);
        if matches!(*slot, Slot::Closed) {
            return Err(offer);
        }
        let (taken, answer) = oneshot::channel();
        *slot = Slot::Offered(offer, taken);
        Ok(answer)
    }

    /// Takes the stream that is offered.
    pub(crate) fn take(&self) -> Option<(Box<Offer>, Taken)> {
        let mut slot = locked(&self.slot);
        match std::mem::take(&mut *slot) {
            Slot::Offered(offer, taken) => Some((offer, taken)),
            left @ (Slot::Closed | Slot::Empty) => {
                *slot = left;
                None
            }
        }
    }

    /// Notes that the trunk has ended: a stream that is offered goes back, and becomes a trunk of
    /// its own.
    pub(crate) fn close(&self) {
        let slot = std::mem::replace(&mut *locked(&self.slot), Slot::Closed);
        if let Slot::Offered(offer, taken) = slot {
            // The task of a stream waits for this answer.
            let _ = taken.send(Some(offer));
        }
    }
}

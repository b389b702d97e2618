//! What the side doors of this node say to those of others.

use bytes::Bytes;
use trunkline_mesh::{Frame, PeerKey, RequestId, Str};

use super::{Cluster, Input};

/// The way of a side door to the same door of other nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers(pub(crate) Cluster);

impl Peers {
    /// Sends a word: the words of one door and hub arrive in order, or a notice says that one was
    /// dropped or that the link ended. False: too much waits, so the word is dropped.
    #[must_use]
    pub fn say(&self, to: PeerKey, door: u8, hub: &str, number: u32, word: Bytes) -> bool {
        let hub = Str::from(hub.to_owned());
        let frame = Frame::Door { id: RequestId(number), door, hub, word };
        self.0.words.try_send(Input::Word { to, frame }).is_ok()
    }
}

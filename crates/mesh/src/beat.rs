//! The beat: what every node says to all others once a second (section 4).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use trunkline_trunk::Rule;

use crate::identity::{Load, NodeState};
use crate::key::{Forged, Keys};
use crate::wire::{Body, Sink};
use crate::{VERSION_MAX, VERSION_MIN};

/// The first byte of a beat.
pub(crate) const BEAT: u8 = 1;
/// The most numbers of one node.
pub(crate) const NUMBERS_MAX: usize = 64;

/// What a node says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Beat {
    /// The life of its process.
    pub incarnation: u64,
    /// The number of this beat in that life, from 1.
    pub sequence: u64,
    /// The node's numbers: the present one, then former ones. Empty: it has none yet.
    pub numbers: Vec<u16>,
    /// What it says of itself.
    pub state: NodeState,
    /// The seniority of its present number: lower is older.
    pub rank: u64,
    /// Whether the operator configured its number.
    pub fixed: bool,
    /// Its name.
    pub node_id: String,
    /// The URL that app servers use; empty: none.
    pub advertise: String,
    /// The version of its program.
    pub version: String,
    /// Its digest of the hubs.
    pub hubs_digest: [u8; 8],
    /// What it says of its load.
    pub load: Load,
}

/// What can be wrong with a beat.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BeatError {
    /// The signature is wrong.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// It is a beat of a version that this crate does not speak.
    #[error("its protocol versions are {min} to {max}")]
    Version {
        /// Its lowest version.
        min: u8,
        /// Its highest version.
        max: u8,
        /// Its numbers, which every version says.
        numbers: Vec<u16>,
    },
    /// It breaks the format.
    #[error(transparent)]
    Broken(#[from] Rule),
}

impl Beat {
    /// The signed datagram.
    #[must_use]
    pub fn encode(&self, keys: &Keys) -> Bytes {
        let mut out = BytesMut::with_capacity(160 + self.node_id.len() + self.advertise.len());
        let mut to = Sink::Write(&mut out);
        to.raw(&[BEAT, VERSION_MIN, VERSION_MAX]);
        to.raw(&self.incarnation.to_be_bytes());
        to.varint(self.sequence);
        to.list(&self.numbers, |to, number| to.raw(&number.to_be_bytes()));
        to.u8(match self.state {
            NodeState::Joining => 0,
            NodeState::Up => 1,
            NodeState::Draining => 2,
            NodeState::Leaving => 3,
        });
        to.varint(self.rank);
        let Load { own_sids, whole_posts, .. } = self.load;
        to.u8(u8::from(self.fixed) | u8::from(own_sids) << 1 | u8::from(whole_posts) << 2);
        to.bytes(self.node_id.as_bytes());
        to.bytes(self.advertise.as_bytes());
        to.bytes(self.version.as_bytes());
        to.raw(&self.hubs_digest);
        to.raw(&self.load.app_servers_digest);
        to.varint(self.load.sessions);
        keys.sign_beat(&mut out);
        out.freeze()
    }

    /// Reads a signed datagram.
    ///
    /// # Errors
    ///
    /// It is forged, of another version, or broken.
    pub fn decode(datagram: &Bytes, keys: &Keys) -> Result<Self, BeatError> {
        let mut body = Body(keys.verify_beat(datagram)?);
        if body.u8()? != BEAT {
            return Err(Rule::UndefinedValue.into());
        }
        let (min, max) = (body.u8()?, body.u8()?);
        let incarnation = body.u64()?;
        let sequence = body.long()?;
        let numbers = body.list(2, Body::u16)?;
        if numbers.len() > NUMBERS_MAX {
            return Err(Rule::TooLong.into());
        }
        if min > VERSION_MAX || max < VERSION_MIN {
            return Err(BeatError::Version { min, max, numbers });
        }
        let state = match body.u8()? {
            0 => NodeState::Joining,
            1 => NodeState::Up,
            2 => NodeState::Draining,
            3 => NodeState::Leaving,
            _ => return Err(Rule::UndefinedValue.into()),
        };
        let rank = body.long()?;
        // Later versions may define more bits, and append fields.
        let flags = body.u8()?;
        Ok(Self {
            incarnation,
            sequence,
            numbers,
            state,
            rank,
            fixed: flags & 1 != 0,
            node_id: body.str()?.to_string(),
            advertise: body.str()?.to_string(),
            version: body.str()?.to_string(),
            hubs_digest: body.array()?,
            load: Load {
                own_sids: flags & 2 != 0,
                whole_posts: flags & 4 != 0,
                app_servers_digest: body.array()?,
                sessions: body.long()?,
            },
        })
    }
}

//! The datagrams of a link: a head, perhaps a piece of a lane, and a tag (section 5).

use bytes::{BufMut, Bytes, BytesMut};
use trunkline_trunk::Rule;

use crate::bus::Lane;
use crate::key::{Forged, Keys};
use crate::wire::{Body, Sink};

/// The first byte of a link's datagram.
pub(crate) const LINK: u8 = 2;
/// The longest head and tag together, in bytes.
pub(crate) const OVERHEAD_BYTES_MAX: usize = 128;

const OPENING: u8 = 1;
const BULK: u8 = 1 << 1;
const ENDED: u8 = 1 << 2;
const DATA: u8 = 1 << 3;
const URGENT: u8 = 1 << 4;
const DEFINED: u8 = OPENING | BULK | ENDED | DATA | URGENT;

/// One datagram of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// The life of the sender.
    pub from: u64,
    /// The life of the receiver.
    pub to: u64,
    /// The sender's number: where its inbox is.
    pub number: u16,
    /// The lane that the rest is about.
    pub lane: Lane,
    /// The sender's epoch: its name for this link.
    pub epoch: u64,
    /// The receiver's epoch; 0 in an opening, whose sender does not know it.
    pub to_epoch: u64,
    /// All pieces up to this number have arrived at the sender.
    pub received: u64,
    /// Bit n: the piece `received + 2 + n` has arrived as well.
    pub beyond: u64,
    /// The bytes of pieces out of order that the sender can keep.
    pub window: u64,
    /// Whether the receiver is to answer at once.
    pub urgent: bool,
    /// A piece of the lane.
    pub data: Option<Data>,
    /// Set when the receiver's link of the name `to_epoch` has ended at the sender.
    pub ended: Option<EndCode>,
}

/// A piece of a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Data {
    /// The piece's number, from 1.
    pub sequence: u64,
    /// The bytes: they continue those of the piece before.
    pub payload: Bytes,
}

/// Why a link ended, as the other node learns it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EndCode(pub u8);

impl EndCode {
    /// The sender does not know the link, or has ended it earlier.
    pub const UNKNOWN: Self = Self(0);
    /// The receiver was silent for too long.
    pub const SILENT: Self = Self(1);
    /// The receiver acknowledged nothing for too long.
    pub const UNANSWERED: Self = Self(2);
    /// The receiver broke the format.
    pub const BROKEN: Self = Self(3);
    /// The receiver sent a frame of a type that the sender does not know.
    pub const UNKNOWN_FRAME: Self = Self(4);
    /// The sender leaves.
    pub const LEAVING: Self = Self(5);
}

/// What can be wrong with a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DatagramError {
    /// The tag is wrong.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// It breaks the format.
    #[error(transparent)]
    Broken(#[from] Rule),
}

impl Datagram {
    /// The signed datagram.
    #[must_use]
    pub fn encode(&self, keys: &Keys) -> Bytes {
        let opening = self.to_epoch == 0;
        let payload = self.data.as_ref().map_or(0, |data| data.payload.len());
        let mut out = BytesMut::with_capacity(OVERHEAD_BYTES_MAX + payload);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_u8(LINK);
        out.put_u8(
            flag(opening, OPENING)
                | flag(self.lane == Lane::Bulk, BULK)
                | flag(self.ended.is_some(), ENDED)
                | flag(self.data.is_some(), DATA)
                | flag(self.urgent, URGENT),
        );
        let mut to = Sink::Write(&mut out);
        to.raw(&self.from.to_be_bytes());
        to.raw(&self.to.to_be_bytes());
        to.raw(&self.number.to_be_bytes());
        to.varint(self.epoch);
        to.varint(self.to_epoch);
        to.varint(self.received);
        to.varint(self.beyond);
        to.varint(self.window);
        if let Some(EndCode(code)) = self.ended {
            to.u8(code);
        }
        if let Some(data) = &self.data {
            to.varint(data.sequence);
            to.raw(&data.payload);
        }
        keys.sign_link(&mut out, opening);
        out.freeze()
    }

    /// Reads a signed datagram.
    ///
    /// # Errors
    ///
    /// It is forged or broken.
    pub fn decode(datagram: &Bytes, keys: &Keys) -> Result<Self, DatagramError> {
        let flags = datagram.get(1).copied().ok_or(Rule::Truncated)?;
        let opening = flags & OPENING != 0;
        let mut body = Body(keys.verify_link(datagram, opening)?);
        if body.u8()? != LINK {
            return Err(Rule::UndefinedValue.into());
        }
        body.flags(DEFINED)?;
        let (from, to, number) = (body.u64()?, body.u64()?, body.u16()?);
        let (epoch, to_epoch) = (body.long()?, body.long()?);
        let (received, beyond, window) = (body.long()?, body.long()?, body.long()?);
        let ended = if flags & ENDED != 0 { Some(EndCode(body.u8()?)) } else { None };
        let data = if flags & DATA != 0 {
            Some(Data { sequence: body.long()?, payload: body.rest() })
        } else {
            None
        };
        body.finish()?;
        // An opening names no epoch of the receiver, and carries nothing: it may arrive twice.
        if opening != (to_epoch == 0) || opening && (data.is_some() || ended.is_some()) {
            return Err(Rule::UndefinedValue.into());
        }
        Ok(Self {
            from,
            to,
            number,
            lane: if flags & BULK != 0 { Lane::Bulk } else { Lane::Control },
            epoch,
            to_epoch,
            received,
            beyond,
            window,
            urgent: flags & URGENT != 0,
            data,
            ended,
        })
    }
}

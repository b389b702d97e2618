//! RFC 6455 framing and RFC 7692 compression, pure: encode and decode frames, no I/O.
//!
//! * [`Decoder`] turns the bytes of a stream into messages, with every rule of the RFC that a peer
//!   can break named in [`PeerMisbehaved`]. An idle decoder is one pointer wide and owns no memory.
//! * [`encode`], [`encode_header`] and [`encode_close`] make frames; [`accept_key`] answers the
//!   opening handshake.
//!
//! * [`deflate`] is the one extension, permessage-deflate: its negotiation, its two directions.
#![no_std]
extern crate alloc;

mod decoder;
pub mod deflate;
mod encoder;
mod error;
mod frame;
mod handshake;
mod mask;
mod partial;

pub use decoder::{Decoder, Incoming};
pub use encoder::{FRAME_HEADER_BYTES_MAX, encode, encode_close, encode_deflated, encode_header};
pub use error::PeerMisbehaved;
pub use frame::{CLOSE_CODE_ABSENT, Opcode, Role, Rules};
pub use handshake::accept_key;

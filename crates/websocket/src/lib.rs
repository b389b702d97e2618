//! RFC 6455 framing, pure: encode and decode frames, no I/O.
//!
//! * [`Decoder`] turns the bytes of a stream into messages, with every rule of the RFC that a peer
//!   can break named in [`PeerMisbehaved`]. An idle decoder is one pointer wide and owns no memory.
//! * [`encode`], [`encode_header`] and [`encode_close`] make frames; [`accept_key`] answers the
//!   opening handshake.
//!
//! Extensions are not negotiated here, so the reserved bits must be clear.
#![no_std]
extern crate alloc;

mod decoder;
mod encoder;
mod error;
mod frame;
mod handshake;
mod mask;
mod partial;

pub use decoder::{Decoder, Incoming};
pub use encoder::{FRAME_HEADER_BYTES_MAX, encode, encode_close, encode_header};
pub use error::PeerMisbehaved;
pub use frame::{CLOSE_CODE_ABSENT, Opcode, Role};
pub use handshake::accept_key;

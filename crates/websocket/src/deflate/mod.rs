//! permessage-deflate: RFC 7692.
//!
//! * [`negotiate`] answers a client's offer, as npm `ws` does with both directions set to take no
//!   context over: a message is compressed by itself. So one compressed frame serves any number of
//!   connections, and a connection keeps no window.
//! * [`Deflater`] compresses; [`inflate`] is what [`Decoder`](crate::Decoder) calls when
//!   [`Rules::deflate`](crate::Rules) is set.

mod compress;
mod inflate;
mod negotiate;
mod offer;

pub use compress::{Deflater, Deflation};
pub use inflate::inflate;
pub use negotiate::{Agreed, ServerSettings, negotiate};
pub use offer::{Offer, OfferRefused};

/// zlib's smallest and largest window, as powers of two (section 7.1.2.1).
const WINDOW_BITS_MIN: u8 = 8;
/// The largest window, as a power of two: 32 KiB.
pub const WINDOW_BITS_MAX: u8 = 15;

/// What ends every flush: not sent, and put back by the receiver (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

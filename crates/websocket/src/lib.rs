//! RFC 6455 framing, pure: encode and decode frames, no I/O.

//! Listeners, HTTP, long-polling, WebSocket and trunks: the I/O around the pure crates.

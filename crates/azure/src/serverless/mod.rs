//! Serverless mode: a hub whose handlers are webhooks.
//!
//! Seam: the hub's machine hands over what the link brings (`Open`, `Message`, `Close`), the clock, and the
//! answers of webhooks; it writes to [`Outbox`](crate::hub::Outbox) and reads and changes the
//! [`Registry`](crate::registry::Registry).

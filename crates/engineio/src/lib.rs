//! Engine.IO 4 and 3, pure: packets, payloads, the session state machine.

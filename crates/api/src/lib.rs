//! Health, metrics and the HTTP API on the admin port.

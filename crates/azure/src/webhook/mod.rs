//! HTTP requests to webhooks.

//! Shared test tools: virtual clock, frame DSL, naive oracle.

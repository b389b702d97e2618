//! The trunk protocol, pure: frame registry, codec, both ends' state machine, credits.

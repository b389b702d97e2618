//! The composition root: config, build, run, drain.

//! Tests of the real binary as a process.

mod command_line;
mod running_node;
mod support;

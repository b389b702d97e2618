//! The real binary, from outside.

mod command_line;
mod running_node;
mod support;

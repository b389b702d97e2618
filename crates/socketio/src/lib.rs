//! Socket.IO 5, pure: as much of the packet format as Trunkline needs.

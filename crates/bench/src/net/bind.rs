//! Binding to an address without taking a port yet. The only `unsafe` of this crate.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::bind;

/// Binds to `source`; the port is chosen by `connect`.
///
/// A port that `bind` takes must be free for every target and is not for a minute after a close (TIME_WAIT): a fleet that
/// returns a few times would have none left. `connect` needs only the pair of both ends to be free.
pub(super) fn bind_source(stream: &OwnedFd, source: Ipv4Addr) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, the option's value is one `c_int` that outlives the call, and its size is said.
    let failed = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if failed != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    bind(stream, &SocketAddrV4::new(source, 0))
}

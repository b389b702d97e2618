//! Sends one buffer to many streams with few system calls: a batch of sends goes to the kernel,
//! then all results are read.

use std::io;
use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

const BATCH: usize = 512;

pub(crate) struct Ring {
    ring: IoUring,
}

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(BATCH as u32)? })
    }

    /// Sends `bytes` to each stream once; `outcome` gets the number of bytes that the kernel
    /// accepted for each.
    pub(crate) fn send_to_all(
        &mut self,
        streams: &[RawFd],
        bytes: &[u8],
        mut outcome: impl FnMut(RawFd, Result<usize, Errno>),
    ) -> io::Result<()> {
        for batch in streams.chunks(BATCH) {
            self.push(batch, bytes);
            let mut missing = batch.len();
            while missing > 0 {
                match self.ring.submit_and_wait(missing) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    Ok(_) | Err(_) => (),
                }
                for entry in self.ring.completion() {
                    let result = usize::try_from(entry.result());
                    let result = result.map_err(|_| Errno::from_raw_os_error(-entry.result()));
                    outcome(entry.user_data() as RawFd, result);
                    missing -= 1;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, batch: &[RawFd], bytes: &[u8]) {
        let mut queue = self.ring.submission();
        for stream in batch {
            let flags = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
            let send = opcode::Send::new(types::Fd(*stream), bytes.as_ptr(), bytes.len() as u32);
            let entry = send.flags(flags).build().user_data(*stream as u64);
            // SAFETY: `bytes` outlives the entry: `send_to_all` borrows it until it has read the
            // results of the whole batch, and only this thread closes streams, never in between.
            unsafe { queue.push(&entry) }.expect("the queue has room for a batch and was empty");
        }
    }
}

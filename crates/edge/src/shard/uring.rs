//! Many small writes to many streams in one call: `io_uring`, where the kernel has it and allows
//! it.

use std::io;
use std::os::fd::RawFd;

use bytes::Bytes;
use io_uring::{IoUring, Probe, opcode, types};

use super::backlog::SLICE;

/// `MSG_DONTWAIT | MSG_NOSIGNAL` of Linux: we keep what does not fit now, and a broken stream
/// raises no signal.
const FLAGS: i32 = 0x40 | 0x4000;

/// One frame for one stream.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) slot: u32,
    stream: RawFd,
    pub(super) frame: Bytes,
    /// The bytes that the kernel accepted, or its error, negative.
    result: i32,
}

impl Job {
    /// A job. The stream must stay open until [`Ring::send`] has returned.
    pub(super) fn new(slot: u32, stream: RawFd, frame: Bytes) -> Self {
        Self { slot, stream, frame, result: 0 }
    }

    /// The bytes that the kernel accepted, or its error.
    pub(super) fn written(&self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}

/// The ring of one thread.
pub(super) struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// A ring; fails where the kernel is too old, or a container or a system setting forbids it.
    pub(super) fn new() -> io::Result<Self> {
        let entries = u32::try_from(SLICE).expect("a slice is short");
        let ring = IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(entries)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Send::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self(ring))
    }

    /// Writes each frame to its stream and notes the result. At most a slice of jobs.
    pub(super) fn send(&mut self, jobs: &mut [Job]) {
        debug_assert!(jobs.len() <= SLICE);
        for (place, job) in jobs.iter().enumerate() {
            let length = u32::try_from(job.frame.len()).unwrap_or(u32::MAX);
            let send = opcode::Send::new(types::Fd(job.stream), job.frame.as_ptr(), length);
            let entry = send.flags(FLAGS).build().user_data(place as u64);
            // SAFETY: the frame's bytes live in `jobs`, which is borrowed until all completions
            // have arrived: the loop below does not end before. Nothing else is ever submitted to
            // this ring.
            let pushed = unsafe { self.0.submission().push(&entry) };
            assert!(pushed.is_ok(), "the ring has room for a slice");
        }
        let mut missing = jobs.len();
        while missing > 0 {
            // If the wait is interrupted, wait again; submitted entries complete by themselves.
            let _ = self.0.submit_and_wait(missing);
            for completion in self.0.completion() {
                let place = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
                if let Some(job) = jobs.get_mut(place) {
                    job.result = completion.result();
                    missing -= 1;
                }
            }
        }
    }
}

//! Log lines on their way to standard error. Code that logs never waits for the reader: lines queue
//! up to a limit, a separate thread writes them, and lines beyond the limit are dropped, counted
//! and reported ([ADR 0018]).
//!
//! [ADR 0018]: ../../../docs/adr/0018-log-lines-never-block.md

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait: some thousands of lines.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// The longest line in bytes. Some lines contain text from app servers, which has no limit of its
/// own.
const LINE_BYTES_MAX: usize = 64 << 10;
/// The pause when standard error is full and another process has made it non-blocking.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// The queue of lines. Cheap to clone: all clones are one queue.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    queue: Mutex<Queue>,
    filled: Condvar,
    written: Condvar,
    /// Control characters are escaped; those that begin a colour are kept.
    escape: Option<Escape>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the writer has lines that may be held up.
    writing: bool,
    dropped: u64,
    dropped_unreported: u64,
}

/// Which control characters are escaped, so that each line for people stays one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Escape {
    /// Every control character.
    All,
    /// All but ESC: the formatter uses it for colours, and has escaped it in values.
    AllButColours,
}

impl Lines {
    /// A queue. `escape` is for formats that write values as they are.
    pub(crate) fn new(escape: Option<Escape>) -> Self {
        Self(Arc::new(Inner { escape, ..Inner::default() }))
    }

    /// Starts a thread that writes the queued lines, for as long as the process lives.
    pub(crate) fn write_to_stderr(&self) -> io::Result<()> {
        // A descriptor of its own, so that no lock of the standard library is held while the pipe
        // is full.
        let sink = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let lines = self.clone();
        thread::Builder::new().name("log".into()).spawn(move || lines.write_all_to(sink))?;
        Ok(())
    }

    fn write_all_to(&self, mut sink: impl Write) {
        loop {
            let (batch, dropped) = self.take();
            // If standard error is closed, the lines cannot be shown anywhere.
            let _ = write_whole(&mut sink, &batch);
            if dropped > 0 {
                tracing::warn!(
                    lines = dropped,
                    "log lines were dropped: standard error is not read fast enough"
                );
            }
        }
    }

    /// Waits for lines. Returns all of them, and the number dropped since the last call.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut queue = self.queue();
        queue.writing = false;
        self.0.written.notify_all();
        while queue.lines.is_empty() && queue.dropped_unreported == 0 {
            queue = self.0.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        queue.bytes = 0;
        let batch = std::mem::take(&mut queue.lines).into_iter().flatten().collect();
        (batch, std::mem::take(&mut queue.dropped_unreported))
    }

    fn push(&self, line: &[u8]) {
        let line = match self.0.escape {
            Some(escape) => escaped(line, escape),
            None => line.to_vec(),
        };
        let mut queue = self.queue();
        if line.len() > LINE_BYTES_MAX || queue.bytes + line.len() > QUEUE_BYTES_MAX {
            queue.dropped += 1;
            queue.dropped_unreported += 1;
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line);
        }
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Waits until everything is written, at most `longest`.
    pub(crate) fn flush(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let mut queue = self.queue();
        while queue.writing || !queue.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.written.wait_timeout(queue, left);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lines dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue().dropped
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic in between leaves nothing half done.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The formatter writes a line with one call.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

fn write_whole(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The line with every control character except its final line feed escaped: values come from
/// strangers, and a line feed in one would begin a line that Trunkline never wrote.
fn escaped(line: &[u8], escape: Escape) -> Vec<u8> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, &b"\n"[..]),
        None => (line, &b""[..]),
    };
    let text = String::from_utf8_lossy(text);
    let odd = |c: char| c.is_control() && !(c == '\u{1b}' && escape == Escape::AllButColours);
    let mut kept = Vec::with_capacity(line.len());
    for c in text.chars() {
        if odd(c) {
            kept.extend(c.escape_default().map(|c| c as u8));
        } else {
            kept.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    kept.extend_from_slice(end);
    kept
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn control_characters_of_values_stay_in_their_line() {
        let line = "a\r\nb\tc\u{9b}31m\u{1b}[0m \u{fc}\n";
        let all = escaped(line.as_bytes(), Escape::All);
        assert_eq!(str::from_utf8(&all), Ok("a\\r\\nb\\tc\\u{9b}31m\\u{1b}[0m \u{fc}\n"));
        let colours = escaped(line.as_bytes(), Escape::AllButColours);
        assert_eq!(str::from_utf8(&colours), Ok("a\\r\\nb\\tc\\u{9b}31m\u{1b}[0m \u{fc}\n"));
    }

    #[test]
    fn beyond_the_bound_lines_are_dropped_and_counted_and_nobody_waits() {
        let lines = Lines::new(None);
        let line = [b'x'; 1000];
        for _ in 0..2 * QUEUE_BYTES_MAX / line.len() {
            lines.push(&line);
        }
        lines.push(&[b'y'; LINE_BYTES_MAX + 1]);
        let held = lines.queue().bytes;
        assert!((QUEUE_BYTES_MAX - line.len()..=QUEUE_BYTES_MAX).contains(&held), "{held}");
        let dropped = lines.dropped();
        assert_eq!(dropped as usize, 2 * QUEUE_BYTES_MAX / line.len() - held / line.len() + 1);
        let (batch, reported) = lines.take();
        assert_eq!((batch.len(), reported), (held, dropped));
        lines.push(b"room again");
        assert_eq!(lines.take(), (b"room again".to_vec(), 0));
    }

    /// A writer that accepts a write when the test tells it to.
    struct Stalled(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.recv().is_err() {
                thread::park();
            }
            self.1.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_waits_for_the_writer_and_not_for_ever() {
        let lines = Lines::new(None);
        let (go, stalled) = mpsc::channel();
        let written = Arc::new(Mutex::default());
        let sink = Stalled(stalled, Arc::clone(&written));
        let writer = lines.clone();
        thread::spawn(move || writer.write_all_to(sink));
        lines.push(b"one\n");
        lines.flush(Duration::from_millis(20));
        assert!(written.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
        go.send(()).expect("the writer waits");
        lines.flush(Duration::from_secs(60));
        assert_eq!(*written.lock().unwrap_or_else(PoisonError::into_inner), b"one\n");
    }
}

//! Compresses poll answers on separate threads with a lower priority than the shards: an answer of
//! megabytes takes a second, and the sessions of its shard must not wait for it.
//!
//! All jobs of a thread are worked at slice by slice, the shortest first. Their number is limited:
//! an answer that finds no room, or takes too long, is sent uncompressed. Clients accept both, and
//! a counter shows how often this happens.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// The most jobs of one thread. Each has some 300 KiB of working memory, and its answer.
const JOBS_MAX: usize = 16;
/// The bytes that are compressed before another job may continue: a few milliseconds.
const SLICE_BYTES: usize = 32 * 1024;
/// An answer that is not compressed within this time is sent uncompressed. Tests on a busy machine
/// have more time.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 2 });
/// Shards that share one compressing thread.
const SHARDS_PER_THREAD: usize = 4;
/// The niceness of these threads: 0 is that of a shard, 19 is the lowest priority.
const NICENESS: i32 = 10;

/// The encodings that polling clients may ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Deflate,
    Gzip,
}

/// The compressing threads.
#[derive(Debug)]
pub(crate) struct Compressor {
    lanes: Box<[Lane]>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Lane {
    jobs: SyncSender<Option<Job>>,
    taken: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Job {
    encoding: Encoding,
    body: Bytes,
    reply: oneshot::Sender<Vec<u8>>,
    _place: Place,
}

/// One of the places of a thread; returned when dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Compressor {
    /// Starts threads for this many shards.
    pub(crate) fn start(shards: usize, metrics: Metrics) -> io::Result<Self> {
        let mut lanes = Vec::new();
        let mut threads = Vec::new();
        for number in 0..shards.div_ceil(SHARDS_PER_THREAD) {
            // One place more than there are jobs, for the message that ends the thread.
            let (jobs, inbox) = sync_channel(JOBS_MAX + 1);
            let builder = thread::Builder::new().name(format!("compressor-{number}"));
            threads.push(builder.spawn(move || run(&inbox))?);
            lanes.push(Lane { jobs, taken: Arc::default() });
        }
        Ok(Self { lanes: lanes.into(), threads: Mutex::new(threads), metrics })
    }

    /// The body compressed; `None` when there is no room or it takes too long.
    pub(crate) async fn compress(&self, encoding: Encoding, body: Bytes) -> Option<Bytes> {
        let compressed = self.try_compress(encoding, body).await;
        if compressed.is_none() {
            self.metrics.answers_uncompressed.inc();
        }
        compressed
    }

    async fn try_compress(&self, encoding: Encoding, body: Bytes) -> Option<Bytes> {
        let emptiest = |lane: &&Lane| lane.taken.load(Ordering::Relaxed);
        let lane = self.lanes.iter().min_by_key(emptiest)?;
        let place = lane.place()?;
        let (reply, compressed) = oneshot::channel();
        lane.jobs.try_send(Some(Job { encoding, body, reply, _place: place })).ok()?;
        // A job whose requester has gone is dropped at its next slice.
        let compressed = tokio::time::timeout(PATIENCE, compressed).await.ok()?;
        compressed.ok().map(Bytes::from)
    }

    /// Ends the threads and waits for them.
    pub(crate) fn stop(&self) {
        for lane in &self.lanes {
            let _ = lane.jobs.send(None);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic of that thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Lane {
    fn place(&self) -> Option<Place> {
        if self.taken.fetch_add(1, Ordering::Relaxed) < JOBS_MAX {
            return Some(Place(Arc::clone(&self.taken)));
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

fn run(inbox: &Receiver<Option<Job>>) {
    // If this fails, the threads simply keep the normal priority.
    let _ = rustix::process::nice(NICENESS);
    let mut under_way: Vec<UnderWay> = Vec::with_capacity(JOBS_MAX);
    loop {
        let next = if under_way.is_empty() { inbox.recv().ok() } else { inbox.try_recv().ok() };
        match next {
            Some(Some(job)) => under_way.push(UnderWay::new(job)),
            Some(None) => return,
            None if under_way.is_empty() => return, // All senders are gone.
            None => {
                under_way.retain(|one| !one.job.reply.is_closed());
                let shortest = under_way.iter_mut().enumerate().min_by_key(|(_, one)| one.rest());
                let Some((place, one)) = shortest else { continue };
                if one.go_on() {
                    under_way.swap_remove(place).finish();
                }
            }
        }
    }
}

struct UnderWay {
    job: Job,
    done: usize,
    encoder: Encoder,
}

enum Encoder {
    Deflate(ZlibEncoder<Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl UnderWay {
    fn new(job: Job) -> Self {
        let (out, level) = (Vec::new(), Compression::default());
        let encoder = match job.encoding {
            Encoding::Deflate => Encoder::Deflate(ZlibEncoder::new(out, level)),
            Encoding::Gzip => Encoder::Gzip(GzEncoder::new(out, level)),
        };
        Self { job, done: 0, encoder }
    }

    fn rest(&self) -> usize {
        self.job.body.len() - self.done
    }

    /// Compresses one slice. True when it was the last one.
    fn go_on(&mut self) -> bool {
        let end = self.job.body.len().min(self.done + SLICE_BYTES);
        let slice = &self.job.body[self.done..end];
        self.done = end;
        let written = match &mut self.encoder {
            Encoder::Deflate(encoder) => encoder.write_all(slice),
            Encoder::Gzip(encoder) => encoder.write_all(slice),
        };
        // Writing to memory does not fail; if it did, the plain body would be sent.
        written.is_err() || self.rest() == 0
    }

    fn finish(self) {
        let finished = match self.encoder {
            Encoder::Deflate(encoder) => encoder.finish(),
            Encoder::Gzip(encoder) => encoder.finish(),
        };
        if let Ok(compressed) = finished
            && self.done == self.job.body.len()
        {
            // The requester may have gone meanwhile.
            let _ = self.job.reply.send(compressed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn in_runtime<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn what_was_compressed_in_slices_is_whole() {
        let compressor = Compressor::start(2, Metrics::default()).expect("a thread");
        let text: Vec<u8> = (0..40_000_u32).flat_map(|number| number.to_be_bytes()).collect();
        for encoding in [Encoding::Deflate, Encoding::Gzip] {
            let body = Bytes::from(text.clone());
            let compressed =
                in_runtime(compressor.compress(encoding, body)).expect("there is room");
            assert!(compressed.len() < text.len());
            let mut back = Vec::new();
            let read = match encoding {
                Encoding::Deflate => {
                    flate2::read::ZlibDecoder::new(&*compressed).read_to_end(&mut back)
                }
                Encoding::Gzip => flate2::read::GzDecoder::new(&*compressed).read_to_end(&mut back),
            };
            assert_eq!((read.expect("valid"), back == text), (text.len(), true));
        }
        compressor.stop();
    }

    #[test]
    fn beyond_its_places_an_answer_stays_as_it_is() {
        let metrics = Metrics::default();
        let compressor = Compressor::start(1, metrics.clone()).expect("a thread");
        let lane = &compressor.lanes[0];
        let taken: Vec<_> = (0..JOBS_MAX).map_while(|_| lane.place()).collect();
        assert_eq!(taken.len(), JOBS_MAX);
        let refused = in_runtime(compressor.compress(Encoding::Gzip, Bytes::from_static(b"x")));
        assert_eq!((refused, metrics.answers_uncompressed.get()), (None, 1));
        drop(taken);
        assert!(
            in_runtime(compressor.compress(Encoding::Gzip, Bytes::from_static(b"x"))).is_some()
        );
        compressor.stop();
    }
}

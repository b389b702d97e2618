//! Frames of sessions are sent in batches no longer than the app server accepts.

mod owner;

use bytes::{Bytes, BytesMut};
use owner::{config, up};
use trunkline_trunk::encode::encode_message;
use trunkline_trunk::{Batches, LinkConfig, NodeTrunkConfig, SessionNumber, decode_batch};

fn frames(sizes: &[usize]) -> Bytes {
    let mut frames = BytesMut::new();
    for size in sizes {
        encode_message(&mut frames, SessionNumber(1), false, &vec![b'x'; *size]);
    }
    frames.freeze()
}

#[test]
fn long_batches_are_cut_between_frames_and_as_rarely_as_possible() {
    let whole = frames(&[10, 200, 3000, 1, 90]);
    for bytes_max in [1, 100, 220, 4000, 10_000] {
        let batches: Vec<_> = Batches::new(whole.clone(), bytes_max).collect();
        assert_eq!(batches.concat(), whole, "{bytes_max}");
        for batch in &batches {
            let count = decode_batch(batch.clone())
                .inspect(|frame| assert!(frame.is_ok(), "{bytes_max}"))
                .count();
            assert!(count == 1 || batch.len() <= bytes_max, "{bytes_max}");
        }
        let fits = batches.windows(2).any(|two| two[0].len() + first_length(&two[1]) <= bytes_max);
        assert!(!fits, "{bytes_max}: a frame had room in the batch before");
    }
}

fn first_length(batch: &Bytes) -> usize {
    let frame = decode_batch(batch.clone()).next();
    frame.and_then(Result::ok).map_or(0, |frame| frame.encoded_length())
}

#[test]
fn nothing_is_no_batch_and_what_just_fits_is_one() {
    assert_eq!(Batches::new(Bytes::new(), 10).next(), None);
    let whole = frames(&[5, 5]);
    let count = |bytes_max| Batches::new(whole.clone(), bytes_max).count();
    assert_eq!((count(whole.len()), count(whole.len() - 1)), (1, 2));
}

#[test]
fn a_trunk_cuts_at_what_welcome_said() {
    let link = LinkConfig { batch_bytes_max: 2000, ..LinkConfig::default() };
    let trunk = up(NodeTrunkConfig { link, ..config(1) });
    let whole = frames(&[900, 900, 900]);
    let batches: Vec<_> = trunk.batches(whole).map(|batch| batch.len()).collect();
    assert_eq!(batches, [1810, 905]);
}

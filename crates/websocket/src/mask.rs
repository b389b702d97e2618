//! Masking: RFC 6455, section 5.3. Applying a mask twice gives the input back.

/// XORs `data` with `mask`, eight bytes at a time, and returns the mask as the bytes after `data`
/// need it.
pub(crate) fn apply(data: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes = chunk.first_chunk_mut::<8>().expect("chunks of eight bytes");
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    let tail = chunks.into_remainder();
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    let mut rotated = mask;
    rotated.rotate_left(tail.len() % 4);
    rotated
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The rule of the RFC, one byte at a time.
    fn naive(data: &[u8], mask: [u8; 4]) -> Vec<u8> {
        data.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect()
    }

    #[test]
    fn every_length_and_every_split_matches_the_naive_rule() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        let data: Vec<u8> = (0..40).collect();
        for len in 0..data.len() {
            for split in 0..=len {
                let mut masked = data[..len].to_vec();
                let (head, tail) = masked.split_at_mut(split);
                let rotated = apply(head, mask);
                apply(tail, rotated);
                assert_eq!(masked, naive(&data[..len], mask), "length {len}, split at {split}");
            }
        }
    }
}

//! Any order of operations and deliveries: no frame meets another session, no credit is overdrawn, and in
//! the end both ends agree.

mod pair;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn two_ends_of_our_own_never_misbehave(
        window_bytes in prop_oneof![1u32..4, 1u32..300, Just(1 << 20)],
        operations in vec(any::<u8>(), 0..1200),
    ) {
        pair::World::new(window_bytes).run(&operations);
    }
}

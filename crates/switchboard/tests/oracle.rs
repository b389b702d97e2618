//! The switchboard answers as Socket.IO's in-memory adapter would, after any operations.

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_testkit::switchboard::{Op, Pair};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_operations_agree_with_the_oracle(
        codes in vec(any::<[u8; Op::BYTES]>(), 1..120),
    ) {
        let ops: Vec<Op> = codes.into_iter().map(Op::decode).collect();
        Pair::run(&ops);
    }
}

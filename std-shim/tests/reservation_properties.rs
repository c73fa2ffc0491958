//! Any sequence of operations on a reservation does what it does to a plain list of pages.
#![cfg(target_os = "linux")]

#[allow(dead_code, unreachable_pub, reason = "shared with other programs")]
mod reservation_model;

use proptest::prelude::*;
use reservation_model::{Model, Operation};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_reservation_is_a_list_of_pages(
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..120),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.step(Operation::decode(step));
        }
        model.finish();
    }
}

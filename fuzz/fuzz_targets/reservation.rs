//! Takes bytes as operations on a reservation: it answers what a plain list of pages would, and
//! `/proc/self/maps` agrees.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none reservation -- -max_total_time=60
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../std-shim/tests/reservation_model/mod.rs"]
mod reservation_model;

use reservation_model::{Model, Operation};

fuzz_target!(|bytes: &[u8]| {
    let mut model = Model::new();
    let (steps, _) = bytes.as_chunks::<4>();
    // Each step reads all of /proc/self/maps.
    for &step in steps.iter().take(200) {
        model.step(Operation::decode(step));
    }
    model.finish();
});

//! The environment is read when the library is loaded: what the program sets later does not count.

use crate::{fork, log, message, place, valgrind};

/// Run by the dynamic loader.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = load;

extern "C" fn load() {
    log::initialize();
    message::initialize();
    place::initialize();
    valgrind::initialize();
    fork::initialize();
}

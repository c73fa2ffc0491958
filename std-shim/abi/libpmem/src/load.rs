//! The environment is read when the library is loaded: what the program sets later does not count.

/// Run by the dynamic loader.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = load;

extern "C" fn load() {
    allotment::persist::initialize();
    allotment::map::initialize();
}

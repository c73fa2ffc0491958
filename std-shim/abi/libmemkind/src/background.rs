//! The thread that gives memory back.

use core::ffi::c_int;

use crate::code::SUCCESS;

/// `memkind_set_bg_threads`: whether memory goes back without being asked for. 0.
#[unsafe(no_mangle)]
pub extern "C" fn memkind_set_bg_threads(state: bool) -> c_int {
    allotment::kind::set_background(state);
    SUCCESS
}

//! Variables by which the C library let programs replace malloc. It has not looked at them since
//! version 2.34; programs that read them find our functions.

use core::ffi::c_void;
use core::sync::atomic::AtomicPtr;

use allotment_malloc_family::exports::{aligned, allocate, release, resize};

/// A variable that programs may set.
type Hook = AtomicPtr<c_void>;

/// `__malloc_hook`, see `malloc_hook(3)`.
#[unsafe(no_mangle)]
pub static __malloc_hook: Hook = Hook::new(allocate::malloc as *mut c_void);

/// `__realloc_hook`, see `malloc_hook(3)`.
#[unsafe(no_mangle)]
pub static __realloc_hook: Hook = Hook::new(resize::realloc as *mut c_void);

/// `__free_hook`, see `malloc_hook(3)`.
#[unsafe(no_mangle)]
pub static __free_hook: Hook = Hook::new(release::free as *mut c_void);

/// `__memalign_hook`, see `malloc_hook(3)`.
#[unsafe(no_mangle)]
pub static __memalign_hook: Hook = Hook::new(aligned::memalign as *mut c_void);

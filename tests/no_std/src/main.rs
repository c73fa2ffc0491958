//! A program that has nothing but `core` and our allocator: no std, no libc, not even the
//! start-up code. That it links shows that `allotment-core` needs nothing else; that it
//! exits with 0 shows that the heap works there.
#![no_std]
#![no_main]

mod bare;
mod heap;
#[cfg(feature = "pool")]
mod pool;

/// What the start-up code calls.
#[unsafe(no_mangle)]
extern "C" fn run() -> ! {
    heap::run();
    #[cfg(feature = "pool")]
    pool::run();
    bare::exit(0)
}

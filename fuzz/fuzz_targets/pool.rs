//! Takes bytes as operations on a pool by three who have local heaps and one who has none: blocks stay
//! apart and keep their content, whoever frees them, the pool's check finds nothing, and in the end all
//! memory is free again.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none pool -- -max_total_time=60
//! ```
#![no_main]

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use allotment_core::{Handle, Pool};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use spin::Mutex;

type Users<'p, 'r> = [Option<Handle<'p, 'r, Mutex<()>>>; 4];

/// A block in use, filled with one byte.
struct Live {
    block: NonNull<u8>,
    layout: Layout,
    byte: u8,
}

impl Live {
    fn new(block: NonNull<u8>, layout: Layout, byte: u8) -> Live {
        assert_eq!(block.addr().get() % layout.align(), 0);
        // SAFETY: the block was just allocated with this layout.
        unsafe { block.write_bytes(byte, layout.size()) };
        Live {
            block,
            layout,
            byte,
        }
    }

    /// That the first `len` bytes are as they were written.
    fn verify(&self, block: NonNull<u8>, len: usize) {
        // SAFETY: the block has at least so many bytes, all written.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), len) };
        assert!(bytes.iter().all(|&byte| byte == self.byte));
    }
}

fn layout(input: &mut Unstructured) -> Result<Layout> {
    let size = match input.int_in_range(0..=7_u8)? {
        0..=3 => input.int_in_range(0..=256)?,
        4 | 5 => input.int_in_range(0..=4096)?,
        6 => input.int_in_range(0..=70_000)?,
        _ => input.int_in_range(0..=300_000)?,
    };
    let align = match input.int_in_range(0..=7_u8)? {
        0..=5 => 1 << input.int_in_range(0..=4_u32)?,
        _ => 1 << input.int_in_range(5..=14_u32)?,
    };
    Ok(Layout::from_size_align(size, align).expect("small"))
}

fn allocate(
    user: Option<&Handle<'_, '_, Mutex<()>>>,
    pool: &Pool,
    layout: Layout,
) -> Option<NonNull<u8>> {
    match user {
        Some(handle) => handle.allocate(layout),
        None => pool.allocate(layout),
    }
}

fn free(user: Option<&Handle<'_, '_, Mutex<()>>>, pool: &Pool, live: &Live, sized: bool) {
    live.verify(live.block, live.layout.size());
    // SAFETY: the block is live, and its layout is this.
    unsafe {
        match (user, sized) {
            (Some(handle), true) => handle.deallocate(live.block, live.layout),
            (Some(handle), false) => handle.free(live.block),
            (None, true) => pool.deallocate(live.block, live.layout),
            (None, false) => pool.free(live.block),
        }
    }
}

fn run(input: &mut Unstructured, pool: &Pool) -> Result<()> {
    let mut users: Users = [pool.handle(), pool.handle(), None, None];
    let mut live: Vec<Live> = Vec::new();
    let result = steps(input, pool, &mut users, &mut live);
    for live in &live {
        free(users[0].as_ref(), pool, live, true);
    }
    drop(users);
    if let Some(handle) = pool.handle() {
        handle.trim();
    }
    pool.check().expect("in order");
    assert_eq!(pool.stats().live_blocks, 0);
    let mut slabs = 0;
    pool.for_each_class(|class| slabs += class.slabs);
    assert_eq!(slabs, 0);
    result
}

fn steps<'p, 'r>(
    input: &mut Unstructured,
    pool: &'p Pool<'r>,
    users: &mut Users<'p, 'r>,
    live: &mut Vec<Live>,
) -> Result<()> {
    while !input.is_empty() {
        let user = input.int_in_range(0..=3_usize)?;
        match input.int_in_range(0..=15_u8)? {
            0..=5 => {
                let layout = layout(input)?;
                // Several, so that slabs get full.
                for byte in 0..input.int_in_range(1..=40_u8)? {
                    if let Some(block) = allocate(users[user].as_ref(), pool, layout) {
                        live.push(Live::new(block, layout, byte));
                    }
                }
            }
            6..=10 if !live.is_empty() => {
                let first = usize::from(input.arbitrary::<u16>()?) % live.len();
                let count = input.int_in_range(1..=40_usize)?.min(live.len() - first);
                let sized = input.arbitrary()?;
                for live in live.drain(first..first + count) {
                    free(users[user].as_ref(), pool, &live, sized);
                }
            }
            11 | 12 if !live.is_empty() => {
                let at = usize::from(input.arbitrary::<u16>()?) % live.len();
                let old = &live[at];
                let size = layout(input)?.size();
                // SAFETY: the block is live, and its layout is this.
                let moved = unsafe {
                    match &users[user] {
                        Some(handle) => handle.reallocate(old.block, old.layout, size),
                        None => pool.reallocate(old.block, old.layout, size),
                    }
                };
                if let Some(block) = moved {
                    old.verify(block, size.min(old.layout.size()));
                    let layout = Layout::from_size_align(size, old.layout.align()).expect("small");
                    live[at] = Live::new(block, layout, old.byte);
                }
            }
            13 => users[user] = None,
            14 => users[user] = pool.handle(),
            _ => {
                if let Some(handle) = &users[user] {
                    handle.trim();
                }
                pool.check().expect("in order");
            }
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(kib) = input.int_in_range(1..=4096_usize) else {
        return;
    };
    let mut region = vec![MaybeUninit::uninit(); kib << 10];
    if let Ok(pool) = Pool::create_in_region(&mut region) {
        // Running out of bytes ends the sequence; what was done until then has been checked.
        let _ = run(&mut input, &pool);
    }
});

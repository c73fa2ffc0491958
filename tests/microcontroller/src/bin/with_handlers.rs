//! A global allocator that interrupt handlers use too, over two regions.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use allotment_core::{InterruptLock, Interrupts, LockedHeap, Options};
use allotment_microcontroller::workload::Random;
use allotment_microcontroller::{line, machine, workload};

/// How this part turns its interrupts off.
struct Core;

// SAFETY: with the mask set, no handler runs but those of faults, which do not allocate.
unsafe impl Interrupts for Core {
    #[inline(always)]
    fn disable() -> bool {
        machine::disable_interrupts()
    }

    #[inline(always)]
    unsafe fn enable() {
        // SAFETY: forwarded.
        unsafe { machine::enable_interrupts() }
    }
}

/// Whoever holds the lock keeps handlers off.
#[global_allocator]
static HEAP: LockedHeap<InterruptLock<spin::Mutex<()>, Core>> = LockedHeap::empty();

/// Fast memory first, then more of it elsewhere.
static mut FAST: [MaybeUninit<u8>; 16 << 10] = [MaybeUninit::uninit(); 16 << 10];
static mut MORE: [MaybeUninit<u8>; 48 << 10] = [MaybeUninit::uninit(); 48 << 10];

/// Cycles between two interrupts.
const PERIOD: u32 = 20_000;

/// Interrupts that the example waits for.
const INTERRUPTS: usize = 300;

static INTERRUPTED: AtomicUsize = AtomicUsize::new(0);

/// Lists on their way from the handler to the program. Their content is their length.
static MAIL: [AtomicPtr<Vec<usize>>; 8] = [const { AtomicPtr::new(null_mut()) }; 8];

/// Puts a list into the mail, and frees what was there.
fn exchange(place: usize, list: *mut Vec<usize>) {
    let found = MAIL[place].swap(list, Ordering::AcqRel);
    if !found.is_null() {
        // SAFETY: what is in the mail came from a box, and is taken out once.
        let list = unsafe { Box::from_raw(found) };
        assert!(
            list.iter().all(|&number| number == list.len()),
            "a list changed"
        );
    }
}

/// The timer's handler. It may interrupt an allocation.
#[cfg_attr(target_arch = "arm", cortex_m_rt::exception)]
#[cfg_attr(target_arch = "riscv32", unsafe(no_mangle))]
#[allow(non_snake_case, reason = "the vector's name")]
fn SysTick() {
    let count = INTERRUPTED.fetch_add(1, Ordering::Relaxed);
    let len = 1 + count % 50;
    exchange(
        count % MAIL.len(),
        Box::into_raw(Box::new(alloc::vec![len; len])),
    );
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", unsafe(no_mangle))]
fn main() -> ! {
    let options = Options {
        on_fault: workload::stop,
        ..Options::default()
    };
    let (fast, more) = (&raw mut FAST, &raw mut MORE);
    // SAFETY: `main` runs once, and nobody else uses the regions.
    unsafe {
        HEAP.init_with(fast.cast(), 16 << 10, options)
            .expect("16 KiB suffice");
        HEAP.with(|heap| heap.add_region(&mut *more))
            .expect("it was made above")
            .expect("it is another region");
    }
    let before = HEAP.stats();

    machine::set_timer(PERIOD);
    let mut random = Random(1);
    let mut map: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut steps = 0;
    while INTERRUPTED.load(Ordering::Relaxed) < INTERRUPTS {
        let key = random.below(40);
        let len = 1 + random.below(200);
        if let Some(list) = map.insert(key, alloc::vec![len; len]) {
            assert!(
                list.iter().all(|&number| number == list.len()),
                "a list changed"
            );
        }
        exchange(random.below(MAIL.len()), null_mut());
        steps += 1;
        if steps % 256 == 0 {
            HEAP.with(|heap| heap.check().expect("the heap is in order"));
        }
    }
    machine::set_timer(0);
    drop(map);
    (0..MAIL.len()).for_each(|place| exchange(place, null_mut()));
    HEAP.with(|heap| heap.check().expect("the heap is in order"));
    let after = HEAP.stats();
    assert_eq!(after.live_blocks, 0, "not all was freed");
    assert_eq!(after.free_bytes, before.free_bytes);
    line!(
        "{} interrupts that allocated, {steps} steps that they interrupted, peak {} of {} bytes",
        INTERRUPTED.load(Ordering::Relaxed),
        after.peak_bytes,
        after.region_bytes,
    );
    machine::exit(true)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    line!("{info}");
    machine::exit(false)
}

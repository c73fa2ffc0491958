//! A kernel for four CPUs whose global allocator is a pool with a local heap for each of them.
//!
//! ```text
//! main          starts everything, and says how it went
//!   stress      all CPUs and the handlers of their timers allocate; an oracle looks after them
//!   compare     the same loops with other allocators, counted in instructions
//!     count     counts them
//! allocator     the allocators: this is what a kernel has to write
//!   cpu         which CPU, interrupts off and on
//!   memory      the memory map, and where it is mapped
//! work, apic, boot, port, symbols   what any kernel has
//! ```
//!
//! The command line says what to do: `stress` or `compare`.
#![no_std]
#![no_main]

extern crate alloc;

mod allocator;
mod apic;
mod boot;
mod compare;
mod count;
mod cpu;
mod memory;
mod picture;
mod port;
mod stress;
mod symbols;
mod work;

use core::sync::atomic::{AtomicU32, Ordering};

use boot::{CPUS, StartInfo};
use port::line;

unsafe extern "C" {
    /// Numbers that were given to CPUs, counted by the start-up code.
    static started: AtomicU32;
}

/// CPUs that are ready for work.
static READY: AtomicU32 = AtomicU32::new(1);

/// What the first CPU begins with.
#[unsafe(no_mangle)]
extern "C" fn start(number: usize, info: &StartInfo) -> ! {
    port::silence_old_controllers();
    cpu::prepare_vectors();
    // SAFETY: this is the first CPU, and this its start.
    unsafe { cpu::begin(number) };
    apic::begin();

    for entry in info.memory_map() {
        line!(
            "{:#013x} to {:#013x}: {}",
            entry.start,
            entry.start + entry.len,
            if entry.is_ram() { "memory" } else { "reserved" },
        );
    }
    let mut pieces = memory::pieces(info);
    let low = memory::take_low(&mut pieces);
    let found = pieces.iter().take_while(|piece| !piece.is_empty()).count();
    assert!(found > 0, "no memory");
    // The last piece is kept back, to be added while all CPUs allocate.
    let (first, later) = pieces[..found].split_at(found.max(2) - 1);
    let all = pieces.iter().map(ExactSizeIterator::len).sum();
    // SAFETY: the memory is free, and this is the first CPU.
    unsafe { allocator::begin(first, &low, all) };
    line!(
        "heap: {} MiB at {:#x}, {} MiB later; {} MiB low memory",
        allocator::pool().stats().region_bytes >> 20,
        memory::HEAP,
        later.iter().map(ExactSizeIterator::len).sum::<usize>() >> 20,
        low.len() >> 20,
    );

    apic::start_others(CPUS, &READY);
    // SAFETY: the start-up code is done with it.
    assert_eq!(unsafe { started.load(Ordering::Relaxed) } as usize, CPUS);
    line!("{CPUS} CPUs");

    match info.command_line() {
        "stress" => stress::run(later),
        "compare" => compare::run(),
        other => panic!("unknown command line: {other:?}; give stress or compare"),
    }
    port::exit(0x10)
}

/// What the other CPUs begin with.
#[unsafe(no_mangle)]
extern "C" fn start_other(number: usize) -> ! {
    // SAFETY: this is the CPU's start, and the number its own.
    unsafe { cpu::begin(number) };
    apic::begin();
    READY.fetch_add(1, Ordering::Release);
    work::serve(number)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let cpu = cpu::number();
    // The line may be held by whoever panicked.
    let _ = core::fmt::Write::write_fmt(
        &mut port::Serial,
        format_args!("\nerror on CPU {cpu}: {info}\n"),
    );
    port::exit(0x11)
}

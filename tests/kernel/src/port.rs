//! Ports: the serial line, and the device that ends the machine.

use core::arch::asm;
use core::fmt::{self, Write};

use spin::Mutex;

/// # Safety
/// The device that listens at the port may be sent this byte.
unsafe fn write(port: u16, byte: u8) {
    // SAFETY: forwarded.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) }
}

/// # Safety
/// The device that listens at the port may be read.
unsafe fn read(port: u16) -> u8 {
    let byte;
    // SAFETY: forwarded.
    unsafe { asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack)) }
    byte
}

/// The first serial line.
pub(crate) struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: reading the state has no effect; the line takes a byte when it is ready.
            unsafe {
                while read(0x3FD) & 0x20 == 0 {}
                write(0x3F8, byte);
            }
        }
        Ok(())
    }
}

/// One line at a time. Not taken by interrupt handlers.
pub(crate) static LINE: Mutex<()> = Mutex::new(());

/// Writes a line to the serial line.
macro_rules! line {
    ($($part:tt)*) => {{
        let _line = $crate::port::LINE.lock();
        let _ = core::fmt::Write::write_fmt(&mut $crate::port::Serial, format_args!($($part)*));
        let _ = core::fmt::Write::write_str(&mut $crate::port::Serial, "\n");
    }};
}
pub(crate) use line;

/// Ends the machine. QEMU exits with twice the code and one.
pub(crate) fn exit(code: u8) -> ! {
    // SAFETY: nothing but the device that ends the machine is there.
    unsafe { write(0xF4, code) }
    loop {
        // SAFETY: it only waits.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// Turns the old interrupt controllers off, which would send numbers of exceptions.
pub(crate) fn silence_old_controllers() {
    // SAFETY: the byte masks all their lines.
    unsafe {
        write(0x21, 0xFF);
        write(0xA1, 0xFF);
    }
}

//! Copies to persistent memory that are durable, or on their way, when they return.
//!
//! The destination is written cache line by cache line. Short copies go through the caches and
//! flush each line; long ones go past the caches (non-temporal stores). If the destination and the length
//! are multiples of 8 bytes, no store is smaller than that, so that a crash tears no aligned word.

use core::ops::{BitOr, BitOrAssign};

use super::instruction::{self, LINE, Whole, load_line, store_line, stream_line, stream_word};
use super::settings::{Settings, settings};
use super::{CacheFlush, drain};

/// How a copy is done: a set of hints and promises with libpmem's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyFlags(u32);

impl CopyFlags {
    /// No flags: flushed and drained; which stores are used depends on the length.
    pub const NONE: CopyFlags = CopyFlags(0);
    /// Does not wait: the caller will [`drain`], after several copies perhaps.
    pub const NO_DRAIN: CopyFlags = CopyFlags(1 << 0);
    /// Uses stores past the caches.
    pub const NON_TEMPORAL: CopyFlags = CopyFlags(1 << 1);
    /// Uses stores through the caches.
    pub const TEMPORAL: CopyFlags = CopyFlags(1 << 2);
    /// As [`CopyFlags::NON_TEMPORAL`].
    pub const WRITE_COMBINING: CopyFlags = CopyFlags(1 << 3);
    /// As [`CopyFlags::TEMPORAL`].
    pub const WRITE_BACK: CopyFlags = CopyFlags(1 << 4);
    /// Neither flushes nor waits: the caller will.
    pub const NO_FLUSH: CopyFlags = CopyFlags(1 << 5);

    /// The flags with these bits; bits that mean nothing are ignored.
    #[must_use]
    pub const fn from_bits(bits: u32) -> CopyFlags {
        CopyFlags(bits & ((1 << 6) - 1))
    }

    /// Whether any of these is set.
    #[must_use]
    pub const fn intersects(self, flags: CopyFlags) -> bool {
        self.0 & flags.0 != 0
    }
}

impl BitOr for CopyFlags {
    type Output = CopyFlags;

    fn bitor(self, other: CopyFlags) -> CopyFlags {
        CopyFlags(self.0 | other.0)
    }
}

impl BitOrAssign for CopyFlags {
    fn bitor_assign(&mut self, other: CopyFlags) {
        self.0 |= other.0;
    }
}

/// Copies `len` bytes, which may overlap, as `memmove(3)`, and makes them durable as the flags and
/// `flush` say.
///
/// # Safety
/// `dest` is valid for writes, `src` for reads, of `len` bytes. With [`CopyFlags::NO_DRAIN`] other
/// threads may look at `dest` only after [`drain`].
pub unsafe fn copy(dest: *mut u8, src: *const u8, len: usize, flags: CopyFlags, flush: CacheFlush) {
    let settings = settings();
    let writer = Writer::new(settings, len, flags, flush);
    if settings.plain_copies {
        // SAFETY: the caller's promise.
        unsafe {
            core::ptr::copy(src, dest, len);
            writer.flush(dest, len);
        }
    } else if dest.addr().wrapping_sub(src.addr()) >= len {
        // SAFETY: the caller's promise. Front to back, a store reaches no byte that is still to be read.
        unsafe { writer.forward(dest, len, &Bytes(src)) };
    } else {
        // SAFETY: as above, back to front.
        unsafe { writer.backward(dest, len, &Bytes(src)) };
    }
    writer.finish(flags);
}

/// Sets `len` bytes, as `memset(3)`, and makes them durable as the flags and `flush` say.
///
/// # Safety
/// `dest` is valid for writes of `len` bytes. With [`CopyFlags::NO_DRAIN`] other threads may look at
/// it only after [`drain`].
pub unsafe fn set(dest: *mut u8, byte: u8, len: usize, flags: CopyFlags, flush: CacheFlush) {
    let settings = settings();
    let writer = Writer::new(settings, len, flags, flush);
    if settings.plain_copies {
        // SAFETY: the caller's promise.
        unsafe {
            dest.write_bytes(byte, len);
            writer.flush(dest, len);
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { writer.forward(dest, len, &Repeated::new(byte)) };
    }
    writer.finish(flags);
}

/// What is written.
trait Content {
    /// The line's worth of bytes at an offset.
    ///
    /// # Safety
    /// There are so many.
    unsafe fn whole(&self, offset: usize) -> Whole;

    /// Less than a line, at the front of the buffer.
    ///
    /// # Safety
    /// There are `len` bytes at the offset.
    unsafe fn part(&self, offset: usize, len: usize, buffer: &mut [u8; LINE]);
}

/// The bytes from an address on.
struct Bytes(*const u8);

impl Content for Bytes {
    #[inline(always)]
    unsafe fn whole(&self, offset: usize) -> Whole {
        // SAFETY: the caller's promise.
        unsafe { load_line(self.0.add(offset)) }
    }

    #[inline(always)]
    unsafe fn part(&self, offset: usize, len: usize, buffer: &mut [u8; LINE]) {
        let part = &mut buffer[..len];
        // SAFETY: the caller's promise; the buffer is our own.
        unsafe {
            self.0
                .add(offset)
                .copy_to_nonoverlapping(part.as_mut_ptr(), len)
        };
    }
}

/// One byte, for ever.
struct Repeated {
    byte: u8,
    line: Whole,
}

impl Repeated {
    fn new(byte: u8) -> Repeated {
        // SAFETY: the array is a line.
        let line = unsafe { load_line([byte; LINE].as_ptr()) };
        Repeated { byte, line }
    }
}

impl Content for Repeated {
    #[inline(always)]
    unsafe fn whole(&self, _offset: usize) -> Whole {
        self.line
    }

    #[inline(always)]
    unsafe fn part(&self, _offset: usize, len: usize, buffer: &mut [u8; LINE]) {
        buffer[..len].fill(self.byte);
    }
}

/// How the lines of one copy are written.
struct Writer {
    settings: &'static Settings,
    stream: bool,
    flush: bool,
}

impl Writer {
    fn new(settings: &'static Settings, len: usize, flags: CopyFlags, flush: CacheFlush) -> Writer {
        let past = CopyFlags::NON_TEMPORAL | CopyFlags::WRITE_COMBINING;
        let through = CopyFlags::TEMPORAL | CopyFlags::WRITE_BACK;
        let no_flush = flags.intersects(CopyFlags::NO_FLUSH);
        let stream = settings.stream_from.is_some_and(|threshold| {
            !no_flush && (flags.intersects(past) || !flags.intersects(through) && len >= threshold)
        });
        let flush = flush == CacheFlush::Needed && !no_flush;
        Writer {
            settings,
            stream,
            flush,
        }
    }

    /// Writes `len` bytes, from the front.
    ///
    /// # Safety
    /// `dest` is valid for writes of `len` bytes; the content has so many.
    #[inline(always)]
    unsafe fn forward(&self, dest: *mut u8, len: usize, content: &impl Content) {
        let head = (dest.addr().wrapping_neg() & (LINE - 1)).min(len);
        let mut offset = head;
        // SAFETY: all parts are inside the destination, and each in one line of it.
        unsafe {
            if head > 0 {
                self.put_part(dest, head, content, 0);
            }
            if self.stream {
                while len - offset >= LINE {
                    stream_line(dest.add(offset), content.whole(offset));
                    offset += LINE;
                }
            } else {
                while len - offset >= LINE {
                    store_line(dest.add(offset), content.whole(offset));
                    self.flush(dest.add(offset), LINE);
                    offset += LINE;
                }
            }
            if offset < len {
                self.put_part(dest.add(offset), len - offset, content, offset);
            }
        }
    }

    /// Writes `len` bytes, from the back.
    ///
    /// # Safety
    /// As for [`Writer::forward`].
    #[inline(always)]
    unsafe fn backward(&self, dest: *mut u8, len: usize, content: &impl Content) {
        let tail = (dest.addr().wrapping_add(len) & (LINE - 1)).min(len);
        let mut end = len - tail;
        // SAFETY: all parts are inside the destination, and each in one line of it.
        unsafe {
            if tail > 0 {
                self.put_part(dest.add(end), tail, content, end);
            }
            while end >= LINE {
                end -= LINE;
                let line = content.whole(end);
                if self.stream {
                    stream_line(dest.add(end), line);
                } else {
                    store_line(dest.add(end), line);
                    self.flush(dest.add(end), LINE);
                }
            }
            if end > 0 {
                self.put_part(dest, end, content, 0);
            }
        }
    }

    /// Writes less than a line, all of which is read before.
    ///
    /// # Safety
    /// `dest` is valid for writes of `len` bytes, which lie in one line; the content has so many at
    /// the offset.
    unsafe fn put_part(&self, dest: *mut u8, len: usize, content: &impl Content, offset: usize) {
        let mut buffer = [0; LINE];
        // Both ways in one line would have to wait for each other.
        let stream = self.stream && (dest.addr() | len) & 7 == 0;
        // SAFETY: the caller's promise.
        unsafe {
            content.part(offset, len, &mut buffer);
            if put_part(dest, &buffer[..len], stream) {
                self.flush(dest, len);
            }
        }
    }

    /// # Safety
    /// The range is mapped.
    #[inline(always)]
    unsafe fn flush(&self, dest: *const u8, len: usize) {
        if self.flush {
            // SAFETY: the caller's promise.
            unsafe { instruction::flush(self.settings.instruction, dest, len) };
        }
    }

    fn finish(&self, flags: CopyFlags) {
        // Where draining does nothing, nobody else would wait for these stores.
        if self.stream && !self.settings.instruction.needs_fence() {
            instruction::fence();
        }
        if !flags.intersects(CopyFlags::NO_DRAIN | CopyFlags::NO_FLUSH) {
            drain();
        }
    }
}

/// Writes less than a line: whole aligned words as such. Answers whether anything went through
/// the caches.
///
/// # Safety
/// `dest` is valid for writes of as many bytes.
unsafe fn put_part(dest: *mut u8, bytes: &[u8], stream: bool) -> bool {
    let mut cached = false;
    let mut offset = 0;
    while let Some(&byte) = bytes.get(offset) {
        let at = dest.wrapping_add(offset);
        let word = bytes[offset..].first_chunk::<8>();
        // SAFETY: the caller's promise; words are stored where they are aligned. Volatile, so that the
        // compiler makes neither smaller stores nor a call of `memcpy` out of it.
        unsafe {
            match word.filter(|_| at.addr() % 8 == 0) {
                Some(&word) => {
                    let (at, word) = (at.cast::<u64>(), u64::from_ne_bytes(word));
                    if !(stream && stream_word(at, word)) {
                        at.write_volatile(word);
                        cached = true;
                    }
                    offset += 8;
                }
                None => {
                    at.write_volatile(byte);
                    cached = true;
                    offset += 1;
                }
            }
        }
    }
    cached
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [CopyFlags; 7] = [
        CopyFlags::NONE,
        CopyFlags::NO_DRAIN,
        CopyFlags::NON_TEMPORAL,
        CopyFlags::TEMPORAL,
        CopyFlags::WRITE_COMBINING,
        CopyFlags::WRITE_BACK,
        CopyFlags::NO_FLUSH,
    ];

    /// Aligned as a line, so that every alignment is met on purpose.
    #[repr(align(64))]
    #[derive(Clone)]
    struct Arena([u8; 1024]);

    impl Arena {
        fn patterned() -> Arena {
            let mut state = 0x9e37_79b9_u32;
            Arena(core::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }))
        }
    }

    fn check_copy(to: usize, from: usize, len: usize, flags: CopyFlags, flush: CacheFlush) {
        let mut ours = Arena::patterned();
        let mut oracle = ours.clone();
        oracle.0.copy_within(from..from + len, to);
        let start = ours.0.as_mut_ptr();
        // SAFETY: both parts are inside the arena.
        unsafe { copy(start.add(to), start.add(from), len, flags, flush) };
        drain();
        assert!(
            ours.0 == oracle.0,
            "{len} bytes from {from} to {to}, {flags:?}"
        );
    }

    #[test]
    fn copies_of_every_length_and_alignment() {
        for len in 0..=200 {
            for alignment in 0..64 {
                let flags = FLAGS[(len + alignment) % FLAGS.len()];
                check_copy(
                    alignment,
                    512 + (len * 7) % 64,
                    len,
                    flags,
                    CacheFlush::Needed,
                );
                check_copy(
                    512 + alignment,
                    (len * 5) % 64,
                    len,
                    flags,
                    CacheFlush::Needed,
                );
            }
        }
        for len in 200..=450 {
            for flags in FLAGS {
                check_copy(len % 64, 512 + len % 61, len, flags, CacheFlush::Unneeded);
            }
        }
    }

    #[test]
    fn overlapping_copies_both_ways() {
        for len in (0..300).chain([511, 512, 513, 600]) {
            for distance in [0, 1, 2, 7, 8, 9, 15, 16, 31, 63, 64, 65, 100, 200] {
                let flags = FLAGS[(len + distance) % FLAGS.len()];
                let low = len % 67;
                check_copy(low, low + distance, len, flags, CacheFlush::Needed);
                check_copy(low + distance, low, len, flags, CacheFlush::Needed);
            }
        }
    }

    #[test]
    fn sets_of_every_length_and_alignment() {
        for len in (0..=200).chain([256, 300, 512, 900]) {
            for alignment in 0..64 {
                let flags = FLAGS[(len + alignment) % FLAGS.len()];
                let mut ours = Arena::patterned();
                let mut oracle = ours.clone();
                oracle.0[alignment..alignment + len].fill(0xa5);
                // SAFETY: the part is inside the arena.
                unsafe {
                    let start = ours.0.as_mut_ptr().add(alignment);
                    set(start, 0xa5, len, flags, CacheFlush::Needed);
                }
                drain();
                assert!(ours.0 == oracle.0, "{len} bytes at {alignment}, {flags:?}");
            }
        }
    }

    #[test]
    fn unknown_flags_mean_nothing() {
        assert_eq!(CopyFlags::from_bits(!0b11_1111), CopyFlags::NONE);
        assert!(CopyFlags::from_bits(1).intersects(CopyFlags::NO_DRAIN));
    }
}

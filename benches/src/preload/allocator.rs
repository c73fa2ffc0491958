//! What the workloads need of an allocator.

/// Allocates and frees. The workloads tell sizes and alignments again when they free, for those that want to know.
pub trait Allocator: Copy + Send + Sync + 'static {
    /// Whether sizes are wanted: if not, workloads of random sizes need not remember them.
    const WANTS_SIZES: bool;

    /// A block of `size` bytes, the first of them written.
    fn malloc(&self, size: usize) -> *mut u8;

    /// A block of `size` bytes of zeros, the first of them then written.
    fn calloc(&self, size: usize) -> *mut u8;

    /// A block of `size` bytes, the first of them written, at a multiple of `alignment`, a power of two and a multiple
    /// of a pointer's size.
    fn aligned(&self, alignment: usize, size: usize) -> *mut u8;

    /// The block, which has `old` bytes, with `new` bytes.
    ///
    /// # Safety
    /// `block` is a live block of this allocator that [`malloc`](Self::malloc) or this has made with `old` bytes, and
    /// is not used after the call.
    unsafe fn realloc(&self, block: *mut u8, old: usize, new: usize) -> *mut u8;

    /// Frees the block.
    ///
    /// # Safety
    /// `block` is a live block of this allocator of `size` bytes (any number if it does not [want](Self::WANTS_SIZES)
    /// sizes) and of this alignment, [`USUAL`] if none was asked for, and is not used after the call.
    unsafe fn free(&self, block: *mut u8, size: usize, alignment: usize);
}

/// The alignment of blocks for which none is asked: what most of a Rust program's have. (C always gives 16.)
pub const USUAL: usize = 8;

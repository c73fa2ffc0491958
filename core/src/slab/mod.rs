//! Slabs: objects of one size class, and the descriptors that say which of them are free.
//!
//! ```text
//!  address ──> granule number ──> map entry ──> descriptor ──> owner, start, 1/size, bits
//!
//!  slab        | object 0 | object 1 | object 2 | ...            | tail |
//!  bits            1          0          0       ...  1: free      1 1 1
//! ```
//!
//! Which objects are free stands in bitmaps in the descriptor, out of line: a write beyond an
//! object's end cannot reach it, an object that is free is not touched, and one that was never
//! handed out never was. An object is handed out by clearing its bit and taken back by setting it,
//! so each object is in exactly one of these states:
//!
//! | state | own bit | remote bit | bit in the bin of its local heap |
//! |---|---|---|---|
//! | free | 1 | 0 | 0 |
//! | checked out | 0 | 0 | 1 |
//! | in use | 0 | 0 | 0 |
//! | freed by another thread, not collected yet | 0 | 1 | 0 |
//!
//! That a pointer is the start of an object is seen by one multiplication with the inverse of the
//! size (D. Lemire, O. Kaser and N. Kurz, *Faster remainder by direct computation*, 2019): the
//! product's lower half is smaller than the inverse just for multiples of the size, and its upper
//! half is the object's number.

pub(crate) mod bits;
pub(crate) mod class;
pub(crate) mod descriptor;
pub(crate) mod map;
pub(crate) mod remote;
pub(crate) mod scale;

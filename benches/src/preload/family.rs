//! `malloc`, `free` and their relatives as the dynamic loader binds them.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{mem, process, ptr};

use super::allocator::Allocator;

/// The functions that the workloads call. They are looked up by name at run time: the compiler knows neither which
/// functions they are nor that a block that is freed at once need not be allocated at all.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    posix_memalign: unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int,
    free: unsafe extern "C" fn(*mut c_void),
    library: &'static CStr,
}

/// Functions with the types and meanings that the C standard and POSIX give those of the same names.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// A block of so many bytes, or null.
    pub malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    /// A block of zeros, or null.
    pub calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    /// The block with another size, or null.
    pub realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    /// An aligned block, or an error number.
    pub posix_memalign: unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int,
    /// Gives a block back.
    pub free: unsafe extern "C" fn(*mut c_void),
}

impl Family {
    /// The functions that a program gets that calls them by name: those of the preloaded library, if there is one.
    ///
    /// # Errors
    /// When one is missing, or when they do not all come from the same library.
    pub fn resolve() -> Result<Self, String> {
        let (malloc, library) = symbol(c"malloc")?;
        let same_library = |name: &CStr| {
            let (address, other) = symbol(name)?;
            if other == library {
                Ok(address)
            } else {
                Err(format!(
                    "malloc is of {library:?}, but {name:?} of {other:?}"
                ))
            }
        };
        // SAFETY: the C standard and POSIX give the functions of these names these types, and a loaded library that
        // is never unloaded holds them.
        unsafe {
            Ok(Self {
                malloc: mem::transmute::<*mut c_void, unsafe extern "C" fn(usize) -> *mut c_void>(
                    malloc,
                ),
                calloc: mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(usize, usize) -> *mut c_void,
                >(same_library(c"calloc")?),
                realloc: mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
                >(same_library(c"realloc")?),
                posix_memalign: mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int,
                >(same_library(c"posix_memalign")?),
                free: mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(
                    same_library(c"free")?,
                ),
                library,
            })
        }
    }

    /// These functions, by this name.
    pub fn new(functions: Functions, name: &'static CStr) -> Self {
        Self {
            malloc: functions.malloc,
            calloc: functions.calloc,
            realloc: functions.realloc,
            posix_memalign: functions.posix_memalign,
            free: functions.free,
            library: name,
        }
    }

    /// The library that all of the functions come from.
    pub fn library(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.library.to_bytes()))
    }

    /// A block of `size` bytes, the first of them written.
    #[inline(always)]
    pub fn malloc(&self, size: usize) -> *mut u8 {
        // SAFETY: any size may be asked for.
        written(unsafe { (self.malloc)(size) })
    }

    /// A block of `size` bytes, the first of them written; nothing when there is no memory.
    pub fn try_malloc(&self, size: usize) -> Option<*mut u8> {
        // SAFETY: any size may be asked for.
        let block = unsafe { (self.malloc)(size) };
        (!block.is_null()).then(|| written(block))
    }

    /// A block of `size` bytes of zeros, the first of them written.
    #[inline(always)]
    pub fn calloc(&self, size: usize) -> *mut u8 {
        // SAFETY: any size may be asked for.
        written(unsafe { (self.calloc)(1, size) })
    }

    /// A block of `size` bytes, the first of them written, at a multiple of `alignment`, a power of two and a multiple of a pointer's
    /// size.
    #[inline(always)]
    pub fn aligned(&self, alignment: usize, size: usize) -> *mut u8 {
        let mut block = ptr::null_mut();
        // SAFETY: `block` is valid for writes; a bad alignment is refused.
        if unsafe { (self.posix_memalign)(&raw mut block, alignment, size) } != 0 {
            out_of_memory();
        }
        written(block)
    }

    /// The block with another size.
    ///
    /// # Safety
    /// `block` is a live block of this family, and is not used after the call.
    #[inline(always)]
    pub unsafe fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a live block.
        let block = unsafe { (self.realloc)(block.cast(), size) };
        if block.is_null() {
            out_of_memory();
        }
        block.cast()
    }

    /// Frees the block.
    ///
    /// # Safety
    /// `block` is a live block of this family, and is not used after the call.
    #[inline(always)]
    pub unsafe fn free(&self, block: *mut u8) {
        // SAFETY: the caller promises a live block.
        unsafe { (self.free)(block.cast()) }
    }
}

impl Allocator for Family {
    const WANTS_SIZES: bool = false;

    #[inline(always)]
    fn malloc(&self, size: usize) -> *mut u8 {
        Self::malloc(self, size)
    }

    #[inline(always)]
    fn calloc(&self, size: usize) -> *mut u8 {
        Self::calloc(self, size)
    }

    #[inline(always)]
    fn aligned(&self, alignment: usize, size: usize) -> *mut u8 {
        Self::aligned(self, alignment, size)
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, _: usize, new: usize) -> *mut u8 {
        // SAFETY: the caller promises a live block.
        unsafe { Self::realloc(self, block, new) }
    }

    #[inline(always)]
    unsafe fn free(&self, block: *mut u8, _: usize, _: usize) {
        // SAFETY: the caller promises a live block.
        unsafe { Self::free(self, block) }
    }
}

/// Writes the first byte, as every program does with what it allocates.
#[inline(always)]
fn written(block: *mut c_void) -> *mut u8 {
    if block.is_null() {
        out_of_memory();
    }
    let block = block.cast::<u8>();
    // SAFETY: a new block of at least one byte, which nobody else knows.
    unsafe { block.write_volatile(1) };
    block
}

#[cold]
#[inline(never)]
fn out_of_memory() -> ! {
    // Not a panic: a thread that unwinds would leave the others waiting.
    eprintln!("the allocator is out of memory");
    process::abort();
}

/// The address of a function and the library that it comes from.
fn symbol(name: &CStr) -> Result<(*mut c_void, &'static CStr), String> {
    // SAFETY: the name ends with a null byte.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("no library has {name:?}"));
    }
    // SAFETY: plain data, for which zeros are a value.
    let mut info: libc::Dl_info = unsafe { mem::zeroed() };
    // SAFETY: any address may be asked for, and `info` is valid for writes.
    if unsafe { libc::dladdr(address, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return Err(format!("{name:?} is in no library"));
    }
    // SAFETY: the loader keeps the name as long as the library is loaded, which for one that was there from the start of
    // the process is always.
    Ok((address, unsafe { CStr::from_ptr(info.dli_fname) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_work_and_are_those_of_one_library() {
        let family = Family::resolve().unwrap();
        assert!(
            family.library().to_string_lossy().contains("libc"),
            "{family:?}"
        );
        let block = family.aligned(4096, 100);
        assert_eq!(block.addr() % 4096, 0);
        let zeroed = family.calloc(1000);
        // SAFETY: live blocks of this family within their sizes, none used after its free.
        unsafe {
            assert_eq!((*zeroed, *zeroed.add(999)), (1, 0));
            family.free(block);
            let grown = family.realloc(zeroed, 2000);
            assert_eq!((*grown, *grown.add(999)), (1, 0));
            family.free(grown);
        }
    }
}

//! Capacity, availability, and whether a directory is in persistent memory.

use core::ffi::{CStr, c_char, c_int};
use core::mem::MaybeUninit;
use core::ptr::null_mut;

use allotment::kind::Nodes;
use allotment::os_error::OsError;

use crate::code::{Code, SUCCESS};
use crate::kind::{Memkind, Server};

/// `memkind_check_available`: 0 if the kind has memory on this machine.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_check_available(kind: *mut Memkind) -> c_int {
    // SAFETY: the caller's promise.
    let Server::Static(place, _) = &(unsafe { &*kind }).server else {
        return SUCCESS;
    };
    match place.check() {
        Ok(()) => SUCCESS,
        Err((code, error)) => {
            if error.0 != 0 {
                error.set();
            }
            code.number()
        }
    }
}

/// `memkind_get_capacity`: the most bytes that a kind can have, -1 if that is not known.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_get_capacity(kind: *mut Memkind) -> isize {
    // SAFETY: the caller's promise.
    let kind = unsafe { &*kind };
    let capacity = match (&kind.server, &kind.pmem) {
        (_, Some(pmem)) if pmem.max_size != 0 => Some(pmem.max_size),
        (_, Some(pmem)) => file_system_size(pmem.fd),
        (Server::Pool(pool), None) => Some(pool.capacity()),
        (Server::Static(place, _), None) => place.capacity(),
        (Server::System, None) => Some(Nodes::online().capacity()),
    };
    capacity.map_or(-1, usize::cast_signed)
}

/// The size of the file system that a file is in.
fn file_system_size(fd: c_int) -> Option<usize> {
    let mut status = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the result is writable.
    let status = unsafe {
        if libc::fstatvfs(fd, status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    usize::try_from(u128::from(status.f_blocks) * u128::from(status.f_frsize)).ok()
}

/// `memkind_check_dax_path`: 0 if a file in the directory can be mapped with `MAP_SYNC`.
///
/// # Safety
/// `pmem_dir` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_check_dax_path(pmem_dir: *const c_char) -> c_int {
    const LEN: usize = 4096;
    // SAFETY: the caller's promise.
    let directory = unsafe { CStr::from_ptr(pmem_dir) };
    let mut path = directory.to_bytes().to_vec();
    path.extend_from_slice(b"/memkind.XXXXXX\0");
    // SAFETY: the path ends with a null byte and is writable; the file and its mapping are ours.
    unsafe {
        let fd = libc::mkostemp(path.as_mut_ptr().cast(), libc::O_CLOEXEC);
        if fd < 0 {
            return Code::Runtime.number();
        }
        libc::unlink(path.as_ptr().cast());
        let mut code = Code::Runtime.number();
        if libc::ftruncate(fd, LEN as libc::off_t) == 0 {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
            let found = libc::mmap(null_mut(), LEN, access, flags, fd, 0);
            if found == libc::MAP_FAILED {
                code = Code::Mmap.number();
            } else {
                libc::munmap(found, LEN);
                code = SUCCESS;
            }
        }
        let error = OsError::last();
        libc::close(fd);
        if code != SUCCESS {
            error.set();
        }
        code
    }
}

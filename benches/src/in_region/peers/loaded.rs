//! A library that is loaded at run time.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Stays loaded until the process ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded(*mut c_void);

impl Loaded {
    /// Loads the library, see [`dlopen(3)`](https://man7.org/linux/man-pages/man3/dlopen.3.html): nothing else in the
    /// process gets its functions.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, String> {
        let path = path.ok_or("the peer needs a library")?;
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: the name ends with a null byte; the libraries that are named here run nothing harmful when they are
        // loaded.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure there is a message, which stays until the next call.
            let message = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(message.to_string_lossy().into_owned());
        }
        Ok(Self(handle))
    }

    /// The address of a function.
    pub(super) fn symbol(self, name: &CStr) -> Result<*mut c_void, String> {
        // SAFETY: the handle is that of a loaded library, and the name ends with a null byte.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(format!("the library has no {name:?}"));
        }
        Ok(address)
    }
}

/// The function of a library as a pointer of this type.
macro_rules! function {
    ($library:expr, $name:expr, $type:ty) => {{
        let address = $library.symbol($name)?;
        // SAFETY: the library's header gives the function of this name this type.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, $type>(address) }
    }};
}
pub(super) use function;

//! A path in a fixed buffer, ended by a null byte: what a system call wants, without the heap.

use core::ffi::{CStr, c_char};
use core::fmt;

/// Longest path that the system takes, with its null byte.
pub const CAPACITY: usize = libc::PATH_MAX as usize;

/// A path of at most `PATH_MAX` bytes, held in place. Paths are bytes, not UTF-8.
#[derive(Clone, Copy)]
pub struct PathBuffer {
    // All bytes from `len` on are zero.
    bytes: [u8; CAPACITY],
    len: usize,
}

/// Why bytes are no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// There are `PATH_MAX` bytes or more.
    TooLong,
    /// There is a null byte among them.
    NullByte,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::TooLong => "the path is too long",
            PathError::NullByte => "the path has a null byte in it",
        })
    }
}

impl core::error::Error for PathError {}

impl PathBuffer {
    /// The empty path.
    #[must_use]
    pub const fn new() -> PathBuffer {
        PathBuffer {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    /// Takes a copy of a path's bytes.
    ///
    /// # Errors
    /// [`PathError`] if they are too many or hold a null byte.
    pub fn from_bytes(path: &[u8]) -> Result<PathBuffer, PathError> {
        let mut buffer = PathBuffer::new();
        buffer.push(path)?;
        Ok(buffer)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`PathError`] if they do not fit or hold a null byte; nothing is appended then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PathError> {
        if bytes.contains(&0) {
            return Err(PathError::NullByte);
        }
        let end = self.len + bytes.len();
        if end >= CAPACITY {
            return Err(PathError::TooLong);
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// The same place named from the root: a relative path gets the working directory put before
    /// it.
    ///
    /// # Errors
    /// [`PathError::TooLong`] if it does not fit, or the working directory cannot be told.
    pub fn absolute(&self) -> Result<PathBuffer, PathError> {
        if self.bytes[0] == b'/' {
            return Ok(*self);
        }
        let mut whole = PathBuffer::new();
        // SAFETY: the buffer is writable for the length that is given.
        let found = unsafe { libc::getcwd(whole.bytes.as_mut_ptr().cast::<c_char>(), CAPACITY) };
        if found.is_null() {
            return Err(PathError::TooLong);
        }
        whole.len = whole.bytes.iter().position(|&b| b == 0).unwrap_or(0);
        whole.bytes[whole.len..].fill(0);
        if whole.bytes[..whole.len] != *b"/" {
            whole.push(b"/")?;
        }
        whole.push(self.as_bytes())?;
        Ok(whole)
    }

    /// The directory that the path's last part is in; `.` if the path has one part only.
    #[must_use]
    pub fn parent(&self) -> PathBuffer {
        let path = self.as_bytes();
        let dir: &[u8] = match path.iter().rposition(|&b| b == b'/') {
            Some(0) => b"/",
            Some(at) => &path[..at],
            None => b".",
        };
        let mut parent = PathBuffer::new();
        parent.bytes[..dir.len()].copy_from_slice(dir);
        parent.len = dir.len();
        parent
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The path with its null byte.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        // SAFETY: `push` lets no null byte in and leaves one behind the last byte.
        unsafe { CStr::from_bytes_with_nul_unchecked(&self.bytes[..=self.len]) }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for PathBuffer {
    fn default() -> Self {
        PathBuffer::new()
    }
}

impl fmt::Debug for PathBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert!(PathBuffer::from_bytes(&[b'a'; CAPACITY - 1]).is_ok());
        assert_eq!(
            PathBuffer::from_bytes(&[b'a'; CAPACITY]).unwrap_err(),
            PathError::TooLong
        );
        assert_eq!(
            PathBuffer::from_bytes(b"a\0b").unwrap_err(),
            PathError::NullByte
        );
    }

    #[test]
    fn parents() {
        for (path, parent) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/c", "a/b")] {
            let path = PathBuffer::from_bytes(path.as_bytes()).unwrap();
            assert_eq!(path.parent().as_bytes(), parent.as_bytes());
        }
    }

    #[test]
    fn relative_paths_are_named_from_the_root() {
        let here = std::env::current_dir().unwrap();
        let path = PathBuffer::from_bytes(b"x/y").unwrap().absolute().unwrap();
        assert_eq!(
            path.as_bytes(),
            here.join("x/y").as_os_str().as_encoded_bytes()
        );
        assert_eq!(path.as_c_str().to_bytes(), path.as_bytes());
        let path = PathBuffer::from_bytes(b"/x").unwrap().absolute().unwrap();
        assert_eq!(path.as_bytes(), b"/x");
    }
}

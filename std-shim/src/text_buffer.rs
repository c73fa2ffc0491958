//! Text put together in place, so that it can be written in one go without the heap.

use core::fmt;

/// Up to `N` bytes of text. What does not fit is cut off.
#[derive(Clone)]
pub struct TextBuffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> TextBuffer<N> {
    /// No text.
    #[must_use]
    pub const fn new() -> Self {
        TextBuffer {
            bytes: [0; N],
            len: 0,
        }
    }

    /// A copy of a text, as far as it fits.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut buffer = TextBuffer::new();
        buffer.push(text);
        buffer
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // SAFETY: only whole characters of strings are put in.
        unsafe { core::str::from_utf8_unchecked(&self.bytes[..self.len]) }
    }

    /// Appends bytes as text: what is not UTF-8 becomes U+FFFD.
    pub fn push_lossy(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.push(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.push("\u{fffd}");
            }
        }
    }

    fn push(&mut self, text: &str) {
        let mut fits = text.len().min(N - self.len);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
    }
}

impl<const N: usize> Default for TextBuffer<N> {
    fn default() -> Self {
        TextBuffer::new()
    }
}

impl<const N: usize> fmt::Write for TextBuffer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for TextBuffer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn cuts_at_a_character() {
        let mut text = TextBuffer::<5>::new();
        write!(text, "ab{}", ["ééé"].concat()).unwrap();
        assert_eq!(text.as_str(), "abé");
    }

    #[test]
    fn replaces_what_is_not_text() {
        let mut text = TextBuffer::<32>::new();
        text.push_lossy(b"a\xffb\xc3");
        assert_eq!(text.as_str(), "a\u{fffd}b\u{fffd}");
    }
}

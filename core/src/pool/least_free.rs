//! [`LeastFree`]: how much has been free for a while.

/// The least that was free in the last `LOOKS` looks, which are taken at regular times: nobody has
/// needed so much for so long.
///
/// # Examples
/// ```
/// let mut free = allotment_core::LeastFree::<3>::new();
/// assert_eq!([500, 300, 400, 600, 600].map(|now| free.look(now)), [0, 0, 300, 300, 400]);
/// ```
#[derive(Debug)]
pub struct LeastFree<const LOOKS: usize> {
    seen: [usize; LOOKS],
    next: usize,
}

impl<const LOOKS: usize> LeastFree<LOOKS> {
    /// Nothing was free so far.
    #[must_use]
    pub const fn new() -> Self {
        LeastFree {
            seen: [0; LOOKS],
            next: 0,
        }
    }

    /// Takes the bytes that are free now, and answers those that were free in all looks. O(`LOOKS`).
    pub fn look(&mut self, free: usize) -> usize {
        self.seen[self.next] = free;
        self.next = (self.next + 1) % LOOKS;
        self.seen.iter().copied().min().unwrap_or(0)
    }

    /// So many bytes do not count as free any more, since they were given back. O(`LOOKS`).
    pub fn given(&mut self, bytes: usize) {
        for seen in &mut self.seen {
            *seen = seen.saturating_sub(bytes);
        }
    }
}

impl<const LOOKS: usize> Default for LeastFree<LOOKS> {
    fn default() -> Self {
        LeastFree::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_free_counts() {
        const LOOKS: usize = 40;
        let mut least = LeastFree::<LOOKS>::new();
        for look in 1..LOOKS {
            assert_eq!(least.look(100 + look), 0);
        }
        assert_eq!(least.look(500), 101);
        assert_eq!(least.look(40), 40);
        least.given(40);
        for _ in 1..LOOKS {
            assert_eq!(least.look(90), 0);
        }
        assert_eq!(least.look(90), 90);
    }
}

//! How much has been free for a while.

/// How many times a second free memory is looked at.
pub(super) const PER_SECOND: usize = 4;

/// Looks in ten seconds.
pub(super) const LOOKS: usize = 10 * PER_SECOND;

/// The free bytes of the last ten seconds.
#[derive(Debug)]
pub(super) struct Window {
    seen: [usize; LOOKS],
    next: usize,
}

impl Window {
    pub(super) const fn new() -> Window {
        Window {
            seen: [0; LOOKS],
            next: 0,
        }
    }

    /// Takes what is free now, and answers what has been free all the time.
    pub(super) fn look(&mut self, free: usize) -> usize {
        self.seen[self.next] = free;
        self.next = (self.next + 1) % LOOKS;
        self.seen.iter().copied().min().unwrap_or(0)
    }

    /// So much is not free any more, since it was given back.
    pub(super) fn given(&mut self, bytes: usize) {
        for seen in &mut self.seen {
            *seen = seen.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_free_counts() {
        let mut window = Window::new();
        for look in 1..LOOKS {
            assert_eq!(window.look(100 + look), 0);
        }
        assert_eq!(window.look(500), 101);
        assert_eq!(window.look(40), 40);
        window.given(40);
        for _ in 1..LOOKS {
            assert_eq!(window.look(90), 0);
        }
        assert_eq!(window.look(90), 90);
    }
}

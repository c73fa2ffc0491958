//! Page arithmetic, and how much a process may map.

use super::ALIGNMENT;

/// The range that a pool gets when nobody says otherwise.
#[cfg(target_pointer_width = "64")]
const GENEROUS: usize = 64 << 30;
/// See the 64-bit value.
#[cfg(not(target_pointer_width = "64"))]
const GENEROUS: usize = 512 << 20;

/// Nothing smaller is worth trying.
pub(super) const LEAST: usize = 1 << 20;

/// Bytes in a page.
pub(super) fn page_size() -> usize {
    // SAFETY: only asks.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The next multiple of a page, `None` if there is none.
pub(super) fn round_up_to_page(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(page_size())
}

/// The whole pages inside a range, as start and length.
pub(super) fn whole_pages(address: usize, len: usize) -> Option<(usize, usize)> {
    let page = page_size();
    let first = address.checked_next_multiple_of(page)?;
    let end = address.checked_add(len)? & !(page - 1);
    (first < end).then(|| (first, end - first))
}

/// The soft limit on a resource, `usize::MAX` if there is none.
pub(super) fn soft_limit(resource: libc::__rlimit_resource_t) -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable.
    let failed = unsafe { libc::getrlimit(resource, &raw mut limit) } != 0;
    if failed || limit.rlim_cur == libc::RLIM_INFINITY {
        return usize::MAX;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Memory and swap of the machine, 0 if unknown.
fn machine_memory() -> usize {
    let mut info = core::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: `info` is writable; all-zero bytes are a valid value of it.
    let info = unsafe {
        libc::sysinfo(info.as_mut_ptr());
        info.assume_init()
    };
    let units = (info.totalram as usize).saturating_add(info.totalswap as usize);
    units.saturating_mul(info.mem_unit as usize)
}

/// The sizes to try: the asked one alone, or from the generous one down by halves.
pub(super) fn candidates(asked: Option<usize>) -> impl Iterator<Item = usize> {
    let first = match asked {
        Some(size) => round_up_to_page(size).unwrap_or(usize::MAX),
        None => {
            let memory = machine_memory().checked_next_power_of_two().unwrap_or(0);
            // Half of what may be mapped: stacks and libraries need room, too.
            let most = soft_limit(libc::RLIMIT_AS) / 2;
            let most = if most >= LEAST {
                most & !(page_size() - 1)
            } else {
                LEAST
            };
            GENEROUS.max(memory).min(most)
        }
    };
    let explicit = asked.is_some();
    core::iter::successors(Some(first), move |&size| {
        let half = (size / 2) & !(ALIGNMENT - 1);
        (!explicit && half >= LEAST).then_some(half)
    })
}

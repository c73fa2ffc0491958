//! What our own heap may take, in instructions on x86-64: the limits that are held, trace by trace, and the aims that
//! are not reached yet.

/// The aim for the worst allocation: rlsf's.
pub const ALLOCATE_AIM: u32 = 118;

/// The aim for the worst free: talc's.
pub const FREE_AIM: u32 = 76;

/// The aim for the mean of an allocation and a free over mixed operations.
pub const PAIR_AIM: f64 = 120.0;

/// The most that an operation of a trace may take.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The trace's letter.
    pub trace: char,
    /// The most that any allocation may take, one that is refused included.
    pub allocate: u32,
    /// The most that any free may take.
    pub free: u32,
    /// The most that an allocation and a free may take together, on average.
    pub pair: f64,
}

/// What was measured, and two to three in a hundred more for another compiler's taste. Lower them with each gain.
pub const LIMITS: &[Limit] = &[
    Limit {
        trace: 'A',
        allocate: 194,
        free: 110,
        pair: 161.0,
    },
    Limit {
        trace: 'B',
        allocate: 115,
        free: 110,
        pair: 179.0,
    },
    Limit {
        trace: 'C',
        allocate: 181,
        free: 110,
        pair: 281.0,
    },
    Limit {
        trace: 'D',
        allocate: 484,
        free: 105,
        pair: 178.0,
    },
    Limit {
        trace: 'E',
        allocate: 123,
        free: 108,
        pair: 147.0,
    },
    Limit {
        trace: 'F',
        allocate: 184,
        free: 103,
        pair: 202.0,
    },
];

/// The limit of a trace.
///
/// # Panics
/// If the trace has none.
#[must_use]
pub fn limit_of(trace: char) -> Limit {
    let limit = LIMITS.iter().find(|limit| limit.trace == trace);
    *limit.expect("each trace has a limit")
}

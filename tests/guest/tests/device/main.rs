//! On a Device DAX: see `tests/guest/check`.

mod map;
mod pool;
mod reservation;
mod source;

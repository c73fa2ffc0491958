//! On a Device DAX: see `tests/guest/check`.

mod kind;
mod map;
mod mapping;
mod pool;
mod reservation;
mod source;

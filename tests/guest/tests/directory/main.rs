//! On a file system, with DAX or without: see `tests/guest/check`.

mod kind;
mod map;
mod pool;
mod reservation;

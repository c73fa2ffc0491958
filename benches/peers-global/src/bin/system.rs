//! The workloads on the C library, by way of the standard library.

#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    allotment_benches::global::driver::main()
}

//! The workloads on rusty_alloc.

#[global_allocator]
static ALLOCATOR: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;

fn main() -> std::process::ExitCode {
    allotment_benches::global::driver::main()
}

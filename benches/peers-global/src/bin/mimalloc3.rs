//! The workloads on mimalloc 3.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    allotment_benches::global::driver::main()
}

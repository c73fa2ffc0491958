//! The workloads on Allotment.

#[global_allocator]
static ALLOCATOR: allotment::Allotment = allotment::Allotment::new();

fn main() -> std::process::ExitCode {
    allotment_benches::global::driver::main()
}

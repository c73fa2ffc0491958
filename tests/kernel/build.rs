//! Hands the linker its script.

fn main() {
    let directory = std::env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it");
    println!("cargo:rustc-link-arg-bins=-T{directory}/kernel.ld");
    println!("cargo:rerun-if-changed=kernel.ld");
}

//! Puts the memory of the machine where the linker finds it.

use std::path::Path;

fn main() {
    let directory = std::env::var("OUT_DIR").expect("Cargo sets it");
    let target = std::env::var("TARGET").expect("Cargo sets it");
    let memory = if target.starts_with("thumbv6m") {
        "microbit.x"
    } else {
        "mps2.x"
    };
    for (from, to) in [(memory, "memory.x"), ("riscv.ld", "riscv.ld")] {
        std::fs::copy(
            Path::new("linker").join(from),
            Path::new(&directory).join(to),
        )
        .expect("the linker scripts are there");
    }
    println!("cargo:rustc-link-search={directory}");
    println!("cargo:rerun-if-changed=linker");
}

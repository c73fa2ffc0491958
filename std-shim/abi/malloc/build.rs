//! Link options of the preload library.

fn main() {
    // Threads and signal handlers run code in it until the process is gone.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}

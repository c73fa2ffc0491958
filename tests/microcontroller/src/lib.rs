//! What the examples share: the machine, and a workload with an oracle.
#![no_std]

#[cfg(target_arch = "arm")]
#[path = "cortex_m.rs"]
pub mod machine;
#[cfg(target_arch = "riscv32")]
#[path = "riscv.rs"]
pub mod machine;
pub mod workload;

/// Writes a line to whoever runs the machine.
#[macro_export]
macro_rules! line {
    ($($part:tt)*) => {{
        let _ = core::fmt::Write::write_fmt(&mut $crate::machine::Console, format_args!($($part)*));
        let _ = core::fmt::Write::write_str(&mut $crate::machine::Console, "\n");
    }};
}

//! Measures an allocator in a region: `region-driver TASK`, where TASK is what the bench `region`
//! makes of it. Prints the answer as one line of JSON.

use std::process::ExitCode;

/// Keeps the driver's own blocks out of the heap that is measured.
#[cfg(target_os = "linux")]
#[global_allocator]
static OWN: allotment_benches::preload::own_memory::OwnMemory =
    allotment_benches::preload::own_memory::OwnMemory::new();

#[cfg(target_os = "linux")]
fn answer() -> Result<String, String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(task), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: region-driver TASK (the bench `region` runs this)".to_owned());
    };
    let task = serde_json::from_str(&task).map_err(|error| format!("not a task: {error}"))?;
    let answer = allotment_benches::in_region::driver::run(&task)?;
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn answer() -> Result<String, String> {
    Err("this bench is for Linux".to_owned())
}

/// Ends the process without what libraries do at its end, which is not what is measured (and where some peers crash
/// when they have had several threads).
#[cfg(target_os = "linux")]
fn leave() -> ExitCode {
    // SAFETY: the other threads have ended, and standard output, which is written line by line, holds nothing back.
    unsafe { libc::_exit(0) }
}

#[cfg(not(target_os = "linux"))]
fn leave() -> ExitCode {
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    match answer() {
        Ok(answer) => {
            println!("{answer}");
            leave()
        }
        Err(error) => {
            eprintln!("region-driver: {error}");
            ExitCode::FAILURE
        }
    }
}

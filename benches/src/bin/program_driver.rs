//! Measures one run of a program: `program-driver RUN`, where RUN is what the bench `programs` makes of it. Prints the
//! outcome as one line of JSON.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn answer() -> Result<String, String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(run), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: program-driver RUN (the bench `programs` runs this)".to_owned());
    };
    let run: allotment_benches::programs::run::Run =
        serde_json::from_str(&run).map_err(|error| format!("not a run: {error}"))?;
    serde_json::to_string(&run.measure()?).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn answer() -> Result<String, String> {
    Err("preloading is for Linux".to_owned())
}

fn main() -> ExitCode {
    match answer() {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

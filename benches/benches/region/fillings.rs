//! How full a region gets, what is left of it after everything was freed, and how full it gets again.

use allotment_benches::in_region::fill::{Filling, SIZES};
use allotment_benches::in_region::task::{Answer, Work};
use allotment_benches::preload::process;
use allotment_benches::report;
use allotment_benches::table::Table;
use serde::Serialize;

use crate::command::{Candidate, driver};

/// Which number of a filling is printed.
type Quantity = fn(&Filling) -> f64;

#[derive(Serialize)]
struct Row<'a> {
    sizes: &'a str,
    then: u32,
    peers: Vec<PeerFilling<'a>>,
}

#[derive(Serialize)]
struct PeerFilling<'a> {
    peer: &'a str,
    filling: Option<Filling>,
}

/// Fills regions of `mib` MiB, prints the tables, and writes the numbers. Whether ours succeeded everywhere.
pub(super) fn run(candidates: &[Candidate], mib: usize, seed: u64) -> Result<bool, String> {
    let mut errors = Vec::new();
    let mut rows = Vec::new();
    for sizes in &SIZES {
        let mut peers = Vec::new();
        for candidate in candidates {
            let work = Work::Fill {
                name: sizes.name.to_owned(),
                seed,
            };
            let filling = match process::run(driver(), &candidate.task(mib, work), None) {
                Ok(Answer::Filling(filling)) => Some(filling),
                Ok(Answer::Rows { .. }) => None,
                Err(error) => {
                    errors.push(format!("{}: {error}: {}", candidate.name, sizes.name));
                    None
                }
            };
            peers.push(PeerFilling {
                peer: &candidate.name,
                filling,
            });
        }
        rows.push(Row {
            sizes: sizes.name,
            then: sizes.then,
            peers,
        });
    }
    let quantities: [(&str, Quantity); 4] = [
        ("payload when full", |filling| filling.full),
        (
            "payload when full again, after everything was freed at random",
            |filling| filling.again,
        ),
        (
            "the largest block after everything was freed at random",
            |filling| filling.largest,
        ),
        (
            "payload when filled with another size after that",
            |filling| filling.refilled,
        ),
    ];
    for (heading, quantity) in quantities {
        println!("\nA region of {mib} MiB: {heading}, in parts of the region");
        print(&rows, quantity);
    }
    for error in &errors {
        println!("failed: {error}");
    }
    let path = report::write_json("region-fill.json", &rows).map_err(|error| error.to_string())?;
    println!("\nAll numbers: {}", path.display());
    Ok(rows.iter().all(|row| row.peers[0].filling.is_some()))
}

fn print(rows: &[Row<'_>], quantity: Quantity) {
    let mut headings = vec!["sizes, then"];
    headings.extend(rows[0].peers.iter().map(|peer| peer.peer));
    let table = Table::new(18, &headings);
    for row in rows {
        let mut cells = vec![format!("{}, {}", row.sizes, row.then)];
        cells.extend(row.peers.iter().map(|peer| {
            peer.filling.as_ref().map_or_else(
                || "-".to_owned(),
                |filling| format!("{:.3}", quantity(filling)),
            )
        }));
        table.row(&cells);
    }
}

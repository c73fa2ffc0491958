//! The ratios as a picture: a line for each row, a dot on it for each peer, on a logarithmic scale.

use svg::Document;
use svg::node::element::{Circle, Group, Line, Rectangle, Text, Title};

use super::results::{Measure, Results, Row};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 15.0;
const HEAD: f64 = 70.0;
/// Above each section, and below the last row.
const GAP: f64 = 34.0;

/// Ours first; then for each of the peers in their order.
const OURS: &str = "#d62728";
const COLOURS: [&str; 10] = [
    "#7f7f7f", "#1f77b4", "#17becf", "#2ca02c", "#ff7f0e", "#aec7e8", "#9467bd", "#8c564b",
    "#bcbd22", "#e377c2",
];

/// From ratios to places.
struct Scale {
    /// Binary logarithms of the ratios at both ends.
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale from one power of two to another that holds all the ratios, or 1/32 to 128 at most.
    fn new(ratios: impl IntoIterator<Item = f64>) -> Self {
        let mut scale = Self {
            low: -1.0,
            high: 1.0,
        };
        for ratio in ratios {
            scale.low = scale.low.min(ratio.log2().floor()).max(-5.0);
            scale.high = scale.high.max(ratio.log2().ceil()).min(7.0);
        }
        scale
    }

    fn x(&self, ratio: f64) -> f64 {
        let part = (ratio.log2().clamp(self.low, self.high) - self.low) / (self.high - self.low);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 2_f64.powi(power))
    }
}

/// An SVG document of the ratios of the minima.
pub fn draw(results: &Results) -> String {
    let ratios = |row: &Row| {
        (0..results.peers.len())
            .filter_map(|peer| Some((peer, results.ratio(row, peer, Measure::Minimum)?)))
            .collect::<Vec<_>>()
    };
    let scale = Scale::new(
        results
            .rows
            .iter()
            .flat_map(&ratios)
            .map(|(_, ratio)| ratio),
    );
    let sections = results.sections();
    let height = HEAD + results.rows.len() as f64 * ROW + sections.len() as f64 * GAP + GAP;
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("font-family", "sans-serif")
        .set("font-size", 11)
        .add(rectangle(0.0, 0.0, WIDTH, height, "white"))
        .add(
            text(
                10.0,
                18.0,
                &format!(
                    "{} as a multiple of {}'s (left is faster; means in brackets)",
                    results.quantity, results.peers[results.baseline]
                ),
            )
            .set("font-size", 14),
        )
        .add(legend(results));
    let mut y = HEAD;
    for section in sections {
        y += GAP;
        let rows: Vec<_> = results
            .rows
            .iter()
            .filter(|row| row.section == section)
            .collect();
        document = document
            .add(text(10.0, y - 8.0, section).set("font-weight", "bold"))
            .add(axis(&scale, y, y + rows.len() as f64 * ROW));
        for row in rows {
            document = document.add(dots(results, row, &ratios(row), &scale, y + ROW / 2.0));
            y += ROW;
        }
    }
    document.to_string()
}

fn colour(results: &Results, peer: usize) -> &'static str {
    if peer == results.ours {
        OURS
    } else {
        let before = peer - usize::from(peer > results.ours);
        COLOURS[before % COLOURS.len()]
    }
}

fn legend(results: &Results) -> Group {
    let columns = 5;
    let width = (WIDTH - 20.0) / columns as f64;
    let mut group = Group::new();
    for (peer, name) in results.peers.iter().enumerate() {
        let x = 16.0 + (peer % columns) as f64 * width;
        let y = 38.0 + (peer / columns) as f64 * 18.0;
        let mean = results
            .mean(peer, Measure::Minimum, |_| true)
            .map_or_else(|| "-".to_owned(), |mean| format!("{mean:.2}"));
        let label = text(x + 10.0, y + 4.0, &format!("{name} ({mean})"));
        group = group
            .add(dot(results, peer, x, y))
            .add(if peer == results.ours {
                label.set("font-weight", "bold")
            } else {
                label
            });
    }
    group
}

fn axis(scale: &Scale, top: f64, bottom: f64) -> Group {
    let mut group = Group::new().set("font-size", 9).set("fill", "#555");
    for ratio in scale.powers() {
        let x = scale.x(ratio);
        let label = if ratio < 1.0 {
            format!("1/{}", 1.0 / ratio)
        } else {
            ratio.to_string()
        };
        group = group
            .add(
                Line::new()
                    .set("x1", x)
                    .set("x2", x)
                    .set("y1", top)
                    .set("y2", bottom)
                    .set("stroke", if ratio == 1.0 { "#555" } else { "#ddd" }),
            )
            .add(text(x, top - 4.0, &label).set("text-anchor", "middle"));
    }
    group
}

/// One row. Ours is drawn last, above the others.
fn dots(results: &Results, row: &Row, ratios: &[(usize, f64)], scale: &Scale, y: f64) -> Group {
    let mut group = Group::new()
        .add(text(LEFT - 10.0, y + 4.0, &row.name).set("text-anchor", "end"))
        .add(
            Line::new()
                .set("x1", LEFT)
                .set("x2", WIDTH - RIGHT)
                .set("y1", y)
                .set("y2", y)
                .set("stroke", "#eee"),
        );
    let mut ratios = ratios.to_vec();
    ratios.sort_by_key(|&(peer, _)| peer == results.ours);
    for (peer, ratio) in ratios {
        let explanation = format!("{} {}: {ratio:.2}", results.peers[peer], row.name);
        group = group.add(dot(results, peer, scale.x(ratio), y).add(Title::new(explanation)));
    }
    group
}

fn dot(results: &Results, peer: usize, x: f64, y: f64) -> Circle {
    let ours = peer == results.ours;
    Circle::new()
        .set("cx", rounded(x))
        .set("cy", rounded(y))
        .set("r", if ours { 5.5 } else { 3.5 })
        .set("fill", colour(results, peer))
        .set("fill-opacity", if ours { 1.0 } else { 0.75 })
}

fn text(x: f64, y: f64, content: &str) -> Text {
    Text::new(content).set("x", rounded(x)).set("y", rounded(y))
}

fn rectangle(x: f64, y: f64, width: f64, height: f64, fill: &str) -> Rectangle {
    Rectangle::new()
        .set("x", x)
        .set("y", y)
        .set("width", width)
        .set("height", height)
        .set("fill", fill)
}

/// A tenth of a pixel is fine enough.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn the_scale_is_logarithmic_and_holds_all_ratios() {
        let scale = Scale::new([0.3, 5.0]);
        assert_eq!(
            scale.powers().collect::<Vec<_>>(),
            [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
        );
        let step = scale.x(0.5) - scale.x(0.25);
        assert!((scale.x(8.0) - scale.x(4.0) - step).abs() < 1e-9);
        assert_eq!(scale.x(1000.0), scale.x(8.0));
    }

    #[test]
    fn every_measured_cell_is_a_dot() {
        let results = results();
        let picture = draw(&results);
        // Three in the legend, five measured.
        assert_eq!(picture.matches("<circle").count(), 8);
        assert_eq!(picture.matches(OURS).count(), 3);
        for label in [
            "ours (1.00)",
            "base (1.00)",
            "other (0.40)",
            "1 thread",
            "2 threads",
            "pair-16",
        ] {
            assert!(picture.contains(label), "{label}");
        }
    }
}

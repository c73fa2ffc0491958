//! Results for people.

/// A table whose columns are known before its rows: rows can be printed as they come.
#[derive(Clone, Debug)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// A table with these column headings. The first column is `first` characters wide and aligned to the left, the others
    /// are aligned to the right. Prints the heading.
    pub fn new(first: usize, headings: &[&str]) -> Self {
        let widths = headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                if column == 0 {
                    first
                } else {
                    heading.chars().count().max(8)
                }
            })
            .collect();
        let table = Self { widths };
        table.row(headings);
        table.rule();
        table
    }

    /// Prints a row.
    pub fn row(&self, cells: &[impl AsRef<str>]) {
        println!("{}", self.line(cells));
    }

    /// Prints a rule.
    pub fn rule(&self) {
        println!(
            "{}",
            "-".repeat(self.widths.iter().sum::<usize>() + 2 * (self.widths.len() - 1))
        );
    }

    fn line(&self, cells: &[impl AsRef<str>]) -> String {
        let mut line = String::new();
        for (column, (cell, &width)) in cells.iter().zip(&self.widths).enumerate() {
            let cell = cell.as_ref();
            if column == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_their_headings() {
        let table = Table::new(6, &["row", "a long heading", "x"]);
        assert_eq!(
            table.line(&["pair", "1.00", "2"]),
            "pair              1.00         2"
        );
        assert_eq!(table.line(&["pair"]), "pair");
    }
}

//! Tables: columns with a heading, as wide as their widest cell.

use std::fmt::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::show::output::escape;
use crate::show::style::{self, Tone};

/// Columns with a heading, as wide as their widest cell.
///
/// Widths are those that a terminal gives to the characters: two columns for most of Chinese,
/// Japanese and emoji, none for combining accents.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
}

/// A text in a table, and how it stands out.
#[derive(Debug)]
struct Cell {
    text: String,
    tone: Tone,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(heading: [&str; N]) -> Self {
        Self {
            rows: vec![heading.map(|text| Cell {
                text: text.to_owned(),
                tone: Tone::Heading,
            })],
        }
    }

    /// Adds a row; the cells are escaped.
    pub(crate) fn row(&mut self, cells: [&str; N]) {
        self.toned_row(cells.map(|text| (text, Tone::Plain)));
    }

    /// Adds a row of which some cells stand out; the cells are escaped.
    pub(crate) fn toned_row(&mut self, cells: [(&str, Tone); N]) {
        self.rows.push(cells.map(|(text, tone)| Cell {
            text: escape(text),
            tone,
        }));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    /// Leaves out the columns that have nothing below the heading.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [Option<usize>; N] = std::array::from_fn(|column| {
            let cells = || self.rows.iter().map(|row| row[column].text.width());
            let is_empty = cells().skip(1).all(|width| width == 0);
            cells().max().filter(|_| !is_empty)
        });
        for row in &self.rows {
            let mut line = String::new();
            let mut padding = 0;
            for (cell, width) in row.iter().zip(widths) {
                let (Some(width), text) = (width, cell.text.as_str()) else {
                    continue;
                };
                if !text.is_empty() {
                    write!(line, "{:padding$}{}", "", style::on_stdout(cell.tone, text))?;
                    padding = 0;
                }
                padding += width - text.width() + 2;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_has_no_trailing_spaces() {
        let mut table = Table::new(["LABEL", "STATE", "ID"]);
        table.row(["a", "", "01"]);
        table.row(["longer one", "x", ""]);
        assert_eq!(
            table.to_string(),
            "LABEL       STATE  ID\na                  01\nlonger one  x\n"
        );
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let mut table = Table::new(["LABEL", "STATE", "ID"]);
        table.row(["a", "", "01"]);
        assert_eq!(table.to_string(), "LABEL  ID\na      01\n");
    }

    /// Two columns for 鍵 and for an emoji, one for é in both of its encodings.
    #[test]
    fn columns_are_counted_as_a_terminal_shows_them() {
        let mut table = Table::new(["LABEL", "ID"]);
        table.row(["鍵鍵鍵", "01"]);
        table.row(["🔑 key", "02"]);
        table.row(["cle\u{301}", "03"]);
        table.row(["clé", "04"]);
        assert_eq!(
            table.to_string(),
            "LABEL   ID\n鍵鍵鍵  01\n🔑 key  02\ncle\u{301}     03\nclé     04\n"
        );
    }
}

//! Tables as text: names to the left, numbers to the right, two spaces between, no trailing spaces. Pure.

use super::{Paint, Tone};

/// To which side a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// One field of a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a meaning.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// The text without colour.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    pub(crate) fn tone(&self) -> Tone {
        self.tone
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// A header and rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells beyond the columns are not shown.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The columns with their alignment.
    pub(crate) fn columns(&self) -> &[(&'static str, Align)] {
        &self.columns
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The widths that the columns need, header included, in characters.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let cell_width =
            |row: &Vec<Cell>, column: usize| row.get(column).map_or(0, |cell| cell.text.chars().count());
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(i, (title, _))| {
                self.rows
                    .iter()
                    .map(|row| cell_width(row, i))
                    .chain([title.chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }

    /// The whole table, a line break after every line.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut out = String::new();
        let header: Vec<Cell> =
            self.columns.iter().map(|(title, _)| Cell::toned(*title, Tone::Strong)).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            let mut pending = 0;
            for ((_, align), (cell, width)) in self.columns.iter().zip(row.iter().zip(&widths)) {
                let space = width.saturating_sub(cell.text.chars().count());
                let (before, after) = if *align == Align::Right { (space, 0) } else { (0, space) };
                line.push_str(&" ".repeat(pending + before));
                line.push_str(&paint.tone(cell.tone, &cell.text));
                pending = after + 2;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[("NAME", Align::Left), ("RPS", Align::Right), ("STATE", Align::Left)]);
        table.row(["web".into(), "7.5".into(), Cell::toned("ok", Tone::Good)]);
        table.row(["recommend".into(), "120.0".into(), Cell::default()]);
        table
    }

    #[test]
    fn names_are_left_numbers_right_and_no_line_ends_in_spaces() {
        assert_eq!(
            sample().render(Paint::Plain),
            "NAME         RPS  STATE\nweb          7.5  ok\nrecommend  120.0\n"
        );
    }

    #[test]
    fn colours_do_not_change_the_alignment() {
        let coloured = sample().render(Paint::Colour);
        assert!(coloured.contains("\x1b[32mok\x1b[0m"), "{coloured:?}");
        let plain =
            ["\x1b[32m", "\x1b[1m", "\x1b[0m"].iter().fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(plain, sample().render(Paint::Plain));
    }
}

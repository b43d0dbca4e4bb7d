//! A table of text: as wide as it has to be, and no wider than a terminal is. Pure.

use super::screen::{Colour, Style, columns};
use crate::text::visible;

/// Columns between two cells.
const GAP: usize = 2;
/// Columns that a cell keeps that may be cut, where there is no other way.
const LEAST: usize = 8;

/// One text of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// Makes a cell in a colour.
    pub(super) fn painted(text: &str, colour: Option<Colour>) -> Cell {
        Cell { colour, ..Cell::from(text) }
    }
}

impl Cell {
    /// Returns the text, which stays on its line.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl From<&str> for Cell {
    /// Makes a cell; whoever wrote the text, it stays on its line and in its place.
    fn from(text: &str) -> Cell {
        let text = if text.is_empty() { "-" } else { text };
        Cell { text: visible(text, false).into_owned(), colour: None }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::from(text.as_str())
    }
}

/// What becomes of a column where a terminal is too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It stays as it is.
    Whole,
    /// Its texts are cut to so many columns, and to fewer only when nothing is left out any more.
    Cut(usize),
    /// It is left out if cutting is not enough; the last one first.
    Optional,
}

/// A table with a head.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<(&'static str, Fit)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Makes a table without rows.
    pub(super) fn new(heads: &[(&'static str, Fit)]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the table as text, each line with its end.
    pub(super) fn text(&self, style: &Style) -> String {
        let (shown, widths) = self.widths(style.width);
        let heads: Vec<Cell> =
            self.heads.iter().map(|(head, _)| Cell::painted(head, Some(Colour::Dim))).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            let mut blanks = 0;
            for (&at, &width) in shown.iter().zip(&widths) {
                let Some(cell) = row.get(at) else { break };
                let told = cut(&cell.text, width);
                line.extend(std::iter::repeat_n(' ', blanks));
                line.push_str(&match cell.colour {
                    Some(colour) => style.paint(colour, &told),
                    None => told.clone(),
                });
                blanks = width.saturating_sub(columns(&told)) + GAP;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Returns which columns are shown, and how wide each is.
    fn widths(&self, most: Option<usize>) -> (Vec<usize>, Vec<usize>) {
        let mut shown: Vec<usize> = (0..self.heads.len()).collect();
        let Some(most) = most else {
            let widths = shown.iter().map(|&at| self.natural(at)).collect();
            return (shown, widths);
        };
        loop {
            let widths = self.cut_to(most, &shown, |least| least);
            let last = shown.iter().rposition(|&at| self.heads[at].1 == Fit::Optional);
            match last {
                _ if total(&widths) <= most => return (shown, widths),
                Some(last) => shown.remove(last),
                None => {
                    let widths = self.cut_to(most, &shown, |least| least.min(LEAST));
                    return (shown, widths);
                }
            };
        }
    }

    /// Returns the columns that the widest text of a column takes.
    fn natural(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| columns(&cell.text));
        cells.chain([self.heads[at].0.len()]).max().unwrap_or_default()
    }

    /// Returns widths that are not more than `most` together, if cutting can do that: the widest gives first.
    fn cut_to(&self, most: usize, shown: &[usize], least: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut widths: Vec<usize> = shown.iter().map(|&at| self.natural(at)).collect();
        loop {
            let over = total(&widths).saturating_sub(most);
            let room = |at: usize| match self.heads[shown[at]].1 {
                Fit::Cut(kept) => widths[at].saturating_sub(least(kept)),
                Fit::Whole | Fit::Optional => 0,
            };
            let widest = (0..shown.len()).filter(|&at| room(at) > 0).max_by_key(|&at| widths[at]);
            let Some(widest) = widest.filter(|_| over > 0) else { return widths };
            let others = (0..shown.len()).filter(|&at| at != widest && room(at) > 0);
            let next = others.map(|at| widths[at]).max().unwrap_or_default();
            // Down to the next one, from where both give.
            let step = over.min(room(widest)).min((widths[widest] - next.min(widths[widest])).max(1));
            widths[widest] -= step;
        }
    }
}

/// Returns the columns that a line of these widths takes.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Returns a text of at most so many columns; one that was cut ends with an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if columns(&text[..at + c.len_utf8()]) >= most {
            break;
        }
        end = at + c.len_utf8();
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table =
            Table::new(&[("NAME", Fit::Whole), ("RESTARTS", Fit::Optional), ("CAUSE", Fit::Cut(16))]);
        rows.iter().for_each(|row| table.row(row.map(Cell::from)));
        table
    }

    fn at(width: usize) -> Style {
        Style { width: Some(width), colours: false }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_text_and_nothing_is_cut_in_a_pipe() {
        let long = "x".repeat(300);
        let shown = table(&[["a", "0", ""], ["日本", "12", &long]]).text(&Style::PLAIN);
        assert_eq!(shown, format!("NAME  RESTARTS  CAUSE\na     0         -\n日本  12        {long}\n"));
    }

    #[test]
    fn a_narrow_terminal_cuts_causes_and_then_leaves_columns_out() {
        let rows = table(&[["server", "0", "exited with code 3: cannot open /etc/broken.conf"]]);
        assert_eq!(rows.text(&at(40)), "NAME    RESTARTS  CAUSE\nserver  0         exited with code 3: c…\n");
        assert_eq!(rows.text(&at(32)), "NAME    CAUSE\nserver  exited with code 3: can…\n");
        assert_eq!(rows.text(&at(18)), "NAME    CAUSE\nserver  exited wi…\n");
    }

    #[test]
    fn a_hostile_name_stays_in_its_cell() {
        let shown = table(&[["a\n\u{1b}[2Jb", "0", "\u{202e}c"]]).text(&Style::PLAIN);
        assert_eq!(shown.lines().nth(1), Some("a\\u{a}\\u{1b}[2Jb  0         \\u{202e}c"));
        assert_eq!(shown.lines().count(), 2);
    }

    proptest! {
        #[test]
        fn lines_fit_the_terminal_if_they_can(name in ".{1,8}", cause in ".{0,80}", width in 12usize..100) {
            let shown = table(&[[&name, "0", &cause], ["b", "1", "x"]]).text(&at(width));
            let name = columns(&visible(&name, false));
            for line in shown.lines().filter(|_| name.max(4) + GAP + LEAST <= width) {
                prop_assert!(columns(line) <= width, "{line:?}");
            }
        }
    }
}

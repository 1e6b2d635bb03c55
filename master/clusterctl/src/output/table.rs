//! Columns and fields of text.

use comfy_table::{Cell, Color, Table, presets};
use proto::names::{Named, name_of};

/// Use of colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For terminals.
    Colored,
    /// For everything else.
    Plain,
}

/// Number of blanks between two columns.
const GAP: u16 = 2;

/// Formats rows under a heading. Words for good and bad states are colored.
#[must_use]
pub fn columns<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heading);
    match style {
        Style::Colored => table.enforce_styling(),
        Style::Plain => table.force_no_tty(),
    };
    for row in rows {
        table.add_row(row.map(|text| cell(&text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}

fn cell(text: &str) -> Cell {
    let cell = Cell::new(printable(text));
    match text {
        "leader" | "active" | "running" | "completed" | "reached" => cell.fg(Color::Green),
        "inactive" | "failed" | "unknown" | "unreachable" | "unfit" | "refused" | "expired" => {
            cell.fg(Color::Red)
        }
        "cancelling" | "cancelled" | "aborted" | "queued" | "scheduled" | "blocked"
        | "candidate" | "cordoned" | "draining" | "drained" | "no-address" | "not-registered" => {
            cell.fg(Color::Yellow)
        }
        _ => cell,
    }
}

/// Returns the text on one line and without control characters of terminals.
pub(super) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Placeholder for an absent value.
pub(super) const NOTHING: &str = "-";

pub(super) fn or_nothing<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), T::to_string)
}

/// Returns the name of a value in a message.
pub(super) fn shown<E: Named>(number: i32) -> String {
    name_of::<E>(number).into_owned()
}

/// Formats lines of `name: value`, the values aligned.
#[must_use]
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    fields
        .iter()
        .map(|(name, value)| format!("{:<width$} {}", format!("{name}:"), printable(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_text() {
        let rows =
            vec![["t1".to_owned(), "a long name".to_owned()], ["t100".to_owned(), String::new()]];
        let expected = "TASK  NAME\nt1    a long name\nt100";
        assert_eq!(columns(["TASK", "NAME"], rows, Style::Plain), expected);
    }

    #[test]
    fn text_cannot_control_the_terminal() {
        let rows = vec![["a\u{1b}[31m\nb".to_owned()]];
        assert_eq!(columns(["NAME"], rows, Style::Plain), "NAME\na\\u{1b}[31m\\nb");
    }

    #[test]
    fn states_are_colored_on_terminals_only() {
        let rows = || vec![["failed".to_owned()]];
        assert!(!columns(["STATE"], rows(), Style::Plain).contains('\u{1b}'));
        assert!(columns(["STATE"], rows(), Style::Colored).contains('\u{1b}'));
    }
}

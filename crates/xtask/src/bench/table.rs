//! Tables of values as text.
//!
//! It must not know what the values mean.

/// A column: its heading, and the side to which its cells are aligned.
pub(super) struct Column {
    heading: &'static str,
    is_right: bool,
}

impl Column {
    pub(super) const fn left(heading: &'static str) -> Self {
        let is_right = false;
        Self { heading, is_right }
    }

    pub(super) const fn right(heading: &'static str) -> Self {
        let is_right = true;
        Self { heading, is_right }
    }
}

/// The rows under their headings, every column as wide as its widest cell.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let headings = columns.iter().map(|column| column.heading.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width = |at| {
        let cells = all.iter().filter_map(|row| row.get(at));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells = row.iter().zip(columns).zip(&widths);
        let cells = cells.map(|((cell, column), width)| {
            if column.is_right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1}", float(bytes) / 1_048_576.0)
}

/// A count or a size, to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "a table shows no more than five digits"
)]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "1000".to_owned()],
        ];
        assert_eq!(
            table(&[Column::left("x"), Column::right("n")], &rows),
            "x        n\na        1\nlong  1000\n"
        );
    }
}

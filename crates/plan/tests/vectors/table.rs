//! Reads the Markdown tables of this directory. It knows cells, not what they mean.

/// One row: where it stands, for messages, and its cells by column heading.
pub struct Row<'a> {
    /// The table's name and the row's first cell.
    pub name: String,
    cells: Vec<(&'a str, &'a str)>,
}

impl<'a> Row<'a> {
    /// The text under a heading.
    pub fn cell(&self, heading: &str) -> &'a str {
        let found = self.cells.iter().find(|(name, _)| *name == heading);
        let (_, text) = found.unwrap_or_else(|| panic!("{}: no column {heading:?}", self.name));
        text
    }

    /// The number under a heading.
    pub fn number(&self, heading: &str) -> i32 {
        self.parse(self.cell(heading))
    }

    /// The numbers under a heading, written `1/0/1`.
    pub fn numbers<const N: usize>(&self, heading: &str) -> [i32; N] {
        let numbers: Vec<i32> = self
            .cell(heading)
            .split('/')
            .map(|part| self.parse(part))
            .collect();
        numbers
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {heading} needs {N} numbers", self.name))
    }

    /// A cell that is text and the count it means, `99%=4`; plain numbers are both.
    pub fn value(&self, heading: &str) -> (&'a str, i32) {
        let cell = self.cell(heading);
        let (text, count) = cell.split_once('=').unwrap_or((cell, cell));
        (text, self.parse(count))
    }

    /// A number, or a panic that names the row.
    pub fn parse(&self, text: &str) -> i32 {
        text.parse()
            .unwrap_or_else(|_| panic!("{}: {text:?} is not a number", self.name))
    }
}

/// The rows of every table in the text. A table is a heading line, a line of dashes, and rows.
pub fn rows<'a>(file: &str, text: &'a str) -> Vec<Row<'a>> {
    let lines: Vec<Option<Vec<&str>>> = text.lines().map(cells).collect();
    let mut headings: &[&str] = &[];
    let mut rows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(line) = line else {
            headings = &[];
            continue;
        };
        if headings.is_empty() {
            headings = line;
        } else if !line.iter().all(|cell| cell.bytes().all(|byte| byte == b'-')) {
            assert_eq!(line.len(), headings.len(), "{file}, line {}: cells", index + 1);
            rows.push(Row {
                name: format!("{file} {}", line[0]),
                cells: headings.iter().copied().zip(line.iter().copied()).collect(),
            });
        }
    }
    assert!(!rows.is_empty(), "{file} has no rows");
    rows
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

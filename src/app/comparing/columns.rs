//! Files as columns. What a column holds is known only after the last row, so cells are kept as they
//! came, 16 bytes each, with texts stored once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::Rows;
use crate::ingest::json::quote_non_finite;
use crate::query::files;

/// Which of the two sets of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Reference = 0,
    Current = 1,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Null,
    Number(f64),
    Text(u32),
}

/// A column of both sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// Whether it holds lists, which have no single value.
    pub(super) nested: bool,
    cells: [Vec<Cell>; 2],
    /// Whether a side holds a number that is not written as an integer.
    fractions: bool,
    texts: Vec<String>,
    codes: HashMap<String, u32>,
}

/// A numeric column's rows, none for null and NaN.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) reference: Vec<Option<f64>>,
    pub(super) current: Vec<Option<f64>>,
    /// Whether every row of both sides is an integer.
    pub(super) integers: bool,
}

/// A categorical column's rows, none for null; categories are numbered in the order of their names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) reference: Vec<Option<u32>>,
    pub(super) current: Vec<Option<u32>>,
    pub(super) distinct: usize,
}

impl Column {
    fn set(&mut self, side: Side, row: usize, cell: Cell) {
        let cells = &mut self.cells[side as usize];
        // A key that comes twice in a row counts as it came last.
        cells.truncate(row);
        cells.resize(row, Cell::Null);
        cells.push(cell);
    }

    fn code(&mut self, text: String) -> u32 {
        if let Some(code) = self.codes.get(&text) {
            return *code;
        }
        let code = self.texts.len() as u32;
        self.texts.push(text.clone());
        self.codes.insert(text, code);
        code
    }

    fn all(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().flatten()
    }

    /// Whether every value is a number.
    pub(super) fn is_numeric(&self) -> bool {
        self.all().all(|cell| !matches!(cell, Cell::Text(_)))
    }

    /// Rows with and without a value.
    pub(super) fn rows(&self) -> [Rows; 2] {
        let count = |cells: &Vec<Cell>| {
            let null = cells.iter().filter(|cell| is_null(cell)).count();
            Rows { values: (cells.len() - null) as u64, null: null as u64 }
        };
        [count(&self.cells[0]), count(&self.cells[1])]
    }

    /// The rows as numbers.
    pub(super) fn numbers(&self) -> Numbers {
        let number = |cell: &Cell| match cell {
            Cell::Number(value) if !value.is_nan() => Some(*value),
            _ => None,
        };
        let [reference, current] = [0, 1].map(|side| self.cells[side].iter().map(number).collect());
        Numbers { reference, current, integers: !self.fractions && !self.all().any(is_null) }
    }

    /// The rows as names; a number is named as it would be printed.
    pub(super) fn names(mut self) -> Names {
        let mut cells = std::mem::take(&mut self.cells);
        for cell in cells.iter_mut().flatten() {
            if let Cell::Number(value) = *cell {
                *cell = if value.is_nan() { Cell::Null } else { Cell::Text(self.code(value.to_string())) };
            }
        }
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_by_key(|code| &self.texts[*code as usize]);
        let mut rank = vec![0; order.len()];
        for (place, code) in order.iter().enumerate() {
            rank[*code as usize] = place as u32;
        }
        let name = |cell: &Cell| match cell {
            Cell::Text(code) => Some(rank[*code as usize]),
            Cell::Null | Cell::Number(_) => None,
        };
        let [reference, current] = cells.map(|cells| cells.iter().map(name).collect());
        Names { reference, current, distinct: order.len() }
    }
}

fn is_null(cell: &Cell) -> bool {
    matches!(cell, Cell::Null) || matches!(cell, Cell::Number(value) if value.is_nan())
}

/// Collects columns from files.
#[derive(Debug, Default)]
pub(super) struct Reader {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    rows: [usize; 2],
    broken: [(u64, String); 2],
}

impl Reader {
    /// Reads files as one side.
    pub(super) fn read(&mut self, side: Side, files: &[PathBuf]) -> Result<(), files::Error> {
        files::rows(files, &mut |file, row, json| {
            if let Err(why) = self.take(side, json) {
                let (count, first) = &mut self.broken[side as usize];
                if *count == 0 {
                    *first = format!("{} row {row}: {why}", file.display());
                }
                *count += 1;
            }
            ControlFlow::Continue(())
        })
    }

    fn take(&mut self, side: Side, json: &[u8]) -> Result<(), String> {
        if json.trim_ascii().is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(json).map_err(|error| error.to_string())?;
        // Checked before any of it is kept, so that a broken row leaves nothing behind.
        let quoted = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => None,
            Err(error) => Some(quote_non_finite(text).ok_or_else(|| error.to_string())?),
        };
        let row = Row { reader: self, side, quoted: quoted.is_some() };
        let mut json = serde_json::Deserializer::from_str(quoted.as_deref().unwrap_or(text));
        row.deserialize(&mut json).map_err(|error| error.to_string())?;
        self.rows[side as usize] += 1;
        Ok(())
    }

    fn put(&mut self, side: Side, name: Cow<'_, str>, value: Value, quoted: bool) {
        if let Value::Object(inner) = value {
            for (key, value) in inner {
                self.put(side, Cow::Owned(format!("{name}/{key}")), value, quoted);
            }
            return;
        }
        let place = match self.places.get(name.as_ref()) {
            Some(place) => *place,
            None => {
                self.columns.push(Column { name: name.to_string(), ..Column::default() });
                self.places.insert(name.into_owned(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        let row = self.rows[side as usize];
        let column = &mut self.columns[place];
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Bool(value) => Cell::Text(column.code(value.to_string())),
            Value::Number(number) => {
                column.fractions |= number.is_f64();
                number.as_f64().map_or(Cell::Null, Cell::Number)
            }
            Value::String(text) => match text.as_str() {
                "NaN" if quoted => Cell::Number(f64::NAN),
                "Infinity" if quoted => Cell::Number(f64::INFINITY),
                "-Infinity" if quoted => Cell::Number(f64::NEG_INFINITY),
                _ => Cell::Text(column.code(text)),
            },
            Value::Array(_) | Value::Object(_) => {
                column.nested = true;
                Cell::Null
            }
        };
        column.set(side, row, cell);
    }

    /// Rows of a side.
    pub(super) fn rows(&self, side: Side) -> u64 {
        self.rows[side as usize] as u64
    }

    /// What could not be read of a side.
    pub(super) fn unreadable(&self, side: Side) -> Option<String> {
        let (count, first) = &self.broken[side as usize];
        (*count > 0).then(|| format!("{count} rows are no JSON objects, the first is {first}"))
    }

    /// The columns, all as long as their sides.
    pub(super) fn finish(self) -> Vec<Column> {
        let mut columns = self.columns;
        for column in &mut columns {
            for (cells, rows) in column.cells.iter_mut().zip(self.rows) {
                cells.resize(rows, Cell::Null);
            }
        }
        columns
    }
}

/// Takes one row apart, in the order of its keys.
struct Row<'a> {
    reader: &'a mut Reader,
    side: Side,
    quoted: bool,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a value for each column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            self.reader.put(self.side, key, map.next_value()?, self.quoted);
        }
        Ok(())
    }
}

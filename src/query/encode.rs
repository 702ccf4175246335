//! One row of a record batch as a JSON object.
//!
//! Nulls are explicit; NaN and infinities are the bare tokens `NaN`, `Infinity` and `-Infinity`, as
//! Python writes them and the decoder reads them. Points in time are RFC 3339 in UTC. Types without
//! a JSON form (intervals, binary) become text.

use arrow::array::{Array, AsArray};
use arrow::array::{RecordBatch, types};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

/// What text columns hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Strings.
    Strings,
    /// Cells of CSV, which may be numbers or booleans.
    Cells,
}

/// Writes rows of batches with one schema.
#[derive(Debug)]
pub(super) struct Encoder {
    /// `{"first":`, `,"second":`, ...
    keys: Vec<Vec<u8>>,
    text: Text,
}

impl Encoder {
    pub(super) fn new(schema: &Schema, text: Text) -> Self {
        let keys = schema.fields().iter().enumerate().map(|(i, field)| key(i, field.name())).collect();
        Self { keys, text }
    }

    /// Appends row `row` of `batch` to `out`.
    pub(super) fn row(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.keys.is_empty() {
            out.push(b'{');
        }
        for (key, column) in self.keys.iter().zip(batch.columns()) {
            out.extend_from_slice(key);
            value(column.as_ref(), row, self.text, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

fn key(index: usize, name: &str) -> Vec<u8> {
    let mut key = vec![if index == 0 { b'{' } else { b',' }];
    json(&name, &mut key);
    key.push(b':');
    key
}

/// Appends a text, an integer or a finite float.
fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("texts and numbers always have a JSON form, and a Vec takes all bytes");
}

fn float(finite: bool, wide: f64, value: &impl Serialize, out: &mut Vec<u8>) {
    match (finite, wide.is_nan(), wide > 0.0) {
        (true, ..) => json(value, out),
        (_, true, _) => out.extend_from_slice(b"NaN"),
        (_, _, true) => out.extend_from_slice(b"Infinity"),
        (_, _, false) => out.extend_from_slice(b"-Infinity"),
    }
}

fn text(value: &str, kind: Text, out: &mut Vec<u8>) {
    if kind == Text::Cells && is_bare(value) {
        out.extend_from_slice(value.as_bytes())
    } else {
        json(&value, out)
    }
}

/// Whether a cell is a number or boolean as JSON writes them, or NaN.
fn is_bare(cell: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let number = cell.strip_prefix('-').unwrap_or(cell);
    let whole = digits(number);
    if whole == 0 || (whole > 1 && number.starts_with('0')) {
        return matches!(cell, "true" | "false" | "NaN");
    }
    let mut rest = &number[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// RFC 3339 in UTC, with as many decimals as there are.
fn time(seconds: i64, nanos: u32, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let time = DateTime::from_timestamp(seconds, nanos)
        .ok_or_else(|| ArrowError::ComputeError(format!("{seconds} s since 1970 is no date")))?;
    json(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true), out);
    Ok(())
}

fn value(array: &dyn Array, row: usize, kind: Text, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    use types as t;
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    macro_rules! number {
        ($type:ty) => {
            json(&array.as_primitive::<$type>().value(row), out)
        };
    }
    macro_rules! epoch {
        ($type:ty, $per_second:literal) => {{
            let since = array.as_primitive::<$type>().value(row);
            let rest = since.rem_euclid($per_second) as u32;
            time(since.div_euclid($per_second), rest * (1_000_000_000 / $per_second), out)?
        }};
    }
    macro_rules! dictionary {
        ($type:ty) => {{
            let dictionary = array.as_dictionary::<$type>();
            // A key that is not null points into the values; their type says how wide it is.
            let key =
                dictionary.key(row).ok_or_else(|| ArrowError::ComputeError("a key is missing".into()))?;
            value(dictionary.values().as_ref(), key, kind, out)?
        }};
    }
    match array.data_type() {
        DataType::Boolean => json(&array.as_boolean().value(row), out),
        DataType::Int8 => number!(t::Int8Type),
        DataType::Int16 => number!(t::Int16Type),
        DataType::Int32 => number!(t::Int32Type),
        DataType::Int64 => number!(t::Int64Type),
        DataType::UInt8 => number!(t::UInt8Type),
        DataType::UInt16 => number!(t::UInt16Type),
        DataType::UInt32 => number!(t::UInt32Type),
        DataType::UInt64 => number!(t::UInt64Type),
        DataType::Float16 => {
            let number = array.as_primitive::<t::Float16Type>().value(row).to_f32();
            float(number.is_finite(), number.into(), &number, out);
        }
        DataType::Float32 => {
            let number = array.as_primitive::<t::Float32Type>().value(row);
            float(number.is_finite(), number.into(), &number, out);
        }
        DataType::Float64 => {
            let number = array.as_primitive::<t::Float64Type>().value(row);
            float(number.is_finite(), number, &number, out);
        }
        DataType::Utf8 => text(array.as_string::<i32>().value(row), kind, out),
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row), kind, out),
        DataType::Utf8View => text(array.as_string_view().value(row), kind, out),
        DataType::Timestamp(TimeUnit::Second, _) => epoch!(t::TimestampSecondType, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => epoch!(t::TimestampMillisecondType, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => epoch!(t::TimestampMicrosecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => epoch!(t::TimestampNanosecondType, 1_000_000_000),
        // Decimals are numbers in JSON; their text is one.
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => {
            out.extend_from_slice(array_value_to_string(array, row)?.as_bytes());
        }
        DataType::Dictionary(key, _) => match key.as_ref() {
            DataType::Int8 => dictionary!(t::Int8Type),
            DataType::Int16 => dictionary!(t::Int16Type),
            DataType::Int32 => dictionary!(t::Int32Type),
            DataType::Int64 => dictionary!(t::Int64Type),
            DataType::UInt8 => dictionary!(t::UInt8Type),
            DataType::UInt16 => dictionary!(t::UInt16Type),
            DataType::UInt32 => dictionary!(t::UInt32Type),
            _ => dictionary!(t::UInt64Type),
        },
        DataType::Struct(fields) => {
            if fields.is_empty() {
                out.push(b'{');
            }
            for (i, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                out.extend(key(i, field.name()));
                value(column.as_ref(), row, kind, out)?;
            }
            out.push(b'}');
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref(), kind, out)?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref(), kind, out)?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row).as_ref(), kind, out)?,
        _ => json(&array_value_to_string(array, row)?, out),
    }
    Ok(())
}

fn list(items: &dyn Array, kind: Text, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    out.push(b'[');
    for i in 0..items.len() {
        if i > 0 {
            out.push(b',');
        }
        value(items, i, kind, out)?;
    }
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
        Int64Array, LargeStringArray, ListArray, StringArray, StringViewArray, StructArray,
        TimestampMicrosecondArray, TimestampSecondArray, UInt8Array,
    };
    use arrow::datatypes::{Field, Int8Type, Int32Type};

    use super::*;

    fn encode(columns: Vec<(&str, ArrayRef)>, kind: Text) -> Vec<String> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let encoder = Encoder::new(&batch.schema(), kind);
        let line = |row| {
            let mut out = Vec::new();
            encoder.row(&batch, row, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        (0..batch.num_rows()).map(line).collect()
    }

    #[test]
    fn each_type_has_its_json_form_and_nulls_are_explicit() {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
            ("u", Arc::new(UInt8Array::from(vec![255, 0]))),
            ("f \"32\"", Arc::new(Float32Array::from(vec![0.1, f32::NEG_INFINITY]))),
            ("f64", Arc::new(Float64Array::from(vec![0.1 + 0.2, f64::NAN]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("s", Arc::new(StringArray::from(vec!["a\"\n", "7"]))),
            ("v", Arc::new(StringViewArray::from(vec![Some("longer than twelve bytes"), None]))),
            ("l", Arc::new(LargeStringArray::from(vec!["é", ""]))),
            ("d", Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("F"), None]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_795_341_600_120_000]))),
            ("ts", Arc::new(TimestampSecondArray::from(vec![0, 1]).with_timezone("+02:00"))),
            ("day", Arc::new(Date32Array::from(vec![0, 20_000]))),
            ("dec", Arc::new(Decimal128Array::from(vec![-1234, 5]).with_precision_and_scale(10, 2).unwrap())),
            (
                "o",
                Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), inner)])),
            ),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                ])),
            ),
        ];
        let rows = encode(columns, Text::Strings);
        assert_eq!(
            rows[0],
            concat!(
                r#"{"i":-9223372036854775808,"u":255,"f \"32\"":0.1,"f64":0.30000000000000004,"b":true,"s":"a\"\n","#,
                r#""v":"longer than twelve bytes","l":"é","d":"F","t":"1969-12-31T23:59:59.999999Z","#,
                r#""ts":"1970-01-01T00:00:00Z","day":"1970-01-01","dec":-12.34,"o":{"x":1},"list":[1,null]}"#
            )
        );
        assert_eq!(
            rows[1],
            concat!(
                r#"{"i":null,"u":0,"f \"32\"":-Infinity,"f64":NaN,"b":false,"s":"7","v":null,"l":"","d":null,"#,
                r#""t":"2026-11-22T10:00:00.120Z","ts":"1970-01-01T00:00:01Z","day":"2024-10-04","dec":0.05,"#,
                r#""o":{"x":null},"list":null}"#
            )
        );
    }

    #[test]
    fn a_cell_is_bare_exactly_where_json_would_read_it_as_a_number_or_boolean() {
        for cell in [
            "0",
            "-0",
            "7",
            "-12.50",
            "1e5",
            "2E-3",
            "1.5e+10",
            "true",
            "false",
            "01",
            "-",
            "",
            ".5",
            "5.",
            "1e",
            "+1",
            "1_000",
            "0x1",
            "1 ",
            " 1",
            "True",
            "null",
            "\"a\"",
            "[1]",
            "1.2.3",
            "--1",
            "12a",
            "9999999999999999999999",
        ] {
            let read = serde_json::from_str::<serde_json::Value>(cell);
            let plain =
                cell.trim() == cell && read.is_ok_and(|value| value.is_number() || value.is_boolean());
            assert_eq!(is_bare(cell), plain, "{cell:?}");
        }
        let cells: ArrayRef =
            Arc::new(StringArray::from(vec![Some("01234"), Some("1.50"), Some("NaN"), None]));
        let rows = encode(vec![("c", cells)], Text::Cells);
        assert_eq!(rows, [r#"{"c":"01234"}"#, r#"{"c":1.50}"#, r#"{"c":NaN}"#, r#"{"c":null}"#]);
    }
}

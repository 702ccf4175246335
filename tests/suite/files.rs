//! Replay and reference files, read as rows of JSON.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int8Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use plimsoll::query::files::{Error, Rows, rows};
use serde_json::Value;

use super::support::shared;

fn all(file: &Path) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    let (mut kept, mut reader) = (Vec::new(), Rows::open(file)?);
    while let Some((row, json)) = reader.next_row()? {
        kept.push((row, json.to_vec()));
    }
    Ok(kept)
}

fn write(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn parquet_rows_keep_their_order_over_many_row_groups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd [name] 100%*.parquet");
    let batch = |first: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + 1000));
        let names = (first..first + 1000).map(|i| ["red", "green", "blue"][i as usize % 3]);
        let colours: ArrayRef = Arc::new(names.collect::<DictionaryArray<Int8Type>>());
        RecordBatch::try_from_iter([("n", numbers), ("colour", colours)]).unwrap()
    };
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(700)).build();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch(0).schema(), Some(properties)).unwrap();
    for first in (0..50).map(|i| i * 1000) {
        writer.write(&batch(first)).unwrap();
    }
    let groups = writer.close().unwrap().num_row_groups();
    assert!(groups > 50, "{groups}");

    let rows = all(&path).unwrap();
    assert_eq!(rows.len(), 50_000);
    for (i, (row, json)) in rows.iter().enumerate() {
        assert_eq!(*row, i as u64);
        let colour = ["red", "green", "blue"][i % 3];
        assert_eq!(String::from_utf8_lossy(json), format!(r#"{{"n":{i},"colour":"{colour}"}}"#));
    }
}

#[test]
fn csv_cells_are_typed_one_by_one_and_order_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "zip,score,name,\"a \"\"b\"\"\"\n01234,0.5,\"x, y\",true\n,7,\"two\nlines\",\n".to_owned();
    for i in 2..30_000 {
        text.push_str(&format!("{i},1e-3,n{i},false\n"));
    }
    // The type of a column does not hang on how its first thousands of rows look.
    text.push_str("A1,none,,\n");
    let rows = all(&write(&dir, "data.csv", text.as_bytes())).unwrap();
    let line = |i: usize| String::from_utf8(rows[i].1.clone()).unwrap();
    assert_eq!(line(0), r#"{"zip":"01234","score":0.5,"name":"x, y","a \"b\"":true}"#);
    assert_eq!(line(1), r#"{"zip":null,"score":7,"name":"two\nlines","a \"b\"":null}"#);
    for i in 2..30_000 {
        assert_eq!(line(i), format!(r#"{{"zip":{i},"score":1e-3,"name":"n{i}","a \"b\"":false}}"#));
    }
    assert_eq!(line(30_000), r#"{"zip":"A1","score":"none","name":null,"a \"b\"":null}"#);
    assert_eq!(rows.len(), 30_001);
}

#[test]
fn lines_of_ndjson_are_handed_over_as_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let content = b"{\"a\": {\"b\":[1 ,2]}}\r\n{\"broken\n\n\xff\xfe\n{\"n\":NaN}\n{\"last\":1.0e2}";
    for name in ["log.ndjson", "log.jsonl", "log.json", "LOG.NDJSON"] {
        let rows = all(&write(&dir, name, content)).unwrap();
        let lines: Vec<&[u8]> = rows.iter().map(|(_, line)| line.as_slice()).collect();
        let expected: [&[u8]; 6] =
            [b"{\"a\": {\"b\":[1 ,2]}}", b"{\"broken", b"", b"\xff\xfe", b"{\"n\":NaN}", b"{\"last\":1.0e2}"];
        assert_eq!(lines, expected);
        assert_eq!(rows.last().unwrap().0, 5);
    }
    assert!(all(&write(&dir, "empty.ndjson", b"")).unwrap().is_empty());
}

#[test]
fn a_line_that_no_record_could_be_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut content = b"{}\n".to_vec();
    content.resize((64 << 20) + 10, b'x');
    let error = all(&write(&dir, "long.ndjson", &content)).unwrap_err().to_string();
    assert!(error.contains("row 1 of") && error.contains("long.ndjson"), "{error}");
}

#[test]
fn files_follow_one_another_until_the_reader_has_enough() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        write(&dir, "b.ndjson", b"1\n2\n"),
        write(&dir, "a.csv", b"n\n3\n4\n"),
        write(&dir, "c.ndjson", b"5\n"),
    ];
    let mut seen = Vec::new();
    let sink = &mut |file: &Path, row: u64, json: &[u8]| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        seen.push((name, row, String::from_utf8(json.to_vec()).unwrap()));
        if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    rows(&files, sink).unwrap();
    let seen: Vec<_> = seen.iter().map(|(name, row, json)| (name.as_str(), *row, json.as_str())).collect();
    let expected =
        [("b.ndjson", 0, "1"), ("b.ndjson", 1, "2"), ("a.csv", 0, r#"{"n":3}"#), ("a.csv", 1, r#"{"n":4}"#)];
    assert_eq!(seen, expected);
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let missing = all(&dir.path().join("gone.parquet")).unwrap_err();
    assert!(
        matches!(missing, Error::Open { .. }) && missing.to_string().contains("gone.parquet"),
        "{missing}"
    );
    for (name, words) in
        [("data.xlsx", "extensions"), ("data", "extensions"), ("log.ndjson.gz", "decompress")]
    {
        let error = all(&write(&dir, name, b"x")).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
    let error = all(&write(&dir, "not.parquet", b"this is text")).unwrap_err();
    assert!(matches!(error, Error::Read { .. }) && error.to_string().contains("not.parquet"), "{error}");
    let error = all(&write(&dir, "ragged.csv", b"a,b\n1,2\n3\n")).unwrap_err();
    assert!(error.to_string().contains("ragged.csv"), "{error}");
    fs::create_dir(dir.path().join("folder.csv")).unwrap();
    let error = all(&dir.path().join("folder.csv")).unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

#[test]
fn the_reference_data_is_read_whole() {
    for (name, count, columns) in [
        ("data/employment_MA_reference.parquet", 68_785, 21),
        ("data/compas_two_years.csv", 7_214, 10),
        ("data/elec.csv", 45_312, 7),
    ] {
        let Some(path) = shared(name) else { return };
        let rows = all(&path).unwrap();
        assert_eq!(rows.len(), count, "{name}");
        for (row, json) in &rows {
            let value: Value =
                serde_json::from_slice(json).unwrap_or_else(|error| panic!("{name} {row}: {error}"));
            assert_eq!(value.as_object().unwrap().len(), columns);
        }
        eprintln!("{name}: {}", String::from_utf8_lossy(&rows[0].1));
    }
}

//! What becomes of a record's bytes: rows where they can be read, a named reason where they cannot,
//! and never a neighbour lost.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::sync::Arc;
use std::time::Duration;

use plimsoll::domain::{EventTime, RejectReason, SourcePartition, Task};
use plimsoll::ingest::decoder::{Decoder, Limits};
use plimsoll::ingest::mapping::{ModelMapping, TopicMapping};
use plimsoll::ingest::source::RawRecord;
use plimsoll::ingest::time::TimeUnit;
use plimsoll::record::{Cell, Column, Kind, RecordSchema, Role};

const NOW: i64 = 1_795_341_600_000; // 2026-11-22T10:00:00Z
const LIMITS: Limits = Limits {
    max_record_bytes: 1 << 20,
    max_rows: 4,
    max_future: Some(Duration::from_secs(600)),
    max_age: Some(Duration::from_secs(86_400)),
};

fn mapping(columns: &[(&str, Role, Kind, &str)], time: &str, unit: TimeUnit) -> ModelMapping {
    let list = columns
        .iter()
        .map(|(name, role, kind, _)| Column { name: (*name).into(), role: *role, kind: *kind })
        .collect();
    ModelMapping {
        schema: Arc::new(RecordSchema::new("credit".into(), Task::Binary, list)),
        tenant: Some("/tenant".parse().unwrap()),
        version: "/version".parse().unwrap(),
        time: (time.parse().unwrap(), unit),
        id: Some("/id".parse().unwrap()),
        columns: columns.iter().map(|(.., from)| (from.parse().unwrap(), 1.0)).collect(),
    }
}

fn single() -> Decoder {
    let model = mapping(
        &[
            ("income", Role::Feature, Kind::Numeric, "/features/income"),
            ("region", Role::Feature, Kind::Categorical, "/features/region"),
            ("sex", Role::Group, Kind::Categorical, "/who/0/sex"),
        ],
        "/ts",
        TimeUnit::Rfc3339,
    );
    Decoder::new(&TopicMapping { model: "/model".parse().unwrap(), models: vec![model] }, LIMITS)
}

fn decode_bytes(
    decoder: &mut Decoder,
    value: Option<&[u8]>,
    headers: &[(&str, &[u8])],
) -> Result<Vec<String>, RejectReason> {
    let partition = SourcePartition::new("inference", 0);
    let record = RawRecord { partition: &partition, offset: 7, key: None, value, headers };
    let decoded = decoder.decode(&record, NOW).map_err(|rejected| rejected.reason)?;
    let rows = (0..decoded.times().len()).map(|row| {
        let cells: Vec<String> = decoded
            .cells(row)
            .map(|cell| match cell {
                Cell::Null => "null".to_owned(),
                Cell::Invalid => "invalid".to_owned(),
                Cell::Number(number) => number.to_string(),
                Cell::Name(name) => name.to_owned(),
            })
            .collect();
        let time: EventTime = decoded.times()[row];
        let tenant = decoded.tenant(row).unwrap_or("-");
        format!("{tenant} {} {time} {}", decoded.version(row), cells.join(" "))
    });
    Ok(rows.collect())
}

fn decode(decoder: &mut Decoder, json: &str) -> Result<Vec<String>, RejectReason> {
    decode_bytes(decoder, Some(json.as_bytes()), &[])
}

const GOOD: &str = r#"{"model":"credit","version":"v1","ts":"2026-11-22T09:59:00Z","id":"a","tenant":"bank",
    "features":{"income":12.5,"region":"north"},"who":[{"sex":"F"}],"unmapped":{"deep":[1,{"x":null}]}}"#;

#[test]
fn a_nested_record_is_read_by_its_pointers() {
    let rows = decode(&mut single(), GOOD);
    assert_eq!(rows, Ok(vec!["bank v1 2026-11-22T09:59:00Z 12.5 north F".to_owned()]));
}

#[test]
fn every_kind_of_bad_record_has_its_own_reason_and_the_next_record_is_read_all_the_same() {
    use RejectReason::*;
    let with = |from: &str, to: &str| GOOD.replace(from, to).into_bytes();
    let version = r#""version":"v1","#;
    let cases: Vec<(RejectReason, Option<Vec<u8>>)> = vec![
        (Tombstone, None),
        (Empty, Some(vec![])),
        (Empty, Some(b" \n\t".to_vec())),
        (InvalidUtf8, Some(b"{\"model\":\"\xff\"}".to_vec())),
        (InvalidJson, Some(b"not json".to_vec())),
        (InvalidJson, Some(GOOD.as_bytes()[..GOOD.len() - 5].to_vec())),
        (InvalidJson, Some(format!("{GOOD}}}").into_bytes())),
        (InvalidJson, Some(with(r#""income":12.5,"#, r#""income":12.5 "#))),
        (NotAnObject, Some(b"[1,2]".to_vec())),
        (NotAnObject, Some(b"17".to_vec())),
        (MissingModel, Some(b"{}".to_vec())),
        (MissingModel, Some(b"{\"model\":null}".to_vec())),
        (WrongType, Some(b"{\"model\":{}}".to_vec())),
        (UnknownModel, Some(with("\"credit\"", "\"other\""))),
        (MissingVersion, Some(with(version, ""))),
        (MissingVersion, Some(with(version, r#""version":"","#))),
        (WrongType, Some(with(version, r#""version":["v1"],"#))),
        (InvalidName, Some(with("\"v1\"", &format!("\"{}\"", "v".repeat(257))))),
        (InvalidName, Some(with("\"bank\"", &format!("\"{}\"", "b".repeat(257))))),
        (InvalidName, Some(with("\"v1\"", "\"v\\u0000\""))),
        (MissingTime, Some(with("\"ts\"", "\"when\""))),
        (WrongType, Some(with("\"2026-11-22T09:59:00Z\"", "{}"))),
        (InvalidTime, Some(with("2026-11-22T09:59:00Z", "noon"))),
        (FutureTimestamp, Some(with("2026-11-22T09:59:00Z", "2036-11-22T09:59:00Z"))),
        (PastTimestamp, Some(with("2026-11-22T09:59:00Z", "2016-11-22T09:59:00Z"))),
        (MissingId, Some(with("\"id\":\"a\",", ""))),
        (TooLarge, Some(with("north", &"n".repeat(10 << 20)))),
    ];
    let mut decoder = single();
    for (reason, value) in cases {
        let what =
            value.as_deref().map(|value| String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned());
        assert_eq!(decode_bytes(&mut decoder, value.as_deref(), &[]), Err(reason), "{what:?}");
        assert_eq!(decode(&mut decoder, GOOD).map(|rows| rows.len()), Ok(1), "the neighbour of {what:?}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_invalid_a_missing_one_null_and_the_record_is_used() {
    let mut decoder = single();
    for (from, to, cells) in [
        ("12.5", "null", "null north F"),
        ("\"income\":12.5,", "", "null north F"),
        ("12.5", "\"12.5\"", "invalid north F"),
        ("12.5", "true", "invalid north F"),
        ("12.5", "[12.5]", "invalid north F"),
        ("\"north\"", "{\"a\":1}", "12.5 invalid F"),
        ("\"north\"", "17", "12.5 17 F"),
        ("\"north\"", "true", "12.5 true F"),
        ("\"north\"", "\"n\\u00f6rd \\\"x\\\"\"", "12.5 nörd \"x\" F"),
        ("12.5", "9007199254740993", "9007199254740992 north F"),
        ("12.5", "1e400", "inf north F"),
    ] {
        let json = GOOD.replace(from, to);
        let read = decode(&mut decoder, &json);
        if to == "1e400" {
            // Out of range of a double: serde_json refuses the number, so the record is no JSON we can use.
            assert_eq!(read, Err(RejectReason::InvalidJson));
            continue;
        }
        assert_eq!(read, Ok(vec![format!("bank v1 2026-11-22T09:59:00Z {cells}")]), "{to}");
    }
}

#[test]
fn nan_and_infinities_are_numbers_whether_bare_or_quoted() {
    let mut decoder = single();
    for (token, number) in [("NaN", "NaN"), ("Infinity", "inf"), ("-Infinity", "-inf"), ("\"NaN\"", "NaN")] {
        let read = decode(&mut decoder, &GOOD.replace("12.5", token));
        assert_eq!(read, Ok(vec![format!("bank v1 2026-11-22T09:59:00Z {number} north F")]), "{token}");
    }
    let named = GOOD.replace("north", "NaN or \\\"NaN\\\"").replace("12.5", "NaN");
    assert_eq!(
        decode(&mut decoder, &named),
        Ok(vec!["bank v1 2026-11-22T09:59:00Z NaN NaN or \"NaN\" F".to_owned()]),
        "a name that contains the token is left alone"
    );
}

#[test]
fn of_a_key_that_stands_twice_the_last_one_counts() {
    let read = decode(&mut single(), &GOOD.replace("\"income\":12.5", "\"income\":1,\"income\":2"));
    assert_eq!(read, Ok(vec!["bank v1 2026-11-22T09:59:00Z 2 north F".to_owned()]));
}

fn batched() -> Decoder {
    let mut model = mapping(
        &[
            ("income", Role::Feature, Kind::Numeric, "/instances/*/income"),
            ("score", Role::Score, Kind::Numeric, "/scores/*"),
            ("region", Role::Feature, Kind::Categorical, "/region"),
        ],
        "header:ts",
        TimeUnit::Millis,
    );
    model.version = "=v7".parse().unwrap();
    model.id = None;
    model.tenant = None;
    Decoder::new(&TopicMapping { model: "=credit".parse().unwrap(), models: vec![model] }, LIMITS)
}

#[test]
fn a_batch_request_gives_one_row_per_element_and_shares_the_rest() {
    let ts = NOW.to_string();
    let headers: [(&str, &[u8]); 1] = [("TS", ts.as_bytes())];
    let mut decoder = batched();
    let mut decode = |json: &str| decode_bytes(&mut decoder, Some(json.as_bytes()), &headers);
    let rows =
        decode(r#"{"instances":[{"income":1},{"income":null},{}],"scores":[0.1,0.2,0.3],"region":"n"}"#);
    let expected: Vec<String> = ["1 0.1 n", "null 0.2 n", "null 0.3 n"]
        .iter()
        .map(|cells| format!("- v7 2026-11-22T10:00:00Z {cells}"))
        .collect();
    assert_eq!(rows, Ok(expected));
    assert_eq!(decode(r#"{"instances":[{"income":1}],"scores":[0.1,0.2]}"#), Err(RejectReason::RowMismatch));
    assert_eq!(decode(r#"{"instances":[],"scores":[]}"#), Err(RejectReason::NoRows));
    assert_eq!(decode(r#"{"scores":[1,2,3,4,5]}"#), Err(RejectReason::TooManyRows));
    assert_eq!(
        decode(r#"{"scores":[0.5]}"#),
        Ok(vec!["- v7 2026-11-22T10:00:00Z null 0.5 null".to_owned()]),
        "a column that is absent altogether is missing in every row"
    );
}

#[test]
fn details_of_a_rejection_never_quote_the_record() {
    let partition = SourcePartition::new("inference", 0);
    let mut decoder = single();
    for json in [
        "{\"model\":\"credit\",\"secret-123\"",
        "{\"model\":\"secret-123\"}",
        r#"{"model":"credit","ts":"secret-123","version":"v1"}"#,
    ] {
        let record = RawRecord {
            partition: &partition,
            offset: 0,
            key: None,
            value: Some(json.as_bytes()),
            headers: &[],
        };
        let rejected = decoder.decode(&record, NOW).unwrap_err();
        assert!(!rejected.detail.contains("secret"), "{}", rejected.detail);
    }
}

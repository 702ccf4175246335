//! The quick way and the parser behind it, held against each other.

use proptest::prelude::*;

use super::*;
use crate::ingest::place::FieldSource;

const MOST_ROWS: usize = 3;

/// Places of all kinds: keys that share a beginning, that need escapes, that hold a scalar and an
/// object; array elements, arrays of rows, and texts.
fn plan() -> Plan {
    let mut plan = Plan::new();
    for (place, as_text) in [
        ("/a", false),
        ("/b", true),
        ("/ab", true),
        ("/c/a", false),
        ("/c/b", true),
        ("/c", true),
        ("/d/0", true),
        ("/d/2/a", false),
        ("/rows/*/a", false),
        ("/rows/*/b", true),
        ("/e/*", true),
        ("/q\"\\", true),
        ("/é", true),
    ] {
        plan.place(&place.parse::<FieldSource>().unwrap(), as_text);
    }
    plan
}

/// Everything that was read, or none where it could not be.
fn shown(plan: &Plan, values: &Values) -> Vec<String> {
    let show = |value: &Value| format!("{:?} {:?}", value.scalar, values.text(*value));
    let mut shown: Vec<String> = values.shared.iter().map(show).collect();
    shown.extend(values.by_row.iter().map(|rows| format!("{:?}", rows.iter().map(show).collect::<Vec<_>>())));
    shown.extend((0..plan.nodes.len()).map(|node| values.length(node).to_string()));
    shown
}

fn quickly(plan: &Plan, json: &str, values: &mut Values) -> Option<Vec<String>> {
    values.reset(plan);
    quick::read(plan, json, MOST_ROWS, values).then(|| shown(plan, values))
}

fn thoroughly(plan: &Plan, json: &str) -> Option<Vec<String>> {
    let mut values = Values::default();
    values.reset(plan);
    read_thoroughly(plan, json, MOST_ROWS, &mut values).is_ok().then(|| shown(plan, &values))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,20}",
        "[ -~é\u{1f600}]{0,12}",
        Just(r#""\u00e9\ud83d\ude00""#.to_owned()),
        Just(r#""\n\t\/\\\"\b""#.to_owned()),
        Just(r#""\ud83d""#.to_owned()),
        Just(r#""\u12g4""#.to_owned()),
        Just(r#""\x""#.to_owned()),
        Just("\"a\u{1}b\"".to_owned()),
    ]
    .prop_map(|text| if text.starts_with('"') { text } else { serde_json::to_string(&text).unwrap() })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        (-1000..1000_i64).prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        "-?[0-9]{1,22}(\\.[0-9]{0,22})?([eE][-+]?[0-9]{0,4})?",
        "-?(0|[1-9][0-9]{0,4})\\.[0-9]{1,6}",
        "-?[1-9][0-9]{14,17}\\.[0-9]{1,3}",
    ]
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text(),
        number(),
        prop_oneof![Just("true"), Just("false"), Just("null"), Just("nul"), Just("NaN"), Just("")]
            .prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        8 => prop_oneof![
            Just("a"), Just("b"), Just("ab"), Just("c"), Just("d"), Just("e"), Just("rows"), Just("é")
        ]
        .prop_map(|key| format!("\"{key}\"")),
        1 => Just(r#""q\"\\""#.to_owned()),
        1 => Just(r#""\u0061""#.to_owned()),
        1 => text(),
    ];
    let blank = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t ")];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        let member = (key.clone(), blank.clone(), inner.clone(), blank.clone());
        let member = member.prop_map(|(key, left, value, right)| format!("{left}{key}{right}:{left}{value}{right}"));
        prop_oneof![
            3 => proptest::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => proptest::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(", "))),
        ]
    });
    (value, prop_oneof![9 => Just(""), 1 => Just(" "), 1 => Just("x"), 1 => Just("}")])
        .prop_map(|(value, end)| format!("{value}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_quick_way_reads_every_document_as_the_parser_behind_it_does(
        documents in proptest::collection::vec(document(), 1..4),
        cut in proptest::option::of(0.0..1.0_f64),
    ) {
        let plan = plan();
        // One after the other, so that what was learnt from one record meets the next.
        let mut values = Values::default();
        for mut document in documents {
            if let Some(cut) = cut {
                let at = (document.len() as f64 * cut) as usize;
                document.truncate((0..=at).rev().find(|at| document.is_char_boundary(*at)).unwrap_or(0));
            }
            if let Some(quick) = quickly(&plan, &document, &mut values) {
                prop_assert_eq!(Some(quick), thoroughly(&plan, &document), "{}", document);
            }
        }
    }

    #[test]
    fn the_quick_way_reads_every_number_as_the_parser_behind_it_does(number in number()) {
        let plan = plan();
        let document = format!(r#"{{"a":{number},"b":{number}}}"#);
        if let Some(quick) = quickly(&plan, &document, &mut Values::default()) {
            prop_assert_eq!(Some(quick), thoroughly(&plan, &document), "{}", document);
        }
    }
}

#[test]
fn the_quick_way_takes_what_logs_are_made_of() {
    let plan = plan();
    let mut values = Values::default();
    for document in [
        r#"{"a":-12.5e3,"b":"x","ab":1760000000000000000,"c":{"b":0.25,"z":[[],{},{"y":[1,{"w":null}]}]}}"#,
        "  { \"b\" : 9999999999999999999 , \"prompt\" : \"say \\\"hi\\\"\\n\\u00e9\" , \"a\" : 0.1 }\r\n",
        r#"{"rows":[{"a":1,"b":"caf\u00e9"},{"b":null,"a":2.5}],"e":[],"d":["x",0,{"a":true}]}"#,
        r#"{"q\"\\":"text","é":"später","a":123456789.123456789012}"#,
    ] {
        let quick = quickly(&plan, document, &mut values);
        assert!(quick.is_some(), "gave up on {document}");
        assert_eq!(quick, thoroughly(&plan, document), "{document}");
    }
}

#[test]
fn the_quick_way_leaves_bad_documents_to_the_parser_behind_it() {
    let plan = plan();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    for document in [
        "",
        "[]",
        "1",
        "{",
        "{}}",
        r#"{"a":01}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":-}"#,
        r#"{"a":1e999}"#,
        &deep,
    ] {
        assert_eq!(quickly(&plan, document, &mut Values::default()), None, "{document}");
    }
}

#[test]
fn an_array_of_as_many_rows_as_are_allowed_is_read_and_one_more_is_refused() {
    let plan = plan();
    let rows = |rows: usize| format!(r#"{{"e":[{}]}}"#, vec!["1"; rows].join(","));
    let node = plan.nodes[0].child("e").unwrap();
    for (reader, name) in [
        (read as fn(&Plan, &str, usize, &mut Values) -> Result<(), Fault>, "both"),
        (read_thoroughly, "the parser alone"),
    ] {
        let mut values = Values::default();
        values.reset(&plan);
        assert!(reader(&plan, &rows(MOST_ROWS), MOST_ROWS, &mut values).is_ok(), "{name}");
        assert_eq!(values.length(node), MOST_ROWS, "{name}");
        values.reset(&plan);
        let refused = reader(&plan, &rows(MOST_ROWS + 1), MOST_ROWS, &mut values);
        assert!(matches!(refused, Err(Fault::TooManyRows)), "{name}");
    }
}

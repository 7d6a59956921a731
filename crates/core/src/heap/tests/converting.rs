//! Values that need no receive function: the bytes that are stored, and what is left to that function.

use super::super::conversion::{Conversion, Outcome};
use super::super::deform::Attribute;
use super::super::encoding::Encoding;
use super::super::json::Arena;

/// OIDs of types.
const JSON: u32 = 114;
const JSONB: u32 = 3802;
const NUMERIC: u32 = 1700;

/// What becomes of a value of a type with this modifier; None if it is left to the receive function.
fn convert_with(oid: u32, modifier: i32, length: i16, wire: &[u8]) -> Option<Vec<u8>> {
    let conversion = Conversion::of_type(oid, modifier, Encoding::Utf8);
    let attribute = Attribute { length, alignment: 4 };
    // What is there already is not touched, and is no part of the value's alignment.
    let mut stored = vec![7];
    match conversion.convert(attribute, wire, &mut Arena::default(), &mut stored) {
        Outcome::AsSent => Some(wire.to_vec()),
        Outcome::Stored => Some(stored.split_off(1)),
        Outcome::Doubtful => None,
    }
}

fn convert(oid: u32, length: i16, wire: &[u8]) -> Option<Vec<u8>> {
    convert_with(oid, -1, length, wire)
}

/// Words in the machine's order.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Puts a long header in front.
fn varlena(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 4).unwrap() << 2;
    [&size.to_le_bytes(), body].concat()
}

/// A numeric on the wire: weight, sign, scale, digits.
fn number(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
    let mut wire = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
    wire.extend(weight.to_be_bytes());
    [sign, scale].iter().chain(digits).for_each(|word| wire.extend(word.to_be_bytes()));
    wire
}

/// A numeric as it is stored: its header and digits.
fn stored_number(words: &[u16]) -> Vec<u8> {
    varlena(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
}

const NEGATIVE: u16 = 0x4000;

/// `numeric(precision, scale)`.
fn modifier(precision: i32, scale: i32) -> i32 {
    (precision << 16 | scale & 0x7ff) + 4
}

#[test]
fn numbers_get_the_header_that_is_long_enough() {
    let cases: [(Vec<u8>, &[u16]); 12] = [
        (number(0, 0, 0, &[]), &[0x8000]),
        // -0.00 is 0.00, wherever its point was.
        (number(5, NEGATIVE, 2, &[0, 0]), &[0x8100]),
        (number(0, 0, 1, &[1, 5000]), &[0x8080, 1, 5000]),
        (number(0, NEGATIVE, 1, &[1, 5000]), &[0xa080, 1, 5000]),
        // Zeros at both ends go.
        (number(1, 0, 4, &[0, 7, 0]), &[0x8200, 7]),
        (number(1, 0, 0, &[1]), &[0x8001, 1]),
        // 1e-10: the weight is -3.
        (number(-3, 0, 10, &[100]), &[0x857d, 100]),
        // The last ones with a short header, and the first ones with a long one.
        (number(63, 0, 63, &[9999]), &[0x9fbf, 9999]),
        (number(64, 0, 63, &[9999]), &[63, 64, 9999]),
        (number(0, NEGATIVE, 64, &[1]), &[0x4040, 0, 1]),
        (number(-64, 0, 63, &[]), &[0x9f80]),
        (number(-65, 0, 0x3fff, &[1]), &[0x3fff, 0xffbf, 1]),
    ];
    for (wire, expected) in cases {
        let expected = Some(stored_number(expected));
        assert_eq!(convert(NUMERIC, -1, &wire), expected, "{wire:?}");
    }
}

#[test]
fn numbers_that_would_be_changed_or_refused_are_doubtful() {
    let good = number(0, 0, 1, &[1, 5000]);
    let doubtful = [
        number(0, 0xc000, 0, &[]),
        number(0, 0xd000, 0, &[]),
        number(0, 1, 0, &[]),
        number(0, 0, 0x4000, &[]),
        number(0, 0, 0, &[10_000]),
        // Digits that the scale hides.
        number(0, 0, 0, &[1, 5000]),
        number(0, 0, 3, &[1, 1]),
        number(-3, 0, 2, &[100]),
        // A weight that the digits' zeros take beyond what is stored.
        number(i16::MIN, 0, 0x3fff, &[0, 1]),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0, 0]].concat(),
        good[..7].to_vec(),
        Vec::new(),
    ];
    for wire in doubtful {
        assert_eq!(convert(NUMERIC, -1, &wire), None, "{wire:?}");
    }
}

#[test]
fn numbers_keep_their_columns_limit_or_are_doubtful() {
    let fits = |modifier, wire: &[u8]| convert_with(NUMERIC, modifier, -1, wire).is_some();
    let largest = number(1, 0, 2, &[9999, 9999, 9900]);
    assert!(fits(modifier(10, 2), &largest));
    assert!(!fits(modifier(9, 2), &largest));
    assert!(fits(modifier(1000, 2), &largest));
    // Another scale would be rounded or padded.
    assert!(!fits(modifier(10, 3), &largest));
    assert!(!fits(modifier(10, 1), &largest));
    assert!(fits(modifier(1, 0), &number(0, 0, 0, &[9])));
    assert!(!fits(modifier(1, 0), &number(0, 0, 0, &[10])));
    assert!(fits(modifier(1, 0), &number(0, 0, 0, &[])));
    // Only digits after the point: numeric(2, 4) is below 0.01.
    assert!(fits(modifier(2, 4), &number(-1, 0, 4, &[99])));
    assert!(!fits(modifier(2, 4), &number(-1, 0, 4, &[100])));
    // Zeros before the point.
    assert!(!fits(modifier(3, -2), &number(1, 0, 0, &[1, 2300])));
}

/// A jsonb value on the wire.
fn document(text: &[u8]) -> Vec<u8> {
    [&[1], text].concat()
}

const OFFSET: u32 = 1 << 31;
const NUMBER: u32 = 1 << 28;
const TRUE: u32 = 3 << 28;
const NULL: u32 = 4 << 28;
const CONTAINER: u32 = 5 << 28;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;
const SCALAR: u32 = 0x5000_0000;

#[test]
fn documents_are_stored_as_containers_of_entries_and_values() {
    let entry = |kind: u32| words(&[SCALAR | 1, OFFSET | kind]);
    let cases: [(&str, Vec<u8>); 9] = [
        ("{}", words(&[OBJECT])),
        (" [ ] ", words(&[ARRAY])),
        ("true", entry(TRUE)),
        ("null", entry(NULL)),
        ("\"\"", entry(0)),
        ("\"a\\n\\\"ä\"", [entry(5), b"a\n\"\xc3\xa4".to_vec()].concat()),
        ("-1.50", [entry(NUMBER | 10), stored_number(&[0xa100, 1, 5000])].concat()),
        ("-0.0", [entry(NUMBER | 6), stored_number(&[0x8080])].concat()),
        (
            // Keys in order, the last of equal ones, padding before number and container.
            r#"{"bb":0,"b" : 10000, "a":[[]],"bb":1}"#,
            [
                words(&[OBJECT | 3, OFFSET | 1, 1, 2]),
                words(&[CONTAINER | 12, NUMBER | 8, NUMBER | 8]),
                b"abbb".to_vec(),
                words(&[ARRAY | 1, OFFSET | CONTAINER | 4, ARRAY]),
                stored_number(&[0x8001, 1]),
                stored_number(&[0x8000, 1]),
            ]
            .concat(),
        ),
    ];
    for (text, expected) in cases {
        let stored = convert(JSONB, -1, &document(text.as_bytes()));
        assert_eq!(stored, Some(varlena(&expected)), "{text}");
    }
    let stored = convert(JSONB, -1, &document(br#"["a",1,{"k":2}]"#)).unwrap();
    let expected = [
        words(&[ARRAY | 3, OFFSET | 1, NUMBER | 11, CONTAINER | 24]),
        b"a\0\0\0".to_vec(),
        stored_number(&[0x8000, 1]),
        words(&[OBJECT | 1, OFFSET | 1, NUMBER | 11]),
        b"k\0\0\0".to_vec(),
        stored_number(&[0x8000, 2]),
    ];
    assert_eq!(stored, varlena(&expected.concat()));
}

#[test]
fn every_thirty_second_entry_is_an_offset() {
    let text = format!("[{}]", vec!["\"ab\""; 70].join(","));
    let stored = convert(JSONB, -1, &document(text.as_bytes())).unwrap();
    let entries: Vec<u32> =
        (0..70).map(|at| if at % 32 == 0 { OFFSET | (2 * at + 2) } else { 2 }).collect();
    assert_eq!(stored[8..8 + 280], words(&entries));
    // Keys and values are counted through.
    let pairs: Vec<String> = (0..20).map(|key| format!("\"{key:02}\":true")).collect();
    let text = format!("{{{}}}", pairs.join(","));
    let stored = convert(JSONB, -1, &document(text.as_bytes())).unwrap();
    let entries: Vec<u32> = (0..40)
        .map(|at| match at {
            0 => OFFSET | 2,
            ..20 => 2,
            32 => OFFSET | TRUE | 40,
            _ => TRUE,
        })
        .collect();
    assert_eq!(stored[8..8 + 160], words(&entries));
}

#[test]
fn json_in_doubt_is_left_to_the_server() {
    let deep = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(convert(JSON, -1, deep(64).as_bytes()).is_some());
    let doubtful = [
        "",
        " ",
        "[",
        "]",
        "{",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "1 2",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "nul",
        "nulls",
        "True",
        "'a'",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u0041\"",
        "{\"\\u0000\":1}",
        "\"a\tb\"",
        "\"long enough \n\"",
        "\u{feff}1",
        "1\0",
        "[1],",
    ];
    for text in doubtful.map(str::to_owned).into_iter().chain([deep(65)]) {
        assert_eq!(convert(JSON, -1, text.as_bytes()), None, "{text}");
        assert_eq!(convert(JSONB, -1, &document(text.as_bytes())), None, "{text}");
    }
    for text in ["1e2", "[1E-3]", "1234567890123456789012345678901"] {
        assert!(convert(JSON, -1, text.as_bytes()).is_some(), "{text}");
        assert_eq!(convert(JSONB, -1, &document(text.as_bytes())), None, "{text}");
    }
    for wire in [&b"\x02{}"[..], b"", b"\x01\"\xff\"", b"\x01\"\xed\xa0\x80\"", b"{}"] {
        assert_eq!(convert(JSONB, -1, wire), None, "{wire:?}");
    }
}

#[test]
fn special_bytes_are_found_wherever_they_are() {
    for length in 0..40 {
        for at in 0..length {
            let mut text = vec![b'\x7f'; length];
            text[at] = b'\x1f';
            assert_eq!(convert(JSON, -1, &[b"\"", &text[..], b"\""].concat()), None);
            text[at] = b'"';
            assert_eq!(convert(JSON, -1, &[b"\"", &text[..], b"\""].concat()), None);
            text[at] = b'\\';
            assert_eq!(convert(JSON, -1, &[b"\"", &text[..], b"\""].concat()), None);
            text[at] = b' ';
            assert!(convert(JSON, -1, &[b"\"", &text[..], b"\""].concat()).is_some());
        }
    }
}

#[test]
fn small_types_are_stored_as_their_structures() {
    let network = |bytes: &[u8]| Some(varlena(bytes));
    let ipv4 = [2, 8, 0, 4, 10, 1, 2, 3];
    assert_eq!(convert(869, -1, &ipv4), network(&[2, 8, 10, 1, 2, 3]));
    assert_eq!(convert(650, -1, &ipv4), None);
    assert_eq!(convert(650, -1, &[2, 9, 1, 4, 10, 128, 0, 0]), network(&[2, 9, 10, 128, 0, 0]));
    assert_eq!(convert(650, -1, &[2, 9, 1, 4, 10, 192, 0, 0]), None);
    assert_eq!(convert(650, -1, &[2, 0, 1, 4, 0, 0, 0, 0]), network(&[2, 0, 0, 0, 0, 0]));
    assert_eq!(convert(869, -1, &[2, 33, 0, 4, 10, 1, 2, 3]), None);
    assert_eq!(convert(869, -1, &[3, 8, 0, 4, 10, 1, 2, 3]), None);
    assert_eq!(convert(869, -1, &[4, 8, 0, 4, 10, 1, 2, 3]), None);

    let interval = [&1_i64.to_be_bytes()[..], &2_i32.to_be_bytes(), &3_i32.to_be_bytes()].concat();
    let expected = [&1_i64.to_ne_bytes()[..], &2_i32.to_ne_bytes(), &3_i32.to_ne_bytes()].concat();
    assert_eq!(convert(1186, 16, &interval), Some(expected));
    assert_eq!(convert_with(1186, 2, 16, &interval), None);
    let zoned = |zone: i32| [&1_000_i64.to_be_bytes()[..], &zone.to_be_bytes()].concat();
    let expected = [&1_000_i64.to_ne_bytes()[..], &57_599_i32.to_ne_bytes()].concat();
    assert_eq!(convert(1266, 12, &zoned(57_599)), Some(expected));
    assert_eq!(convert(1266, 12, &zoned(-57_600)), None);
    assert_eq!(convert(1266, 12, &zoned(i32::MIN)), None);
    assert_eq!(convert_with(1266, 2, 12, &zoned(0)), None);
    assert!(convert_with(1266, 3, 12, &zoned(0)).is_some());

    let moment = (-1_000_i64).to_be_bytes();
    assert!(convert_with(1114, 3, 8, &moment).is_some());
    assert!(convert_with(1114, 2, 8, &moment).is_none());
    assert!(convert_with(1184, 0, 8, &i64::MAX.to_be_bytes()).is_some());
    assert!(convert_with(1083, 0, 8, &1_000_000_i64.to_be_bytes()).is_some());
    assert!(convert_with(1083, 0, 8, &1_000_001_i64.to_be_bytes()).is_none());
    assert_eq!(convert(829, 6, &[1, 2, 3, 4, 5, 6]), Some(vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(convert(829, 6, &[1, 2, 3, 4, 5]), None);
}

/// An array on the wire.
fn array(head: &[u32], elements: &[&[u8]]) -> Vec<u8> {
    let mut wire: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
    for element in elements {
        wire.extend(u32::try_from(element.len()).unwrap().to_be_bytes());
        wire.extend(*element);
    }
    wire
}

#[test]
fn arrays_of_one_dimension_are_stored_behind_their_header() {
    let stored = convert(1009, -1, &array(&[1, 0, 25, 2, 1], &[b"abc", b""])).unwrap();
    let texts = [varlena(b"abc"), vec![0], varlena(b"")].concat();
    assert_eq!(stored, varlena(&[words(&[1, 0, 25, 2, 1]), texts].concat()));
    let elements: [&[u8]; 2] = [&[0, 0, 0, 1], &[0, 0, 1, 0]];
    let stored = convert(1007, -1, &array(&[1, 0, 23, 2, 1], &elements)).unwrap();
    assert_eq!(stored, varlena(&words(&[1, 0, 23, 2, 1, 1, 256])));
    assert_eq!(convert(1009, -1, &array(&[0, 0, 25], &[])), Some(varlena(&words(&[0, 0, 25]))));
    let doubtful = [
        (1009, array(&[1, 0, 1043, 1, 1], &[b"a"])),
        (1009, array(&[1, 1, 25, 1, 1], &[b"a"])),
        (1009, array(&[1, 0, 25, 1, 2], &[b"a"])),
        (1009, array(&[1, 0, 25, 0, 1], &[])),
        (1009, array(&[1, 0, 25, 2, 1], &[b"a"])),
        (1009, array(&[1, 0, 25, 1, 1], &[b"a", b"b"])),
        (1009, array(&[1, 0, 25, 1, 1], &[b"\xff"])),
        (1009, array(&[1, 0, 25, 1, 1, u32::MAX], &[])),
        (1009, array(&[2, 0, 25, 1, 1, 1, 1], &[b"a"])),
        (1007, array(&[1, 0, 23, 1, 1], &[b"a"])),
        (1009, array(&[1, 0, 25, u32::MAX, 1], &[b"a"])),
        (1009, array(&[0, 0], &[])),
    ];
    for (oid, wire) in doubtful {
        assert_eq!(convert(oid, -1, &wire), None, "{wire:?}");
    }
    let limited = |text: &[u8]| convert_with(1015, 4 + 2, -1, &array(&[1, 0, 1043, 1, 1], &[text]));
    assert!(limited(b"ab").is_some());
    assert!(limited(b"abc").is_none());
}

use std::cmp::Ordering;

use super::super::key::{KeyKind, Unfit};
use super::super::numeric::push_decimal;
use super::super::wide_key::{Part, WideColumn, WideKey, WideKind, WideLayout};
use super::super::wide_order::{ByBytes, Collate, Crooked, Straightener};
use super::super::wide_sort::{WideKeys, put_record, read_record};

fn column(kind: WideKind, is_descending: bool) -> WideColumn {
    WideColumn { kind, is_descending, has_nulls_first: is_descending, is_nullable: true }
}

/// A text as it is stored, with a header of one byte or four.
fn stored(text: &str) -> Vec<u8> {
    let mut bytes = match text.len() {
        length if length < 127 => vec![(length as u8 + 1) << 1 | 1],
        length => ((length as u32 + 4) << 2).to_le_bytes().to_vec(),
    };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Texts with common beginnings, some of them the beginning of others or the same as others.
fn texts(count: u32) -> Vec<Option<String>> {
    (0..count)
        .map(|number| {
            let random = number.wrapping_mul(2_654_435_761) >> 7;
            match number % 10 {
                0 => None,
                1 | 2 => Some("shared/beginning/".repeat(random as usize % 5)),
                3 | 4 => Some(format!("shared/beginning/{}", random % 1000)),
                5 => Some("ä".repeat(random as usize % 250)),
                6 | 7 => Some(["paid", "packed", ""][random as usize % 3].to_owned()),
                _ => Some(format!("{random:x}")),
            }
        })
        .collect()
}

/// The text and the number of a key.
fn parts_of(layout: &WideLayout, key: &WideKey) -> (Option<String>, Option<i32>) {
    let (mut text, mut number) = (None, None);
    layout.decode(key, |_, part| match part {
        Part::Null => {}
        Part::Narrow(_, stored) => {
            number = Some(i32::from_ne_bytes([stored[0], stored[1], stored[2], stored[3]]));
        }
        Part::Variable { .. } => {
            let mut bytes = Vec::new();
            part.push_variable(&mut bytes);
            text = Some(String::from_utf8(bytes).unwrap());
        }
    });
    (text, number)
}

#[test]
fn texts_sort_by_their_bytes_with_ties_by_place_and_come_back() {
    for (is_descending, count) in [(false, 12), (true, 12), (false, 20_000), (true, 20_000)] {
        let columns = [
            column(WideKind::Text, is_descending),
            column(WideKind::Narrow(KeyKind::Signed(4)), !is_descending),
        ];
        let layout = WideLayout::new(&columns).unwrap();
        let mut rows = Vec::new();
        let mut keys = WideKeys::default();
        for (place, text) in (0_u64..).zip(texts(count)) {
            let number = (place % 3 > 0).then_some(5 - i32::try_from(place % 11).unwrap());
            let (bytes, stored) = (number.map(i32::to_ne_bytes), text.as_deref().map(stored));
            let values = [stored.as_deref(), bytes.as_ref().map(|bytes| &bytes[..])];
            keys.push(&layout, &mut ByBytes, &values, place).unwrap();
            rows.push((text, number, place));
        }
        keys.sort();
        let mut sorted = Vec::new();
        keys.for_each(|key| {
            let (text, number) = parts_of(&layout, key);
            sorted.push((text, number, key.place));
        });
        // NULL is less than any value to Rust, and comes last in ascending order to the server.
        rows.sort_by(|(text, number, place), (other, other_number, other_place)| {
            let by_text = (text.is_none(), text).cmp(&(other.is_none(), other));
            let by_number = (number.is_none(), number).cmp(&(other_number.is_none(), other_number));
            let keys = match is_descending {
                false => by_text.then(by_number.reverse()),
                true => by_text.reverse().then(by_number),
            };
            keys.then(place.cmp(other_place))
        });
        assert!(sorted == rows);
    }
}

/// A numeric as it is stored, from its text.
fn stored_number(text: &str) -> Vec<u8> {
    let payload = match text {
        "NaN" => 0xc000_u16.to_ne_bytes().to_vec(),
        "Infinity" => 0xd000_u16.to_ne_bytes().to_vec(),
        "-Infinity" => 0xf000_u16.to_ne_bytes().to_vec(),
        _ => {
            let mut value = Vec::new();
            assert!(push_decimal(text.as_bytes(), &mut value), "{text}");
            value.split_off(4)
        }
    };
    [&[(payload.len() as u8 + 1) << 1 | 1][..], &payload].concat()
}

/// The keys of values, in the order of their bytes, and which of them differ from the one before in form alone.
fn sorted_keys(kind: WideKind, is_descending: bool, values: &[Vec<u8>]) -> (Vec<usize>, Vec<bool>) {
    let columns = [column(kind, is_descending), column(WideKind::Text, false)];
    let layout = WideLayout::new(&columns).unwrap();
    let behind = [stored(""), stored("behind")];
    let mut keys = WideKeys::default();
    for (place, value) in (0..).zip(values) {
        let row = [Some(&value[..]), Some(&behind[place as usize % 2][..])];
        keys.push(&layout, &mut ByBytes, &row, place).unwrap();
    }
    keys.sort();
    let (mut places, mut forms, mut last) = (Vec::new(), Vec::new(), None::<WideKey>);
    keys.for_each(|key| {
        let place = usize::try_from(key.place).unwrap();
        let mut found = Vec::new();
        layout.decode(key, |index, part| {
            if index == 0 {
                part.push_variable(&mut found);
            }
        });
        assert_eq!(found, values[place][1..]);
        forms.push(last.as_ref().is_some_and(|last| layout.differ_in_form(last, key)));
        last = Some(key.clone());
        places.push(place);
    });
    (places, forms)
}

/// Checks that values, given in ascending order, all of them different, sort so.
fn assert_order(kind: WideKind, ascending: &[Vec<u8>]) {
    let count = ascending.len();
    let (places, forms) = sorted_keys(kind, false, ascending);
    assert_eq!(places, Vec::from_iter(0..count));
    assert!(!forms.contains(&true));
    let (places, _) = sorted_keys(kind, true, ascending);
    assert_eq!(places, Vec::from_iter((0..count).rev()));
}

#[test]
fn numbers_of_any_length_sort_by_their_bytes_and_come_back() {
    let many = format!("{}.123456789", "9".repeat(14));
    let ascending = [
        "-Infinity",
        "-100000000",
        "-10000.5",
        "-10000",
        "-9999.9999",
        "-1.00010001",
        "-1.0001",
        "-1",
        "-0.00000001",
        "0",
        "0.00000001",
        "0.0001",
        "0.00011",
        "1",
        "1.5",
        "9999",
        "10000",
        "10000.0001",
        "10001",
        &many,
        "Infinity",
        "NaN",
    ]
    .map(stored_number);
    assert_order(WideKind::Numeric, &ascending);
}

#[test]
fn bytes_sort_with_their_zeros_and_come_back() {
    let ascending: Vec<Vec<u8>> = [
        &b""[..],
        b"\0",
        b"\0\0",
        b"\0\0\x01",
        b"\0\x01",
        b"\0\xff",
        b"\x01",
        b"\x01\0",
        b"\x01\x01",
        b"a",
        b"a\0",
        b"a\0\0",
        b"a\0b",
        b"a\x01",
        b"ab",
        b"\xfe",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
    ]
    .iter()
    .map(|value| [&[(value.len() as u8 + 1) << 1 | 1][..], value].concat())
    .collect();
    assert_order(WideKind::Bytes, &ascending);
}

#[test]
fn equal_values_of_several_forms_are_found() {
    for (kind, values) in [
        (WideKind::Numeric, ["1.5", "1.50", "2", "2.0", "-3"].map(stored_number)),
        (WideKind::Padded, ["b", "b  ", "c  ", "c     ", "a "].map(stored)),
    ] {
        for is_descending in [false, true] {
            let (_, forms) = sorted_keys(kind, is_descending, &values);
            assert_eq!(forms.iter().filter(|differs| **differs).count(), 2, "{kind:?}: {forms:?}");
        }
    }
    let padded = ["", "a\t  ", "a   ", "a b ", "ab  "].map(stored);
    let (places, forms) = sorted_keys(WideKind::Padded, false, &padded);
    assert_eq!((places, forms), (vec![0, 2, 1, 3, 4], vec![false; 5]));
}

#[test]
fn numbers_that_the_server_would_store_in_another_way_are_no_keys() {
    let layout = WideLayout::new(&[column(WideKind::Numeric, false)]).unwrap();
    let push = |words: &[u16]| {
        let payload: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let value = [&[(payload.len() as u8 + 1) << 1 | 1][..], &payload].concat();
        WideKeys::default().push(&layout, &mut ByBytes, &[Some(&value)], 1)
    };
    assert_eq!(push(&[0x8000, 1]), Ok(()));
    for words in [
        &[][..],
        &[0xe000],
        &[0xc000, 1],
        &[0x8000, 0, 1],
        &[0x8000, 1, 0],
        &[0x8000, 10_000],
        &[0xa000],
        &[0x8001],
        &[0],
        &[0, 0, 1],
        &[0x4000, 0, 1],
    ] {
        assert_eq!(push(words), Err(Unfit), "{words:x?}");
    }
    let odd = [0b1011, 0, 0x80, 1, 0, 9];
    assert_eq!(WideKeys::default().push(&layout, &mut ByBytes, &[Some(&odd)], 1), Err(Unfit));
}

#[test]
fn equal_columns_are_counted_from_the_first() {
    let layout = WideLayout::new(&[column(WideKind::Text, false); 3]).unwrap();
    let keys: Vec<WideKey> =
        [["a", "b", "c"], ["a", "b", "cc"], ["a", "bb", "c"], ["aa", "b", "c"]]
            .iter()
            .map(|texts| {
                let stored = texts.map(stored);
                let mut one = WideKeys::default();
                let values = [Some(&stored[0][..]), Some(&stored[1][..]), Some(&stored[2][..])];
                one.push(&layout, &mut ByBytes, &values, 1).unwrap();
                let mut found = WideKey::default();
                one.for_each(|key| found.clone_from(key));
                found
            })
            .collect();
    let counts: Vec<usize> = keys.iter().map(|key| layout.count_equal(&keys[0], key)).collect();
    assert_eq!(counts, [3, 2, 1, 0]);
}

#[test]
fn values_that_the_server_would_store_in_another_way_are_no_keys() {
    let columns = [WideColumn { is_nullable: false, ..column(WideKind::Text, false) }; 5];
    let layout = WideLayout::new(&columns[..1]).unwrap();
    let push = |value: Option<&[u8]>| WideKeys::default().push(&layout, &mut ByBytes, &[value], 1);
    assert_eq!(push(Some(&stored(&"x".repeat(506)))), Ok(()));
    assert_eq!(push(Some(&stored(&"x".repeat(507)))), Err(Unfit));
    assert_eq!(push(None), Err(Unfit), "a NULL where there should be none");
    assert_eq!(push(Some(&stored("a\0b"))), Err(Unfit), "a zero");
    assert_eq!(push(Some(&[0b10 | 40 << 2, 0, 0, 0, 9, 9, 9, 9, 9, 9])), Err(Unfit), "compressed");
    assert_eq!(push(Some(&[&[1, 18][..], &[0; 16]].concat())), Err(Unfit), "out of line");
    let long = stored(&"x".repeat(500));
    let layout = WideLayout::new(&columns).unwrap();
    let pushed = WideKeys::default().push(&layout, &mut ByBytes, &[Some(&long[..]); 5], 1);
    assert_eq!(pushed, Err(Unfit), "longer than a third of a page");
    let columns = [WideColumn { kind: WideKind::Padded, ..columns[0] }; 5];
    let (layout, blank) = (WideLayout::new(&columns).unwrap(), stored(&format!("{:500}", "x")));
    let pushed = WideKeys::default().push(&layout, &mut ByBytes, &[Some(&blank[..]); 5], 1);
    assert_eq!(pushed, Err(Unfit), "the same with its blanks");
}

#[test]
fn records_of_runs_are_read_as_they_were_written() {
    let layout = WideLayout::new(&[column(WideKind::Text, false)]).unwrap();
    let (text, mut keys, mut bytes) = (stored("text"), WideKeys::default(), Vec::new());
    keys.push(&layout, &mut ByBytes, &[Some(&text)], 77 << 16 | 3).unwrap();
    keys.for_each(|key| put_record(key, &mut bytes));
    let mut key = WideKey::default();
    assert_eq!(read_record(&bytes[..bytes.len() - 1], &mut key), None);
    assert_eq!(read_record(&bytes, &mut key), Some(bytes.len()));
    assert_eq!((parts_of(&layout, &key).0.as_deref(), key.place), (Some("text"), 77 << 16 | 3));
}

/// A collation that looks at letters, then at their case, which weights get wrong where there is punctuation, then at
/// that, which no weight tells.
struct Letters {
    /// Texts that are said to weigh nothing.
    weightless: Option<&'static str>,
}

impl Letters {
    /// The weights of a text in which it has this case or that.
    fn weights(text: &[u8], is_upper: fn(&u8) -> bool) -> Vec<u8> {
        let letters = || text.iter().filter(|byte| byte.is_ascii_alphanumeric());
        let cases = letters().map(|byte| 2 + u8::from(is_upper(byte)));
        letters().map(u8::to_ascii_lowercase).chain([1]).chain(cases).collect()
    }
}

impl Collate for Letters {
    fn weigh(&mut self, _: usize, text: &[u8], into: &mut Vec<u8>) -> bool {
        if self.weightless.map(str::as_bytes) != Some(text) {
            into.extend(Self::weights(
                text,
                match text.contains(&b'_') {
                    true => u8::is_ascii_lowercase,
                    false => u8::is_ascii_uppercase,
                },
            ));
        }
        true
    }

    fn compare(&mut self, _: usize, one: &[u8], other: &[u8]) -> Ordering {
        // Punctuation in the order that bytes do not have.
        let [by_one, by_other] =
            [one, other].map(|text| Self::weights(text, u8::is_ascii_uppercase));
        by_one.cmp(&by_other).then_with(|| other.cmp(one))
    }
}

/// The keys of rows of two texts, straightened: their places.
fn straighten(
    columns: &[WideColumn],
    collate: &mut Letters,
    rows: &[[Option<String>; 2]],
) -> Result<Vec<u64>, Crooked> {
    let layout = WideLayout::new(columns).unwrap();
    let mut keys = WideKeys::default();
    for (place, row) in (0..).zip(rows) {
        let stored = row.clone().map(|text| text.as_deref().map(stored));
        let values = stored.each_ref().map(Option::as_deref);
        keys.push(&layout, collate, &values, place).unwrap();
    }
    keys.sort();
    let mut places = Vec::new();
    let mut each = |key: &WideKey| places.push(key.place);
    let mut straightener = Straightener::new(&layout, collate);
    keys.for_each(|key| straightener.push(key, &mut each));
    straightener.finish(&mut each).map(|()| places)
}

#[test]
fn texts_of_a_collation_sort_by_weights_and_those_of_equal_weight_as_it_says() {
    let words = ["do it", "do-it", "doit", "Do it", "DO_IT", "done", "d", "", "-", "--"];
    let text = |number: u32| match number % 11 {
        10 => None,
        word => Some(format!("{}{}", words[word as usize], number / 11 % 3)),
    };
    let rows: Vec<[Option<String>; 2]> = (0..3000_u32)
        .map(|number| number.wrapping_mul(2_654_435_761) >> 5)
        .map(|random| [text(random), text(random / 40)])
        .collect();
    for is_descending in [[false, false], [true, false], [false, true]] {
        let columns = is_descending.map(|down| column(WideKind::Collated, down));
        let places = straighten(&columns, &mut Letters { weightless: None }, &rows).unwrap();
        let mut expected: Vec<u64> = (0..).take(rows.len()).collect();
        expected.sort_by(|one, other| {
            let rows = [&rows[*one as usize], &rows[*other as usize]];
            let by_column = (0..2).map(|index| {
                let order = match [&rows[0][index], &rows[1][index]] {
                    [Some(one), Some(other)] => Letters { weightless: None }.compare(
                        index,
                        one.as_bytes(),
                        other.as_bytes(),
                    ),
                    // NULL comes last, or first in descending order.
                    [one, other] => one.is_none().cmp(&other.is_none()),
                };
                if is_descending[index] { order.reverse() } else { order }
            });
            by_column.fold(Ordering::Equal, Ordering::then).then(one.cmp(other))
        });
        assert!(places == expected, "{is_descending:?}");
    }
}

#[test]
fn weights_that_say_something_else_than_their_collation_are_noticed() {
    let columns = [column(WideKind::Collated, false), column(WideKind::Text, false)];
    let row = |word: &str| [Some(word.to_owned()), None];
    let rows = [row("first"), row("second"), row("third")];
    let collate = |weightless| straighten(&columns, &mut Letters { weightless }, &rows);
    assert_eq!(collate(None), Ok(vec![0, 1, 2]));
    assert_eq!(collate(Some("first")), Ok(vec![0, 1, 2]), "it is the first one anyway");
    assert_eq!(collate(Some("second")), Err(Crooked));
    assert_eq!(collate(Some("third")), Err(Crooked));
}

#[test]
fn more_keys_of_equal_weight_than_can_be_sorted_are_in_order_or_noticed() {
    let columns = [column(WideKind::Collated, false), column(WideKind::Text, false)];
    let rows = |words: [&str; 2]| -> Vec<[Option<String>; 2]> {
        (0..30_000).map(|number| [Some(words[number / 15_000].to_owned()), None]).collect()
    };
    let mut letters = Letters { weightless: None };
    let places = straighten(&columns, &mut letters, &rows(["same", "same"])).unwrap();
    assert!(places.is_sorted() && places.len() == 30_000);
    assert_eq!(straighten(&columns, &mut letters, &rows(["a b", "a-b"])), Err(Crooked));
}

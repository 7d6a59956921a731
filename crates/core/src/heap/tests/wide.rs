use super::super::key::KeyKind;
use super::super::wide_key::{Part, Unfit, WideColumn, WideKey, WideKind, WideLayout};
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
        Part::Text { bytes, mask } => {
            let bytes = bytes.iter().map(|byte| byte ^ mask).collect();
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
            keys.push(&layout, &values, place).unwrap();
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
                one.push(&layout, &values, 1).unwrap();
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
    let push = |value: Option<&[u8]>| WideKeys::default().push(&layout, &[value], 1);
    assert_eq!(push(Some(&stored(&"x".repeat(506)))), Ok(()));
    assert_eq!(push(Some(&stored(&"x".repeat(507)))), Err(Unfit));
    assert_eq!(push(None), Err(Unfit), "a NULL where there should be none");
    assert_eq!(push(Some(&stored("a\0b"))), Err(Unfit), "a zero");
    assert_eq!(push(Some(&[0b10 | 40 << 2, 0, 0, 0, 9, 9, 9, 9, 9, 9])), Err(Unfit), "compressed");
    assert_eq!(push(Some(&[&[1, 18][..], &[0; 16]].concat())), Err(Unfit), "out of line");
    let long = stored(&"x".repeat(500));
    let layout = WideLayout::new(&columns).unwrap();
    let pushed = WideKeys::default().push(&layout, &[Some(&long[..]); 5], 1);
    assert_eq!(pushed, Err(Unfit), "longer than a third of a page");
}

#[test]
fn records_of_runs_are_read_as_they_were_written() {
    let layout = WideLayout::new(&[column(WideKind::Text, false)]).unwrap();
    let (text, mut keys, mut bytes) = (stored("text"), WideKeys::default(), Vec::new());
    keys.push(&layout, &[Some(&text)], 77 << 16 | 3).unwrap();
    keys.for_each(|key| put_record(key, &mut bytes));
    let mut key = WideKey::default();
    assert_eq!(read_record(&bytes[..bytes.len() - 1], &mut key), None);
    assert_eq!(read_record(&bytes, &mut key), Some(bytes.len()));
    assert_eq!((parts_of(&layout, &key).0.as_deref(), key.place), (Some("text"), 77 << 16 | 3));
}

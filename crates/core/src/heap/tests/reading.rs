use std::fmt::Debug;

use super::super::deform::{Attribute, Deformer, plain_value};
use super::super::key::{KeyKind, Unfit};
use super::super::page::{PAGE_BYTES, Page, Pointer, Tuple};
use super::super::sort::{Entry, KeyColumn, KeyLayout};

fn column(kind: KeyKind) -> KeyColumn {
    KeyColumn { kind, is_descending: false, has_nulls_first: false, is_nullable: false }
}

/// Checks that the values, given in ascending order, sort so and come back.
fn assert_order<const S: usize>(kind: KeyKind, ascending: &[[u8; S]]) {
    let keys: Vec<u128> = ascending.iter().map(|value| kind.normalize(value).unwrap()).collect();
    assert!(keys.is_sorted_by(|left, right| left < right), "{kind:?}: {keys:?}");
    for (value, key) in ascending.iter().zip(&keys) {
        assert_eq!(&kind.restore(*key)[..S], value);
    }
}

#[test]
fn numbers_sort_by_their_keys_and_come_back() {
    assert_order(KeyKind::Signed(2), &[i16::MIN, -1, 0, 1, i16::MAX].map(i16::to_ne_bytes));
    assert_order(KeyKind::Signed(4), &[i32::MIN, -1, 0, 1, i32::MAX].map(i32::to_ne_bytes));
    assert_order(KeyKind::Signed(8), &[i64::MIN, -1, 0, 1, i64::MAX].map(i64::to_ne_bytes));
    assert_order(KeyKind::Unsigned(1), &[[0], [1]]);
    assert_order(KeyKind::Unsigned(4), &[0, 1, u32::MAX].map(u32::to_ne_bytes));
    assert_order(KeyKind::Uuid, &[0, 1, 1 << 64, u128::MAX].map(u128::to_be_bytes));
    let floats = [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-45, 0.0, 1e-45, 1.0, f32::MAX];
    assert_order(KeyKind::Float(4), &floats.map(f32::to_ne_bytes));
    let floats = [f64::NEG_INFINITY, f64::MIN, -2.0, -1.0, -5e-324, 0.0, 5e-324, 1.0, f64::MAX];
    assert_order(KeyKind::Float(8), &floats.map(f64::to_ne_bytes));
    let last = [f64::INFINITY.to_bits(), 0x7ff8 << 48];
    assert_order(KeyKind::Float(8), &last.map(u64::to_ne_bytes));
}

#[test]
fn floats_that_are_equal_to_others_are_no_keys() {
    for bits in [1 << 63, 0xfff8 << 48, 0x7ff8 << 48 | 1, 0x7ff0 << 48 | 1] {
        assert_eq!(KeyKind::Float(8).normalize(&u64::to_ne_bytes(bits)), Err(Unfit), "{bits:x}");
    }
    for bits in [1 << 31, 0xffc0 << 16, 0x7fc0 << 16 | 1, 0x7f80 << 16 | 1] {
        assert_eq!(KeyKind::Float(4).normalize(&u32::to_ne_bytes(bits)), Err(Unfit), "{bits:x}");
    }
}

/// Packs rows of int4 and uuid and returns them in sorted order, with their places.
fn sorted<const N: usize>(
    columns: &[KeyColumn],
    rows: &[(Option<i32>, Option<u128>)],
) -> Vec<(Option<i32>, Option<u128>, u64)> {
    let layout = KeyLayout::new(columns).unwrap();
    assert_eq!(layout.word_count(), N);
    let mut entries: Vec<Entry<N>> = (0..)
        .zip(rows)
        .map(|(place, (number, id))| {
            let number = number.map(i32::to_ne_bytes);
            let id = id.map(u128::to_be_bytes);
            layout
                .pack(&[number.as_ref().map(|b| &b[..]), id.as_ref().map(|b| &b[..])], place)
                .unwrap()
        })
        .collect();
    entries.sort_unstable();
    entries
        .iter()
        .map(|entry| {
            let (mut number, mut id) = (None, None);
            layout.unpack(entry, |index, value| match (index, value) {
                (0, Some(v)) => number = Some(i32::from_ne_bytes([v[0], v[1], v[2], v[3]])),
                (1, Some(v)) => id = Some(u128::from_be_bytes(v)),
                _ => {}
            });
            (number, id, entry.place)
        })
        .collect()
}

#[test]
fn composite_keys_sort_with_nulls_last_and_ties_by_place() {
    let rows = [
        (Some(7), Some(u128::MAX)),
        (Some(-7), None),
        (None, Some(3)),
        (Some(7), Some(1)),
        (Some(7), Some(1)),
        (None, None),
    ];
    let mut columns = [column(KeyKind::Signed(4)), column(KeyKind::Uuid)];
    columns[0].is_nullable = true;
    columns[1].is_nullable = true;
    let expected = [
        (Some(-7), None, 1),
        (Some(7), Some(1), 3),
        (Some(7), Some(1), 4),
        (Some(7), Some(u128::MAX), 0),
        (None, Some(3), 2),
        (None, None, 5),
    ];
    assert_eq!(sorted::<3>(&columns, &rows), expected);
}

#[test]
fn descending_columns_and_nulls_first_are_obeyed() {
    let rows = [(Some(1), Some(0)), (None, Some(0)), (Some(2), Some(0)), (Some(2), Some(9))];
    let mut columns = [column(KeyKind::Signed(4)), column(KeyKind::Uuid)];
    columns[0] = KeyColumn {
        is_descending: true,
        has_nulls_first: true,
        is_nullable: true,
        kind: KeyKind::Signed(4),
    };
    let expected =
        [(None, Some(0), 1), (Some(2), Some(0), 2), (Some(2), Some(9), 3), (Some(1), Some(0), 0)];
    assert_eq!(sorted::<3>(&columns, &rows), expected);
}

#[test]
fn a_key_that_is_too_wide_has_no_layout() {
    assert!(KeyLayout::new(&[column(KeyKind::Uuid); 2]).is_none());
    assert!(KeyLayout::new(&[]).is_none());
    assert_eq!(KeyLayout::new(&[column(KeyKind::Signed(8)); 3]).unwrap().word_count(), 3);
}

/// A tuple's bytes: header with `nulls` as its bitmap (true: not NULL), then `data`.
fn tuple_bytes(attribute_count: u16, nulls: Option<&[bool]>, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 23];
    if let Some(nulls) = nulls {
        let mut bitmap = vec![0_u8; nulls.len().div_ceil(8)];
        for (index, is_set) in nulls.iter().enumerate() {
            bitmap[index / 8] |= u8::from(*is_set) << (index % 8);
        }
        bytes.extend(bitmap);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let header_length = u8::try_from(bytes.len()).unwrap();
    bytes[22] = header_length;
    bytes[18..20].copy_from_slice(&attribute_count.to_ne_bytes());
    let infomask: u16 = 0x0900 | u16::from(nulls.is_some());
    bytes[20..22].copy_from_slice(&infomask.to_ne_bytes());
    bytes.extend(data);
    bytes
}

/// A page with these tuples.
fn page_bytes(tuples: &[Vec<u8>]) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    let mut upper = PAGE_BYTES;
    for (index, tuple) in tuples.iter().enumerate() {
        upper = (upper - tuple.len()) / 8 * 8;
        page[upper..upper + tuple.len()].copy_from_slice(tuple);
        let pointer = upper as u32 | 1 << 15 | (tuple.len() as u32) << 17;
        page[24 + index * 4..28 + index * 4].copy_from_slice(&pointer.to_ne_bytes());
    }
    let lower = u16::try_from(24 + 4 * tuples.len()).unwrap();
    page[12..14].copy_from_slice(&lower.to_ne_bytes());
    page
}

fn only_tuple<'a>(page: &'a [u8; PAGE_BYTES]) -> Tuple<'a> {
    match Page::new(page).pointer(1) {
        Pointer::Tuple(tuple) => tuple,
        other => panic!("{other:?}"),
    }
}

fn attribute(length: i16, alignment: usize) -> Attribute {
    Attribute { length, alignment }
}

#[test]
fn columns_are_found_behind_others_of_any_length() {
    let attributes = [attribute(2, 2), attribute(-1, 4), attribute(8, 8), attribute(4, 4)];
    let deformer = Deformer::new(&attributes, &[3, 2]).unwrap();
    let mut data = 5_i16.to_ne_bytes().to_vec();
    // A text of three bytes under a short header, then padding to 8.
    data.extend([4 << 1 | 1, b'a', b'b', b'c', 0, 0]);
    data.extend(77_i64.to_ne_bytes());
    data.extend(99_i32.to_ne_bytes());
    let page = page_bytes(&[tuple_bytes(4, None, &data)]);
    let tuple = only_tuple(&page);
    assert!(tuple.is_surely_live() && !tuple.is_hot());
    let mut values = [None; 2];
    deformer.deform(tuple, &mut values).unwrap();
    assert_eq!(values, [Some(&99_i32.to_ne_bytes()[..]), Some(&77_i64.to_ne_bytes()[..])]);

    // A long header is aligned, and NULLs take no room.
    let mut data = vec![0, 0, 0, 0];
    data[..2].copy_from_slice(&5_i16.to_ne_bytes());
    data.extend((204_u32 << 2).to_le_bytes());
    data.extend([b'x'; 200]);
    data.extend(99_i32.to_ne_bytes());
    let nulls = [true, true, false, true];
    let page = page_bytes(&[tuple_bytes(4, Some(&nulls), &data)]);
    deformer.deform(only_tuple(&page), &mut values).unwrap();
    assert_eq!(values, [Some(&99_i32.to_ne_bytes()[..]), None]);
}

#[test]
fn fixed_columns_are_read_in_place() {
    let attributes = [attribute(1, 1), attribute(4, 4), attribute(16, 1)];
    let deformer = Deformer::new(&attributes, &[1]).unwrap();
    let mut data = vec![1, 0, 0, 0];
    data.extend(42_i32.to_ne_bytes());
    data.extend([7; 16]);
    let page = page_bytes(&[tuple_bytes(3, None, &data)]);
    let mut values = [None];
    deformer.deform(only_tuple(&page), &mut values).unwrap();
    assert_eq!(values, [Some(&42_i32.to_ne_bytes()[..])]);
    // The column came later than the row.
    let page = page_bytes(&[tuple_bytes(1, None, &data)]);
    assert!(deformer.deform(only_tuple(&page), &mut values).is_err());
    assert!(Deformer::new(&[attribute(-2, 1)], &[0]).is_none());
}

#[test]
fn texts_come_with_their_headers_and_only_plain_ones_have_bytes() {
    let attributes = [attribute(4, 4), attribute(-1, 4), attribute(-1, 4)];
    let deformer = Deformer::new(&attributes, &[2, 1]).unwrap();
    let long = "x".repeat(200);
    let mut data = 7_i32.to_ne_bytes().to_vec();
    data.extend([3 << 1 | 1, b'a', b'b', 0]);
    data.extend((204_u32 << 2).to_le_bytes());
    data.extend(long.as_bytes());
    let page = page_bytes(&[tuple_bytes(3, None, &data)]);
    let mut values = [None; 2];
    deformer.deform(only_tuple(&page), &mut values).unwrap();
    assert_eq!(
        values.map(|value| value.and_then(plain_value)),
        [Some(long.as_bytes()), Some(&b"ab"[..])]
    );
    // Compressed, out of line, nothing at all.
    assert_eq!(plain_value(&[204 << 2 | 2, 3, 0, 0, 0, 0]), None);
    assert_eq!(plain_value(&[1, 18, 0, 0]), None);
    assert_eq!(plain_value(&[]), None);
    assert_eq!(plain_value(&[3]), Some(&b""[..]));
    assert_eq!(plain_value(&4_u32.to_le_bytes().map(|byte| byte << 2)), Some(&b""[..]));
}

#[test]
fn damaged_pages_give_no_tuples_and_no_panics() {
    let deformer =
        Deformer::new(&[attribute(-1, 4), attribute(-2, 1), attribute(4, 4)], &[2, 0]).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut page = [0; PAGE_BYTES];
    for _ in 0..2000 {
        for chunk in page.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_ne_bytes());
        }
        let page = Page::new(&page);
        for offset in 0..=page.pointer_count() {
            if let Pointer::Tuple(tuple) = page.pointer(offset) {
                let mut values = [None; 2];
                ignore(
                    deformer.deform(tuple, &mut values).map(|()| values[1].and_then(plain_value)),
                );
            }
        }
    }
}

fn ignore<T: Debug>(_value: T) {}

//! Keys of foreign keys, and sets of them.

use std::collections::HashSet;

use super::super::byte_set::{ByteCollector, ByteSet};
use super::super::key::KeyKind;
use super::super::key_set::{Full, KeyCollector, KeySet};
use super::super::reference::{Form, Key, KeyMaker, ReferencedKeys, ReferencedSet};

const INT2: u32 = 21;
const INT4: u32 = 23;
const INT8: u32 = 20;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const UUID: u32 = 2950;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;

fn collect(bits: &[u32], keys: &[u128], memory: usize) -> Result<KeySet, Full> {
    let mut collector = KeyCollector::new(bits, memory);
    keys.iter().try_for_each(|key| collector.insert(*key))?;
    collector.finish()
}

fn collect_bytes(strings: &[&[u8]]) -> ByteSet {
    let mut collector = ByteCollector::new(1 << 20);
    for string in strings {
        collector.insert(string).unwrap();
    }
    collector.finish()
}

#[test]
fn key_sets_know_what_they_hold() {
    let dense: Vec<u128> = (1000..5000).filter(|key| key % 3 != 0).collect();
    let sparse: Vec<u128> = (0..2000).map(|key| key * key * 0x0001_0000_0000_0001).collect();
    let mixed = [&dense[..], &sparse[..]].concat();
    let downwards: Vec<u128> = dense.iter().rev().map(|key| key << 40).collect();
    for keys in [dense, sparse, mixed, downwards, vec![5], vec![0, u128::MAX], vec![]] {
        let members: HashSet<u128> = keys.iter().copied().collect();
        // The little memory makes the keys come in many batches.
        for memory in [1 << 12, 1 << 20] {
            for bits in [&[128][..], &[64, 64], &[100, 20, 8], &[1, 127]] {
                let Ok(set) = collect(bits, &keys, memory) else {
                    assert_eq!(memory, 1 << 12);
                    continue;
                };
                for key in keys.iter().flat_map(|key| {
                    [key.saturating_sub(1), *key, key.saturating_add(1), !key, key ^ 1 << 64]
                }) {
                    assert_eq!(
                        set.contains(key),
                        members.contains(&key),
                        "{key} {bits:?} {memory}"
                    );
                }
            }
        }
    }
}

#[test]
fn numbers_close_together_make_a_bitmap_and_others_a_table_within_its_memory() {
    let pairs = |second_step: u128| -> Vec<u128> {
        (0..200_000).map(|key| ((key / 5) << 32) | ((key % 5) * second_step)).collect()
    };
    assert!(collect(&[64, 32], &pairs(1), 1 << 24).unwrap().is_dense());
    assert!(!collect(&[64, 32], &pairs(1 << 28), 1 << 24).unwrap().is_dense());
    // As a bitmap the keys fit into less memory than as a table, however many batches they are.
    let set = collect(&[64, 32], &pairs(1), 1 << 16).unwrap();
    assert!(pairs(1).iter().all(|key| set.contains(*key)));
    assert!(!set.contains(5) && !set.contains(40_000 << 32));
    assert!(matches!(collect(&[64, 32], &pairs(1 << 28), 1 << 16), Err(Full)));
    assert!(matches!(collect(&[128], &[0, u128::MAX], 16), Err(Full)));
}

#[test]
fn ranges_that_grow_either_way_keep_what_they_had() {
    let middle = 1_u128 << 62;
    let keys: Vec<u128> = (0..3000)
        .map(|key| if key % 2 == 0 { middle + key } else { middle - key })
        .map(|key| (key << 8) | (key % 5))
        .collect();
    let set = collect(&[64, 8], &keys, 1 << 13).unwrap();
    assert!(set.is_dense());
    assert!(keys.iter().all(|key| set.contains(*key)));
    assert!(keys.iter().all(|key| !set.contains(key ^ 1 << 7) || keys.contains(&(key ^ 1 << 7))));
    // Up to both ends of the range.
    let ends: Vec<u128> = (0..64).flat_map(|key| [255 - key, key]).collect();
    let set = collect(&[8], &ends, 1 << 10).unwrap();
    assert!((0..256).all(|key| set.contains(key) == ends.contains(&key)));
}

#[test]
fn byte_sets_compare_every_byte() {
    let long = [b'l'; 300];
    let mut other = long;
    other[299] = b'm';
    let set = collect_bytes(&[b"a", b"A ", b"", &long, b"a"]);
    for member in [&b"a"[..], b"A ", b"", &long] {
        assert!(set.contains(member));
    }
    for stranger in [&b"A"[..], b"a ", b"\0", &other, &long[..299]] {
        assert!(!set.contains(stranger));
    }
    assert!(!collect_bytes(&[]).contains(b""));
    let strings: Vec<String> = (0..5000).map(|number| (number * 7).to_string()).collect();
    let set = collect_bytes(&strings.iter().map(String::as_bytes).collect::<Vec<_>>());
    for number in 0..35_000 {
        assert_eq!(set.contains(number.to_string().as_bytes()), number % 7 == 0, "{number}");
    }
}

#[test]
fn byte_sets_keep_to_their_memory() {
    let mut collector = ByteCollector::new(1000);
    let added = (0..100).take_while(|_| collector.insert(&[b'x'; 30]).is_ok()).count();
    assert!((15..31).contains(&added), "{added}");
    assert_eq!(ByteCollector::new(1 << 20).insert(&[0; 1 << 16]), Err(Full));
}

#[test]
fn only_types_that_are_compared_by_what_is_stored_have_a_form() {
    assert_eq!(Form::of_types(TEXT, VARCHAR), Some(Form::Text));
    let (narrow, wide) = (KeyKind::Signed(4), KeyKind::Signed(8));
    assert_eq!(Form::of_types(INT4, INT8), Some(Form::Number(narrow, wide)));
    assert_eq!(Form::of_types(INT8, INT4), Some(Form::Number(wide, wide)));
    assert_eq!(Form::of_types(UUID, UUID), Some(Form::Number(KeyKind::Uuid, KeyKind::Uuid)));
    // Days beside microseconds, local time beside universal time, a padded text, money beside a number.
    for (own, other) in
        [(DATE, TIMESTAMP), (TIMESTAMP, TIMESTAMPTZ), (1042, 1042), (1042, TEXT), (790, INT8)]
    {
        assert_eq!(Form::of_types(own, other), None);
        assert_eq!(Form::of_types(other, own), None);
    }
}

/// A set of one key, and the makers of keys of both ends.
struct Ends {
    set: ReferencedSet,
    referencing: KeyMaker,
}

/// The referenced end has one row.
fn ends(types: &[(u32, u32)], referenced: &[Option<&[u8]>]) -> Ends {
    let forms = |swap: bool| -> Vec<Form> {
        let pairs =
            types.iter().map(|(own, other)| if swap { (*other, *own) } else { (*own, *other) });
        pairs.map(|(own, other)| Form::of_types(own, other).unwrap()).collect()
    };
    let mut keys = ReferencedKeys::new(&forms(true), 1 << 20);
    let mut maker = KeyMaker::new(forms(true));
    keys.insert(maker.make(referenced).unwrap()).unwrap();
    Ends { set: keys.finish().unwrap(), referencing: KeyMaker::new(forms(false)) }
}

impl Ends {
    fn allow(&mut self, values: &[Option<&[u8]>]) -> bool {
        self.set.allows(self.referencing.make(values).unwrap())
    }
}

#[test]
fn integers_of_any_width_are_compared_by_value() {
    let values = [i64::MIN, -1 << 31, -70_000, -32_768, -1, 0, 1, 32_767, i64::MAX];
    for referenced in values {
        let mut ends = ends(&[(INT2, INT8)], &[Some(&referenced.to_ne_bytes())]);
        for value in values.iter().filter_map(|value| i16::try_from(*value).ok()) {
            let is_equal = i64::from(value) == referenced;
            assert_eq!(ends.allow(&[Some(&value.to_ne_bytes())]), is_equal, "{value} {referenced}");
        }
    }
    let mut ends = ends(&[(INT8, INT4)], &[Some(&(-5_i32).to_ne_bytes())]);
    assert!(ends.allow(&[Some(&(-5_i64).to_ne_bytes())]));
    assert!(!ends.allow(&[Some(&(u64::from(u32::MAX) - 4).to_ne_bytes())]));
}

#[test]
fn all_columns_count_and_a_null_lets_a_row_pass() {
    let (number, other) = (7_i32.to_ne_bytes(), 8_i32.to_ne_bytes());
    let id = [9_u8; 16];
    let mut changed = id;
    changed[15] = 8;
    // 160 bits, so that the key is one of bytes.
    let mut ends = ends(&[(INT4, INT4), (UUID, UUID)], &[Some(&number), Some(&id)]);
    assert!(ends.allow(&[Some(&number), Some(&id)]));
    assert!(!ends.allow(&[Some(&other), Some(&id)]));
    assert!(!ends.allow(&[Some(&number), Some(&changed)]));
    assert!(ends.allow(&[None, Some(&changed)]) && ends.allow(&[Some(&other), None]));
    assert!(ends.referencing.make(&[Some(&number)]).is_err());
    assert!(ends.referencing.make(&[Some(&number), Some(&id[1..])]).is_err());
    // What is referenced has to be there as a whole.
    let mut ends = self::ends(&[(INT4, INT4), (INT8, INT4)], &[Some(&number), None]);
    assert!(!ends.allow(&[Some(&number), Some(&0_i64.to_ne_bytes())]));
}

#[test]
fn texts_are_the_same_under_headers_of_either_kind_and_kept_apart() {
    let long_header = |text: &[u8]| {
        let mut stored = (u32::try_from(text.len() + 4).unwrap() << 2).to_le_bytes().to_vec();
        stored.extend(text);
        stored
    };
    let short_header = |text: &[u8]| {
        let mut stored = vec![u8::try_from(text.len() + 1).unwrap() << 1 | 1];
        stored.extend(text);
        stored
    };
    let mut single = ends(&[(VARCHAR, TEXT)], &[Some(&long_header(b"abc"))]);
    assert!(single.allow(&[Some(&short_header(b"abc"))]));
    assert!(!single.allow(&[Some(&short_header(b"abc "))]));
    assert!(single.allow(&[None]));
    assert!(single.referencing.make(&[Some(&[1, 18, 0])]).is_err());
    let (a, bc) = (short_header(b"a"), long_header(b"bc"));
    let mut double = ends(&[(TEXT, TEXT), (TEXT, TEXT)], &[Some(&a), Some(&bc)]);
    assert!(double.allow(&[Some(&long_header(b"a")), Some(&short_header(b"bc"))]));
    assert!(!double.allow(&[Some(&short_header(b"ab")), Some(&short_header(b"c"))]));
    let number = 5_i32.to_ne_bytes();
    let mut mixed = ends(&[(TEXT, TEXT), (INT4, INT4)], &[Some(&bc), Some(&number)]);
    assert!(mixed.allow(&[Some(&short_header(b"bc")), Some(&number)]));
    assert!(!mixed.allow(&[Some(&short_header(b"bc")), Some(&[0; 4])]));
    assert!(matches!(mixed.referencing.make(&[None, Some(&number)]), Ok(Key::Null)));
}

//! Trees built from many keys, walked from the root; that they equal the server's is tested with one.

use super::*;
use crate::heap::key::KeyKind;
use crate::heap::page::PageBytes;
use crate::heap::sort::{Entry, KeyColumn, KeyLayout};
use crate::heap::wide_key::{WideColumn, WideKind, WideLayout};
use crate::heap::wide_order::ByBytes;
use crate::heap::wide_sort::WideKeys;

/// Pages in the order of their numbers; the metapage's place is empty.
fn build<K: Key, F: KeyForm<K>>(
    layout: &F,
    options: Options,
    entries: &[K],
) -> (Vec<Option<Box<PageBytes>>>, Option<Root>) {
    let mut pages: Vec<Option<Box<PageBytes>>> = Vec::new();
    let mut builder = Builder::new(layout, options, |block, page| {
        let place = block as usize;
        if pages.len() <= place {
            pages.resize(place + 1, None);
        }
        assert!(pages[place].replace(page).is_none());
    });
    for entry in entries {
        builder.push(entry);
    }
    let root = builder.finish();
    (pages, root)
}

fn u16_at(page: &PageBytes, place: usize) -> u16 {
    u16::from_ne_bytes([page.0[place], page.0[place + 1]])
}

fn u32_at(page: &PageBytes, place: usize) -> u32 {
    u32::from_ne_bytes(page.0[place..place + 4].try_into().unwrap())
}

/// The items of a page with their offset numbers.
fn items(page: &PageBytes) -> Vec<&[u8]> {
    let count = (usize::from(u16_at(page, 12)) - 24) / 4;
    (0..count)
        .map(|index| {
            let pointer = u32_at(page, 24 + 4 * index);
            let start = (pointer & 0x7fff) as usize;
            &page.0[start..start + (pointer >> 17) as usize]
        })
        .collect()
}

fn tid(bytes: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]));
    half(0) << 32 | half(2) << 16 | half(4)
}

/// The places of all rows from the first leaf to the last, found by way of the leftmost downlinks and
/// the links between neighbours; every level is looked through.
fn walk(pages: &[Option<Box<PageBytes>>], root: Root) -> Vec<u64> {
    let (mut first, mut level) = (root.block, root.level);
    loop {
        let mut places = Vec::new();
        let (mut block, mut previous, mut downlinks) = (first, 0, Vec::new());
        while block != 0 {
            let page = pages[block as usize].as_deref().unwrap();
            assert_eq!(u32_at(page, 8176), previous);
            assert_eq!(u32_at(page, 8184), level);
            let next = u32_at(page, 8180);
            let items = items(page);
            for item in &items[usize::from(next != 0)..] {
                let offset = u16::from_ne_bytes([item[4], item[5]]);
                let info = u16::from_ne_bytes([item[6], item[7]]);
                if level > 0 {
                    downlinks.push((tid(item) >> 16) as u32);
                } else if info & 0x2000 != 0 {
                    assert_ne!(offset & 0x2000, 0, "a posting list");
                    let start = (tid(item) >> 16) as usize;
                    let count = usize::from(offset & 0x0fff);
                    places.extend((0..count).map(|index| tid(&item[start + 6 * index..])));
                } else {
                    places.push(tid(item));
                }
            }
            (previous, block) = (block, next);
        }
        if level == 0 {
            return places;
        }
        let mut chain = Vec::new();
        let mut child = downlinks[0];
        while child != 0 {
            chain.push(child);
            child = u32_at(pages[child as usize].as_deref().unwrap(), 8180);
        }
        assert_eq!(downlinks, chain, "each page below has its downlink");
        first = downlinks[0];
        level -= 1;
    }
}

fn column(kind: KeyKind, is_nullable: bool) -> KeyColumn {
    KeyColumn { kind, is_descending: false, has_nulls_first: false, is_nullable }
}

#[test]
fn every_row_is_found_in_its_order() {
    let layout =
        KeyLayout::new(&[column(KeyKind::Signed(8), true), column(KeyKind::Signed(4), false)])
            .unwrap();
    let entries: Vec<Entry<2>> = (0..200_000_u64)
        .map(|place| {
            let number = i64::try_from(place / 7).unwrap().to_ne_bytes();
            let value = (place < 150_000).then_some(&number[..]);
            layout.pack(&[value, Some(&3_i32.to_ne_bytes())], place * 3 + 1).unwrap()
        })
        .collect();
    for deduplicates in [true, false] {
        for fill_factor in [10, 90, 100] {
            let (pages, root) = build(&layout, Options { fill_factor, deduplicates }, &entries);
            assert!(pages.iter().skip(1).all(Option::is_some));
            let expected: Vec<u64> = entries.iter().map(|entry| entry.place).collect();
            assert_eq!(walk(&pages, root.unwrap()), expected);
        }
    }
}

#[test]
fn every_row_is_found_by_texts_of_any_length() {
    let text = WideColumn {
        kind: WideKind::Text,
        is_descending: true,
        has_nulls_first: true,
        is_nullable: true,
    };
    let layout = WideLayout::new(&[text, text, text]).unwrap();
    let mut keys = WideKeys::default();
    for place in 0..20_000_u64 {
        let length = usize::try_from(place * 7919 % 503).unwrap();
        let long = [&(((length + 4) << 2) as u32).to_le_bytes()[..], &vec![b'l'; length]].concat();
        let value = (place % 5 > 0).then_some(&long[..]);
        keys.push(&layout, &mut ByBytes, &[value, value, value], place * 3 + 1).unwrap();
    }
    keys.sort();
    let mut sorted = Vec::new();
    keys.for_each(|key| sorted.push(key.clone()));
    let expected: Vec<u64> = sorted.iter().map(|key| key.place).collect();
    for deduplicates in [true, false] {
        let (pages, root) = build(&layout, Options { fill_factor: 90, deduplicates }, &sorted);
        assert!(pages.iter().skip(1).all(Option::is_some));
        assert_eq!(walk(&pages, root.unwrap()), expected);
    }
}

#[test]
fn an_index_without_rows_has_no_root() {
    let layout = KeyLayout::new(&[column(KeyKind::Uuid, false)]).unwrap();
    let options = Options { fill_factor: 90, deduplicates: true };
    let (pages, root) = build::<Entry<2>, _>(&layout, options, &[]);
    assert_eq!((pages.len(), root), (0, None));
}

#[test]
fn runs_are_merged_whatever_their_lengths() {
    let layout = KeyLayout::new(&[column(KeyKind::Signed(4), false)]).unwrap();
    let entry = |number: i32, place| -> Entry<1> {
        layout.pack(&[Some(&number.to_ne_bytes())], place).unwrap()
    };
    let runs: [Vec<Entry<1>>; 4] = [
        (0..1000).map(|number| entry(number * 3, 1)).collect(),
        Vec::new(),
        vec![entry(7, 9)],
        (0..500).map(|number| entry(number * 2 - 100, 2)).collect(),
    ];
    let mut rests: Vec<_> = runs.iter().map(|run| run.iter()).collect();
    let mut merged = Vec::new();
    let merge = Merge::new(runs.len(), |run, entry: &mut Entry<1>| match rests[run].next() {
        Some(next) => {
            *entry = *next;
            true
        }
        None => false,
    });
    merge.for_each(|entry| merged.push(*entry));
    let mut expected = runs.concat();
    expected.sort_unstable();
    assert_eq!(merged, expected);
}

//! Every row in exactly one range, as far as it can be told without a server, and the choice of a cut.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const MB: i64 = 1 << 20;
const GB: i64 = 1 << 30;

fn table(rows: i64, main_bytes: i64, total_bytes: i64) -> TableFacts {
    let name = QualifiedName::new("s", "t");
    TableFacts { name, rows, main_bytes, total_bytes, is_heap: true }
}

fn limits(options: serde_json::Value) -> Limits {
    let options = Options::parse(&options).expect("valid options");
    Limits::new(&options, 150_000, &[2 * GB], 2)
}

fn column(name: &str, type_name: &str) -> KeyColumn {
    KeyColumn {
        name: name.to_owned(),
        type_schema: "pg_catalog".to_owned(),
        type_name: type_name.to_owned(),
        collation: None,
        less: "<".to_owned(),
        greater_equal: ">=".to_owned(),
    }
}

fn key(columns: &[KeyColumn], correlation: Option<f32>) -> RangeKey {
    RangeKey { columns: columns.to_vec(), correlation, bounds: None }
}

fn predicates(split: &Split) -> Vec<&str> {
    split.ranges.iter().map(|range| range.predicate.as_deref().unwrap_or("")).collect()
}

/// Numbers that look random and are the same every time.
fn generate(seed: u64) -> impl Iterator<Item = u64> {
    let step = |x: &u64| {
        Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(seed), step).map(|x| x >> 33).skip(1)
}

#[test]
fn small_tables_stay_whole_and_large_ones_are_cut() {
    let limits = limits(json!({}));
    for (rows, total_bytes, expected) in [
        (0, 0, 1),
        (1_000_000, 512 * MB, 1),
        // A quarter of the database is half of what each of two jobs has to copy.
        (1_000_001, 512 * MB, 1),
        (1_000_001, 513 * MB, 3),
        (8_000_000, 2 * GB, 8),
        (1_000, 512 * MB, 1),
        (1_000, 513 * MB, 3),
        (1_000, 2 * GB, 8),
        (1_000_000_000, 1_000_000 * GB, MAX_RANGES),
        (i64::MAX, i64::MAX, MAX_RANGES),
    ] {
        let table = table(rows, total_bytes, total_bytes);
        assert_eq!(count_ranges(&table, &limits), expected, "{rows} {total_bytes}");
    }
}

#[test]
fn tables_stay_whole_where_they_come_out_even() {
    let count = |sizes: &[i64], jobs| {
        let options = Options::parse(&json!({})).expect("valid options");
        let limits = Limits::new(&options, 150_000, sizes, jobs);
        count_ranges(&table(10_000_000, sizes[0], sizes[0]), &limits)
    };
    assert_eq!(count(&[500 * MB, 500 * MB], 2), 1);
    assert_eq!(count(&[500 * MB, 455 * MB], 2), 1);
    assert_eq!(count(&[500 * MB, 400 * MB], 2), 5);
    assert_eq!(count(&[500 * MB, 250 * MB, 250 * MB], 2), 1);
    assert_eq!(count(&[500 * MB, 500 * MB], 3), 7);
    assert_eq!(count(&[500 * MB], 1), 1);
    // What is large is cut in any case: a worker that dies must not lose that much.
    assert_eq!(count(&[4 * GB, 4 * GB], 2), 16);
}

#[test]
fn tables_of_small_databases_are_cut_only_if_their_ranges_are_long_enough() {
    let limits = Limits { database_bytes: 200 * MB, ..limits(json!({})) };
    for (rows, total_bytes, expected) in [
        (1_000, 128 * MB, 1),
        (1_000, 129 * MB, 3),
        (1_000_000, 100 * MB, 1),
        (1_000_001, 100 * MB, 2),
    ] {
        let table = table(rows, total_bytes, total_bytes);
        assert_eq!(count_ranges(&table, &limits), expected, "{rows} {total_bytes}");
    }
}

#[test]
fn more_jobs_get_more_ranges_of_the_same_table() {
    let table = table(10_000_000, GB, GB);
    let threshold = json!({"partition_threshold": 1_000_000});
    let count = |jobs| count_ranges(&table, &Limits { jobs, ..limits(threshold.clone()) });
    assert_eq!(count(1), 4);
    assert_eq!(count(2), 4);
    assert_eq!(count(8), 16);
    assert_eq!(count(64), 16);
}

#[test]
fn the_user_may_say_what_a_long_table_is() {
    let limits = limits(json!({"partition_threshold": 1_000_000}));
    for (rows, expected) in [(1_000_000, 1), (1_000_001, 2), (10_000_000, 2)] {
        assert_eq!(count_ranges(&table(rows, 40 * MB, 40 * MB), &limits), expected, "{rows}");
    }
}

#[test]
fn the_user_may_say_how_many_rows_a_range_has() {
    let limits = limits(json!({"partition_threshold": 100, "chunk_size": 30}));
    assert_eq!(count_ranges(&table(100, MB, MB), &limits), 1);
    assert_eq!(count_ranges(&table(101, MB, MB), &limits), 4);
}

#[test]
fn rows_are_extrapolated_to_the_real_size() {
    assert_eq!(estimate_rows(1_000.0, 10, 10 * PAGE_BYTES), 1_000);
    assert_eq!(estimate_rows(1_000.0, 10, 25 * PAGE_BYTES), 2_500);
    assert_eq!(estimate_rows(-1.0, 0, 10 * GUESSED_ROW_BYTES), 10);
    assert_eq!(estimate_rows(0.0, 0, 0), 0);
    assert_eq!(estimate_rows(f64::MAX, 1, i64::MAX), i64::MAX);
}

#[test]
fn auto_takes_what_costs_the_source_least() {
    let heap = table(1, 1, 1);
    let other = TableFacts { is_heap: false, ..heap.clone() };
    let ordered = key(&[column("id", "int8")], Some(-0.99));
    let scattered = key(&[column("id", "uuid")], Some(0.01));
    let new = limits(json!({}));
    let old = Limits { source_version: 130_000, ..new.clone() };
    let is_whole = |method| matches!(method, Method::Whole { reason: Some(_) });

    assert!(!needs_key(&heap, &new) && needs_key(&heap, &old) && needs_key(&other, &new));
    assert_eq!(choose_method(&heap, None, &new), Method::Ctid);
    assert_eq!(choose_method(&heap, Some(&ordered), &old), Method::Key);
    assert_eq!(choose_method(&other, Some(&ordered), &new), Method::Key);
    assert!(is_whole(choose_method(&heap, Some(&scattered), &old)));
    assert!(is_whole(choose_method(&heap, Some(&key(&[column("id", "int8")], None)), &old)));
    assert!(is_whole(choose_method(&heap, None, &old)));
    assert!(is_whole(choose_method(&other, None, &new)));
}

#[test]
fn what_the_user_asks_for_is_done_where_it_can_be() {
    let heap = table(1, 1, 1);
    let scattered = key(&[column("id", "uuid")], Some(0.01));
    let by = |chunk_by: &str| limits(json!({"chunk_by": chunk_by}));
    let old = |chunk_by: &str| Limits { source_version: 130_000, ..by(chunk_by) };
    let is_whole = |method| matches!(method, Method::Whole { reason: Some(_) });

    assert_eq!(choose_method(&heap, Some(&scattered), &by("pk")), Method::Key);
    assert_eq!(choose_method(&heap, Some(&scattered), &old("pk")), Method::Key);
    assert_eq!(choose_method(&heap, None, &by("pk")), Method::Ctid);
    assert!(is_whole(choose_method(&heap, None, &old("pk"))));
    assert_eq!(choose_method(&heap, None, &by("ctid")), Method::Ctid);
    assert!(is_whole(choose_method(&heap, None, &old("ctid"))));
    assert!(is_whole(choose_method(&heap, Some(&scattered), &by("none"))));
}

#[test]
fn ctid_ranges_share_their_boundaries_and_are_open_at_both_ends() {
    let split = cut_by_ctid(&table(100, 10 * PAGE_BYTES, 1_000), 3);
    assert_eq!(
        predicates(&split),
        [
            "ctid < '(3,0)'::pg_catalog.tid",
            "ctid >= '(3,0)'::pg_catalog.tid and ctid < '(6,0)'::pg_catalog.tid",
            "ctid >= '(6,0)'::pg_catalog.tid",
        ]
    );
    assert_eq!(predicates(&cut_by_ctid(&table(9, 0, 9), 4)), [""]);
    assert_eq!(predicates(&cut_by_ctid(&table(9, PAGE_BYTES, 9), 4)), [""]);
}

#[test]
fn every_page_is_in_exactly_one_ctid_range() {
    for (pages, wanted) in generate(1).zip(generate(2)).take(200) {
        let pages = i64::try_from(pages % 5_000).expect("small");
        let wanted = i64::try_from(wanted % 300).expect("small");
        let split = cut_by_ctid(&table(1, pages * PAGE_BYTES + 17, 1), wanted);
        let mut next_page = 0;
        for (i, predicate) in predicates(&split).iter().enumerate() {
            let numbers: Vec<i64> = predicate
                .split(|c: char| !c.is_ascii_digit())
                .filter(|digits| !digits.is_empty() && *digits != "0")
                .map(|digits| digits.parse().expect("a page"))
                .collect();
            let is_last = i + 1 == split.ranges.len();
            let (lower, upper) = match (i, is_last, numbers.as_slice()) {
                (0, true, []) => (0, pages),
                (0, false, [upper]) => (0, *upper),
                (_, true, [lower]) => (*lower, pages),
                (_, false, [lower, upper]) => (*lower, *upper),
                _ => panic!("{predicate}"),
            };
            assert_eq!(lower, next_page);
            assert!(upper > lower || pages == 0, "{predicate}");
            next_page = upper;
        }
        assert_eq!(next_page, pages);
    }
}

#[test]
fn key_ranges_share_their_boundaries_and_are_open_at_both_ends() {
    let id = key(&[column("I\"d", "int8")], None);
    let boundaries = vec![vec!["-5".to_owned()], vec!["7".to_owned()]];
    assert_eq!(
        predicates(&cut_by_key(&table(9, 9, 9), &id, boundaries)),
        [
            "\"I\"\"d\" < '-5'::\"pg_catalog\".\"int8\"",
            "\"I\"\"d\" >= '-5'::\"pg_catalog\".\"int8\" \
             and \"I\"\"d\" < '7'::\"pg_catalog\".\"int8\"",
            "\"I\"\"d\" >= '7'::\"pg_catalog\".\"int8\"",
        ]
    );
    assert_eq!(predicates(&cut_by_key(&table(9, 9, 9), &id, Vec::new())), [""]);
}

#[test]
fn composite_keys_are_compared_as_rows_with_collations_and_hostile_values() {
    let mut b = column("b", "text");
    b.collation = Some("s.\"C\"".to_owned());
    let key = key(&[column("a", "date"), b], None);
    let boundaries = vec![vec!["0044-03-15 BC".to_owned(), "o'n\\e".to_owned()]];
    assert_eq!(
        predicates(&cut_by_key(&table(9, 9, 9), &key, boundaries))[0],
        "(\"a\", \"b\") < ('0044-03-15 BC'::\"pg_catalog\".\"date\", \
         E'o''n\\\\e'::\"pg_catalog\".\"text\" collate s.\"C\")"
    );
}

#[test]
fn operators_that_are_not_the_systems_are_qualified_and_never_compare_rows() {
    let mut name = column("name", "citext");
    name.type_schema = "ext".to_owned();
    name.less = "operator(ext.<)".to_owned();
    name.greater_equal = "operator(ext.>=)".to_owned();
    let key = key(&[name, column("b", "int4")], None);
    assert_eq!(boundary_columns(&key).len(), 1);
    assert_eq!(
        predicates(&cut_by_key(&table(9, 9, 9), &key, vec![vec!["x".to_owned()]])),
        [
            "\"name\" operator(ext.<) 'x'::\"ext\".\"citext\"",
            "\"name\" operator(ext.>=) 'x'::\"ext\".\"citext\"",
        ]
    );
}

/// Whether `value` meets a predicate on an integer key, evaluated as the source would.
fn meets(predicate: &str, value: i64) -> bool {
    predicate.split(" and ").filter(|condition| !condition.is_empty()).all(|condition| {
        let boundary: i64 = condition.split('\'').nth(1).expect("a literal").parse().expect("int8");
        match condition.contains(">=") {
            true => value >= boundary,
            false => value < boundary,
        }
    })
}

#[test]
fn every_key_is_in_exactly_one_range_whatever_the_boundaries() {
    let id = key(&[column("id", "int8")], None);
    for seed in 0..200 {
        let mut values: Vec<i64> = generate(seed)
            .take(usize::try_from(seed % 12).expect("small"))
            .map(|x| i64::try_from(x % 20).expect("small") - 10)
            .collect();
        if seed % 3 == 0 {
            values.extend([i64::MIN, i64::MAX]);
        }
        values.sort_unstable();
        let boundaries = values.iter().map(|value| vec![value.to_string()]).collect();
        let split = cut_by_key(&table(9, 9, 9), &id, boundaries);
        let distinct: BTreeSet<i64> = values.iter().copied().collect();
        assert_eq!(split.ranges.len(), distinct.len() + 1);
        for probe in (-12..12).chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]) {
            let hits = predicates(&split).iter().filter(|p| meets(p, probe)).count();
            assert_eq!(hits, 1, "{probe} in {values:?}");
        }
    }
}

#[test]
fn rows_and_bytes_are_shared_out_without_a_remainder() {
    for (rows, count) in [(100, 3), (2, 5), (0, 4), (i64::MAX, 7)] {
        let split = cut_by_ctid(&table(rows, 100 * PAGE_BYTES, rows), count);
        assert_eq!(
            split.ranges.iter().map(|range| i128::from(range.rows)).sum::<i128>(),
            rows.into()
        );
        assert_eq!(
            split.ranges.iter().map(|range| i128::from(range.bytes)).sum::<i128>(),
            rows.into()
        );
    }
}

#[test]
fn bounds_are_used_where_there_are_enough_of_them() {
    let bounds: Vec<String> = (0..=100).map(|i| i.to_string()).collect();
    let chosen = choose_bounds(&bounds, 4).expect("enough bounds");
    assert_eq!(chosen, [["25"], ["50"], ["75"]]);
    assert!(choose_bounds(&bounds, 50).is_some_and(|chosen| chosen.len() == 49));
    assert!(choose_bounds(&bounds, 51).is_none());
    assert!(choose_bounds(&[], 2).is_none());
    assert!(choose_bounds(&[], 0).is_none());
}

#[test]
fn conditions_keep_within_their_parentheses() {
    assert_eq!(enclose_condition("b or c -- d"), "(b or c -- d\n)");
    let both = join_conditions(Some("a < 1".to_owned()), Some(enclose_condition("b or c")));
    assert_eq!(both.as_deref(), Some("a < 1 and (b or c\n)"));
    assert_eq!(join_conditions(None, None), None);
}

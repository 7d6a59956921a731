//! Rows out of chunks, and tuples out of rows.

use super::super::conversion::Conversion;
use super::super::deform::Attribute;
use super::super::encoding::Encoding;
use super::super::form::{Column, Receive, Refusal, Storage, Stored, TupleFormer};
use super::super::rows::RowReader;
use super::super::toast::{Toast, ValueId, for_each_chunk, has_external};
use crate::Error;

/// A row on the wire.
fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for field in fields {
        match field {
            None => row.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                row.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                row.extend(*value);
            }
        }
    }
    row
}

fn stream(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    stream.extend(rows.concat());
    stream.extend((-1_i16).to_be_bytes());
    stream
}

/// Reads a stream that arrives in chunks of `size` bytes.
fn read(stream: &[u8], size: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut chunks = stream.chunks(size);
    let mut reader = RowReader::new(|_| Ok(chunks.next().map(<[u8]>::to_vec)));
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row.bytes.to_vec());
    }
    Ok(rows)
}

#[test]
fn rows_are_found_wherever_chunks_end() {
    let long = vec![b'x'; 700];
    let rows = vec![
        row(&[Some(b"one"), None, Some(b"")]),
        row(&[Some(&long), Some(&long), Some(b"3")]),
        row(&[None, None, None]),
        row(&[]),
    ];
    let stream = stream(&rows);
    for size in [1, 2, 3, 5, 17, 64, 700, 701, 100_000] {
        assert_eq!(read(&stream, size).unwrap(), rows, "chunks of {size}");
    }
}

#[test]
fn a_stream_that_is_not_a_copy_is_refused() {
    let good = stream(&[row(&[Some(b"one")])]);
    for end in 0..good.len() {
        assert!(read(&good[..end], 7).is_err(), "cut after {end}");
    }
    let mut late = good.clone();
    late.push(0);
    assert!(read(&late, 7).is_err());
    let mut other = good.clone();
    other[0] = b'p';
    assert!(read(&other, 7).is_err());
    let mut negative = good[..19].to_vec();
    negative.extend([0, 1, 0xff, 0xff, 0xff, 0xfe]);
    assert!(read(&negative, 7).is_err());
    let mut fields = good[..19].to_vec();
    fields.extend([0x80, 0]);
    assert!(read(&fields, 7).is_err());
}

/// Stands for receive functions: keeps what it was asked, answers with a fixed value.
struct Recorder {
    asked: Vec<(usize, Option<Vec<u8>>)>,
    answer: Vec<u8>,
}

impl Receive for Recorder {
    fn receive(&mut self, index: usize, value: Option<&[u8]>) -> Stored<'_> {
        self.asked.push((index, value.map(<[u8]>::to_vec)));
        value.map(|_| self.answer.as_slice())
    }
}

fn column(length: i16, alignment: usize, field: usize, conversion: Conversion) -> Column {
    Column {
        attribute: Attribute { length, alignment },
        field: Some(field),
        conversion,
        is_not_null: false,
        storage: Storage::Main,
        is_pglz: false,
    }
}

fn recorder(answer: &[u8]) -> Recorder {
    Recorder { asked: Vec::new(), answer: answer.to_vec() }
}

/// Forms the tuple of a row on the wire.
fn form(
    former: &mut TupleFormer,
    wire: &[u8],
    receive: &mut Recorder,
    tuples: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let mut stream = Some(stream(&[wire.to_vec()]));
    let mut reader = RowReader::new(|_| Ok(stream.take()));
    former.form(reader.next_row().unwrap().unwrap(), receive, None, tuples)
}

const TEXT: Conversion = Conversion::Text { encoding: Encoding::Utf8, most_characters: None };
const TIMESTAMP: Conversion = Conversion::Timestamp { unit_us: 1 };

#[test]
fn tuples_are_laid_out_as_the_server_does() {
    let columns = vec![
        column(2, 2, 1, Conversion::Number),
        column(-1, 4, 0, TEXT),
        column(8, 8, 2, TIMESTAMP),
        column(1, 1, 3, Conversion::Bool),
        column(-1, 4, 4, Conversion::Bytea),
    ];
    let mut former = TupleFormer::new(columns, 2032);
    let long = [b'y'; 127];
    let wire = row(&[
        Some(b"abc"),
        Some(&258_i16.to_be_bytes()),
        Some(&77_i64.to_be_bytes()),
        Some(&[1]),
        Some(&long),
    ]);
    let mut tuples = Vec::new();
    let length = form(&mut former, &wire, &mut recorder(&[]), &mut tuples).unwrap();
    let mut expected = vec![0; 24];
    expected[18..20].copy_from_slice(&5_u16.to_ne_bytes());
    expected[20..22].copy_from_slice(&2_u16.to_ne_bytes());
    expected[22] = 24;
    expected.extend(258_i16.to_ne_bytes());
    expected.extend([4 << 1 | 1, b'a', b'b', b'c', 0, 0]);
    expected.extend(77_i64.to_ne_bytes());
    expected.extend([1, 0, 0, 0]);
    expected.extend(((127_u32 + 4) << 2).to_le_bytes());
    expected.extend(long);
    assert_eq!(tuples[..length], expected);
    assert_eq!(tuples.len(), length.next_multiple_of(8));

    // The next one comes behind it; NULLs take a bit and no room.
    let wire = row(&[None, Some(&1_i16.to_be_bytes()), None, Some(&[0]), None]);
    let start = tuples.len();
    let length = form(&mut former, &wire, &mut recorder(&[]), &mut tuples).unwrap();
    let mut expected = vec![0; 24];
    expected[18..20].copy_from_slice(&5_u16.to_ne_bytes());
    expected[20..22].copy_from_slice(&1_u16.to_ne_bytes());
    expected[22] = 24;
    expected[23] = 0b0000_1001;
    expected.extend(1_i16.to_ne_bytes());
    expected.push(0);
    assert_eq!(tuples[start..start + length], expected);
}

#[test]
fn columns_of_fixed_length_lie_where_they_would_behind_others() {
    let kinds = [
        (2, 2, Conversion::Number),
        (8, 8, TIMESTAMP),
        (1, 1, Conversion::Bool),
        (16, 1, Conversion::Uuid),
        (4, 4, Conversion::Date),
        (1, 1, Conversion::Number),
        (-1, 4, Conversion::Bytea),
        (8, 8, Conversion::Number),
    ];
    let columns: Vec<Column> = (0..)
        .zip(kinds)
        .map(|(field, (length, alignment, conversion))| {
            column(length, alignment, field, conversion)
        })
        .collect();
    let values: Vec<Vec<u8>> = columns
        .iter()
        .map(|column| match column.attribute.length {
            1 => vec![1],
            -1 => b"bytes".to_vec(),
            length => (1..=u8::try_from(length).unwrap()).collect(),
        })
        .collect();
    // Every choice of NULLs, the first ones of which end what has a place of its own.
    for nulls in 0..1_u32 << columns.len() {
        let is_null = |index: usize| nulls >> index & 1 == 1;
        let mut expected = vec![0; 24];
        expected[18..20].copy_from_slice(&8_u16.to_ne_bytes());
        expected[20] = u8::from(nulls > 0) | u8::from(!is_null(6)) << 1;
        expected[22] = 24;
        expected[23] = if nulls > 0 { !(nulls as u8) } else { 0 };
        for (index, (column, value)) in columns.iter().zip(&values).enumerate() {
            if is_null(index) {
                continue;
            }
            if column.attribute.length == -1 {
                expected.push((value.len() as u8 + 1) << 1 | 1);
                expected.extend(value);
                continue;
            }
            expected.resize(expected.len().next_multiple_of(column.attribute.alignment), 0);
            match column.attribute.length {
                16 => expected.extend(value),
                _ => expected.extend(value.iter().rev()),
            }
        }
        let fields = values.iter().enumerate();
        let fields: Vec<_> =
            fields.map(|(index, value)| (!is_null(index)).then_some(value.as_slice())).collect();
        let mut former = TupleFormer::new(columns.clone(), 2032);
        let mut tuples = vec![0xff; 16];
        let length = form(&mut former, &row(&fields), &mut recorder(&[]), &mut tuples).unwrap();
        assert_eq!(tuples[16..16 + length], expected, "{nulls:b}");
        assert!(tuples[16 + length..].iter().all(|byte| *byte == 0));
        assert_eq!(tuples.len() % 8, 0);
    }
}

#[test]
fn doubtful_values_go_to_the_receive_function() {
    let doubtful: [(i16, Conversion, &[u8]); 12] = [
        (4, Conversion::Number, &[0, 0, 1]),
        (1, Conversion::Bool, &[2]),
        (4, Conversion::Date, &[0x80, 0, 0, 1]),
        (8, TIMESTAMP, &[0x80, 0, 0, 0, 0, 0, 0, 1]),
        (8, Conversion::Time { unit_us: 1 }, &[0xff; 8]),
        (-1, TEXT, b"a\0b"),
        (-1, TEXT, b"\xff"),
        (-1, TEXT, b"\xed\xa0\x80"),
        (-1, Conversion::Text { encoding: Encoding::Utf8, most_characters: Some(3) }, b"abcd"),
        (-1, Conversion::PaddedText { encoding: Encoding::Utf8, characters: 3 }, b"ab"),
        (-1, Conversion::PaddedText { encoding: Encoding::Utf8, characters: 3 }, "aä".as_bytes()),
        (16, Conversion::Uuid, &[0; 15]),
    ];
    for (length, conversion, value) in doubtful {
        let mut former = TupleFormer::new(vec![column(length, 4, 0, conversion)], 2032);
        let mut receive = recorder(&[0; 16]);
        form(&mut former, &row(&[Some(value)]), &mut receive, &mut Vec::new()).unwrap();
        assert_eq!(receive.asked, [(0, Some(value.to_vec()))], "{conversion:?}");
    }
    // Nobody doubts NULL, except for types that may forbid it.
    for (conversion, asked) in [(TEXT, 0), (Conversion::Receive, 1)] {
        let mut former = TupleFormer::new(vec![column(-1, 4, 0, conversion)], 2032);
        let mut receive = recorder(&[]);
        form(&mut former, &row(&[None]), &mut receive, &mut Vec::new()).unwrap();
        assert_eq!(receive.asked.len(), asked);
    }
}

#[test]
fn received_values_get_short_headers_where_the_storage_allows() {
    for (storage, expected) in [
        (Storage::External, vec![4 << 1 | 1, 1, 2, 3]),
        (Storage::Plain, vec![28, 0, 0, 0, 1, 2, 3]),
    ] {
        let definition = Column { storage, ..column(-1, 4, 0, Conversion::Receive) };
        let mut former = TupleFormer::new(vec![definition], 2032);
        let mut tuples = Vec::new();
        let mut receive = recorder(&[28, 0, 0, 0, 1, 2, 3]);
        let length = form(&mut former, &row(&[Some(b"x")]), &mut receive, &mut tuples).unwrap();
        assert_eq!(tuples[24..length], expected);
    }
}

#[test]
fn dropped_columns_are_null_and_missing_values_refused() {
    let dropped = Column { field: None, ..column(4, 4, 0, Conversion::Number) };
    let kept = Column { is_not_null: true, ..column(4, 4, 0, Conversion::Number) };
    let mut former = TupleFormer::new(vec![dropped, kept], 2032);
    let mut tuples = Vec::new();
    let value = 7_i32.to_be_bytes();
    let length = form(&mut former, &row(&[Some(&value)]), &mut recorder(&[]), &mut tuples).unwrap();
    assert_eq!(tuples[23], 0b10);
    assert_eq!(tuples[24..length], 7_i32.to_ne_bytes());
    let mut refuse =
        |wire: &[u8]| form(&mut former, wire, &mut recorder(&[]), &mut Vec::new()).unwrap_err();
    assert_eq!(refuse(&row(&[None])), Refusal::Null(1));
    assert_eq!(refuse(&row(&[])), Refusal::Malformed);
    assert_eq!(refuse(&row(&[Some(&value), Some(&value)])), Refusal::Malformed);
}

#[test]
fn long_rows_are_compressed_until_they_fit() {
    let definition =
        |field| Column { storage: Storage::Extended, is_pglz: true, ..column(-1, 4, field, TEXT) };
    let mut former = TupleFormer::new(vec![definition(0), definition(1)], 2032);
    let (long, short) = (b"repeat ".repeat(400), b"repeat ".repeat(100));
    let mut tuples = Vec::new();
    let wire = row(&[Some(&short), Some(&long)]);
    let length = form(&mut former, &wire, &mut recorder(&[]), &mut tuples).unwrap();
    assert!(length < 2032);
    // The shorter one is left as it is.
    assert_eq!(tuples[24..28], ((700_u32 + 4) << 2).to_le_bytes());
    assert_eq!(tuples[28..728], short);
    assert_eq!(tuples[728] & 3, 2);
    assert_eq!(tuples[732..736], 2800_u32.to_le_bytes());
    // A row that fits is not touched at all.
    let mut tuples = Vec::new();
    let wire = row(&[Some(&short), Some(&short)]);
    assert_eq!(form(&mut former, &wire, &mut recorder(&[]), &mut tuples).unwrap(), 24 + 704 + 704);
}

/// Values that were moved out of line.
#[derive(Default)]
struct Elsewhere(Vec<Vec<u8>>);

impl Toast for Elsewhere {
    fn store(&mut self, value: &[u8]) -> ValueId {
        self.0.push(value.to_vec());
        ValueId { value: 1000 + self.0.len() as u32, relation: 7777 }
    }
}

/// Forms the tuple of a row of texts, whose long values go elsewhere.
fn form_toasted(columns: Vec<Column>, texts: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let values: Vec<_> = texts.iter().map(|text| Some(*text)).collect();
    let (mut elsewhere, mut tuples) = (Elsewhere::default(), Vec::new());
    let mut stream = Some(stream(&[row(&values)]));
    let mut reader = RowReader::new(|_| Ok(stream.take()));
    let mut former = TupleFormer::new(columns, 2032);
    let row = reader.next_row().unwrap().unwrap();
    let length = former.form(row, &mut recorder(&[]), Some(&mut elsewhere), &mut tuples).unwrap();
    tuples.truncate(length);
    (tuples, elsewhere.0)
}

/// Text that cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 12_345_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + (state >> 24) as u8 % 95
    };
    (0..bytes).map(|_| next()).collect()
}

/// What stays behind of a value.
fn pointer(raw: u32, extent: u32, value: u32) -> Vec<u8> {
    let words = [raw, extent, value, 7777].map(u32::to_le_bytes).concat();
    [&[1, 18][..], &words].concat()
}

#[test]
fn long_values_are_moved_out_of_line_where_compression_does_not_help() {
    let stored = |storage, field| Column { storage, is_pglz: true, ..column(-1, 4, field, TEXT) };
    let columns = |storage| vec![stored(storage, 0), stored(Storage::Extended, 1)];
    let (long, short) = (noise(3000), noise(100));
    // Moved at once, since it is longer than a row may be.
    let (tuple, moved) = form_toasted(columns(Storage::Extended), &[&short, &long]);
    assert!(has_external(&tuple));
    assert_eq!(moved, [&long[..]]);
    assert_eq!(tuple[24..125], [&[101 << 1 | 1][..], &short].concat());
    assert_eq!(tuple[125..], pointer(3004, 3000, 1001));
    // Values that fit each, but not together: the longest one goes.
    let halves = [noise(1200), noise(1300)];
    let (tuple, moved) = form_toasted(columns(Storage::External), &[&halves[0], &halves[1]]);
    assert_eq!(moved, [&halves[1][..]]);
    assert_eq!(tuple[24 + 1204..], pointer(1304, 1300, 1001));
    // Compressed first, and moved as it is then.
    let text = [b"repeat ".repeat(400), noise(2500)].concat();
    let (tuple, moved) = form_toasted(columns(Storage::External), &[&short, &text]);
    assert!(moved[0].len() < text.len());
    assert_eq!(moved[0][..4], 5300_u32.to_le_bytes());
    assert_eq!(tuple[125..], pointer(5304, moved[0].len() as u32, 1001));
    // Not by us: the server compresses such columns in another way, or keeps them as long as it can.
    let unknown = Column { is_pglz: false, ..stored(Storage::Extended, 0) };
    for other in [unknown, stored(Storage::Main, 0)] {
        let columns = vec![other, stored(Storage::Extended, 1)];
        let (tuple, moved) = form_toasted(columns, &[&long, &long]);
        assert!(moved.is_empty() && !has_external(&tuple));
        assert_eq!(tuple.len(), 24 + 2 * 3004);
    }
    // There is no other way for these, and they are too long for any.
    let columns = vec![stored(Storage::Plain, 0), stored(Storage::External, 1)];
    let (tuple, moved) = form_toasted(columns, &[&long, &long]);
    assert_eq!((tuple.len(), moved.len()), (24 + 3004 + 18, 1));
}

#[test]
fn chunks_are_tuples_of_a_number_a_place_and_a_part() {
    let mut chunks = Vec::new();
    for_each_chunk(5, &noise(4000), |number, tuple| chunks.push((number, tuple.to_vec())));
    let lengths: Vec<_> = chunks.iter().map(|(number, tuple)| (*number, tuple.len())).collect();
    assert_eq!(lengths, [(0, 2032), (1, 2032), (2, 36 + 8)]);
    let last = &chunks[2].1;
    assert_eq!((last[18], last[20], last[22]), (3, 2, 24));
    assert_eq!(last[24..36], [5, 0, 0, 0, 2, 0, 0, 0, (8 + 4) << 2, 0, 0, 0]);
    assert_eq!(last[36..], noise(4000)[3992..]);
}

//! Values of the types for dates and times, and which of them the receive functions leave as they are.
//!
//! Limits: `datatype/timestamp.h`. Rounding: `AdjustTimeForTypmod`, `AdjustTimestampForTypmod`.

/// Dates and timestamps beyond these the receive functions refuse, except for the infinities.
const FIRST_DATE: i32 = -2_451_545;
const END_DATE: i32 = 2_147_483_494 - 2_451_545;
const FIRST_TIMESTAMP: i64 = -211_813_488_000_000_000;
const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// Seconds between a zone and Greenwich that are too many, either way: `TZDISP_LIMIT`.
const END_ZONE: i32 = 16 * 3600;

/// The most decimal digits of a second.
const MOST_PRECISION: i32 = 6;

/// Microseconds to whose multiples a column of this modifier rounds; None for one that no type has.
pub(super) fn unit_us(modifier: i32) -> Option<i64> {
    match modifier {
        ..0 => Some(1),
        0..=MOST_PRECISION => Some(10_i64.pow(MOST_PRECISION.abs_diff(modifier))),
        _ => None,
    }
}

/// Whether a date on the wire is one.
pub(super) fn is_date(wire: &[u8]) -> bool {
    <[u8; 4]>::try_from(wire).is_ok_and(|bytes| {
        let date = i32::from_be_bytes(bytes);
        (FIRST_DATE..END_DATE).contains(&date) || matches!(date, i32::MIN | i32::MAX)
    })
}

/// Whether a time on the wire is one, and a multiple of the unit.
pub(super) fn is_time(wire: &[u8], unit_us: i64) -> bool {
    <[u8; 8]>::try_from(wire).is_ok_and(|bytes| {
        let time = i64::from_be_bytes(bytes);
        (0..=MICROSECONDS_PER_DAY).contains(&time) && is_multiple(time, unit_us)
    })
}

/// Whether a timestamp on the wire is one, and a multiple of the unit or infinite.
pub(super) fn is_timestamp(wire: &[u8], unit_us: i64) -> bool {
    <[u8; 8]>::try_from(wire).is_ok_and(|bytes| {
        let moment = i64::from_be_bytes(bytes);
        (FIRST_TIMESTAMP..END_TIMESTAMP).contains(&moment) && is_multiple(moment, unit_us)
            || matches!(moment, i64::MIN | i64::MAX)
    })
}

/// Appends a time with its zone as it is stored; false unless it is beyond doubt.
pub(super) fn push_time_with_zone(wire: &[u8], unit_us: i64, out: &mut Vec<u8>) -> bool {
    let Some((time, Ok(zone))) = wire.split_at_checked(8).map(|(a, b)| (a, <[u8; 4]>::try_from(b)))
    else {
        return false;
    };
    let is_zone = i32::from_be_bytes(zone).unsigned_abs() < END_ZONE.unsigned_abs();
    if !is_zone || !is_time(time, unit_us) {
        return false;
    }
    push_words(wire, &[8, 4], out)
}

/// Appends numbers that travel with the highest byte first, of these numbers of bytes; false unless
/// that is all there is.
pub(super) fn push_words(wire: &[u8], sizes: &[usize], out: &mut Vec<u8>) -> bool {
    if wire.len() != sizes.iter().sum::<usize>() {
        return false;
    }
    let mut rest = wire;
    for size in sizes {
        let (word, behind) = rest.split_at(*size);
        out.extend(word.iter().rev());
        rest = behind;
    }
    true
}

fn is_multiple(microseconds: i64, unit_us: i64) -> bool {
    unit_us == 1 || microseconds % unit_us == 0
}

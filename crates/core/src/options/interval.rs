//! Spans of time as options write them: `5s`, `1 hour 30 minutes`.
//!
//! Whole seconds only; no months or years, whose length depends on the date.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The names of each unit and its length in seconds.
const UNITS: &[(&[&str], u64)] = &[
    (&["w", "week", "weeks"], 604_800),
    (&["d", "day", "days"], 86_400),
    (&["h", "hr", "hour", "hours"], 3_600),
    (&["min", "mins", "minute", "minutes"], 60),
    (&["s", "sec", "secs", "second", "seconds"], 1),
];

/// Reads numbers with units, such as `90s` or `1 day 12 hours`; None if it is anything else.
///
/// A number without a unit stands alone and counts `unit_s` seconds each.
pub(super) fn parse(text: &str, unit_s: u64) -> Option<u64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u64>() {
        return number.checked_mul(unit_s);
    }
    let mut total_s: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = rest[..letters].to_ascii_lowercase();
        let (_, length_s) = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
        total_s = total_s.checked_add(number.checked_mul(*length_s)?)?;
        rest = rest[letters..].trim_start();
    }
    (!text.is_empty()).then_some(total_s)
}

/// Writes a span in the largest unit that divides it; weeks are days.
pub(super) fn format(seconds: u64) -> String {
    let unit = [("d", 86_400), ("h", 3_600), ("min", 60)]
        .into_iter()
        .find(|(_, length_s)| seconds > 0 && seconds % length_s == 0);
    match unit {
        Some((name, length_s)) => format!("{}{name}", seconds / length_s),
        None => format!("{seconds}s"),
    }
}

/// Writes a span in its canonical form.
pub(super) fn serialize<S: Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
    format(span.as_secs()).serialize(out)
}

/// Reads a span from its canonical form.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    let seconds = parse(&text, 1).ok_or_else(|| de::Error::custom("not a span of time"))?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_and_without_units() {
        assert_eq!(parse("5", 1), Some(5));
        assert_eq!(parse("30", 86_400), Some(2_592_000));
        assert_eq!(parse(" 5 S ", 1), Some(5));
        assert_eq!(parse("1 hour 30 minutes", 1), Some(5_400));
        assert_eq!(parse("1h30min", 1), Some(5_400));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", " ", "s", "5 fortnights", "-5s", "1.5h", "5s 6", "1 month", "5 s,", "é"] {
            assert_eq!(parse(text, 1), None, "{text:?}");
        }
        assert_eq!(parse("18446744073709551615d", 1), None);
        assert_eq!(parse("18446744073709551615s 1s", 1), None);
        assert_eq!(parse("99999999999999999999", 1), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 59, 60, 61, 3_600, 86_400, 604_800, 2_592_000, 90_061] {
            assert_eq!(parse(&format(seconds), 7), Some(seconds));
        }
        assert_eq!(format(2_592_000), "30d");
        assert_eq!(format(0), "0s");
    }
}

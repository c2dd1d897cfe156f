//! Durations as Go writes and reads them: `8760h0m0s`, `1m30s`, `500ms`.

use std::time::Duration;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `1h30m`, `1.5s` or `0`. The error says what a duration looks like; a negative one is refused.
pub fn parse(text: &str) -> Result<Duration, String> {
    parts(text).ok_or_else(|| "not a duration; write it as in `1h30m`, `90s` or `500ms`".to_owned())
}

fn parts(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (name, tail) = tail.split_at(unit);
        let (_, scale) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        nanos = nanos.checked_add(scaled(digits, *scale)?)?;
        rest = tail;
    }
    // Go's durations are signed 64 bit
    let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos <= i64::MAX as u64 && !text.is_empty())?;
    Some(Duration::from_nanos(nanos))
}

/// `digits` times `scale`, with at most one decimal point.
fn scaled(digits: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        nanos = nanos.checked_add(u128::from(digit.to_digit(10)?) * place)?;
    }
    Some(nanos)
}

/// Writes a duration as Go does: hours, minutes and seconds from one second on, else the largest unit that fits.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let below = |unit: u128, name: &str| format!("{}{name}", decimal(nanos, unit));
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => below(1, "ns"),
        1_000..1_000_000 => below(1_000, "µs"),
        1_000_000..1_000_000_000 => below(1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `nanos` in units, without trailing zeros.
fn decimal(nanos: u128, unit: u128) -> String {
    let (whole, mut rest) = (nanos / unit, nanos % unit);
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
        let mut place = unit;
        while rest > 0 {
            place /= 10;
            text.push_str(&(rest / place).to_string());
            rest %= place;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_forms_are_read() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("24h", 86_400_000_000_000),
            ("8760h0m0s", 31_536_000_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1h1ms", 3_600_001_000_000),
            ("+10µs", 10_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "10", "-1h", "ten years", "1y", "h", "1.2.3s", ".s", "1 h", "9999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_050_000_000, "1.05s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (31_536_000_000_000_000, "8760h0m0s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
    }
}

//! Quantities in the one form that the API writes: as `1Gi` for `1024Mi`, `1500m` for `1.5`.

/// Billionths in one: the finest that there is.
const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Each a thousand times the one before.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// How a quantity was written, and how it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Binary,
    Decimal,
    Exponent,
}

/// `None` when it is no quantity, or one beyond what fits.
pub fn canonical(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (form, multiplier, divisor) = read_suffix(suffix)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = divisor.checked_mul(10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let nano = divide_up(digits.checked_mul(multiplier)?, divisor);
    // small ones are written without a suffix that would have to be rounded
    let written =
        if form == Form::Binary && nano >= 1024 * NANO { binary(divide_up(nano, NANO)) } else { decimal(nano, form) };
    Some(if nano == 0 { "0".to_owned() } else { format!("{sign}{written}") })
}

/// The form, and the billionths that one of it stands for as a fraction.
fn read_suffix(suffix: &str) -> Option<(Form, i128, i128)> {
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        return Some((Form::Binary, NANO << (10 * (power + 1)), 1));
    }
    if let Some(power) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((Form::Decimal, 1000i128.pow(u32::try_from(power).ok()?), 1));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    match exponent {
        0..=18 => Some((Form::Exponent, NANO * 10i128.pow(exponent.unsigned_abs()), 1)),
        -18..=-1 => Some((Form::Exponent, NANO, 10i128.pow(exponent.unsigned_abs()))),
        _ => None,
    }
}

fn binary(mut value: i128) -> String {
    let mut suffix = 0;
    while value % 1024 == 0 && suffix + 1 < BINARY.len() {
        value /= 1024;
        suffix += 1;
    }
    format!("{value}{}", BINARY[suffix])
}

fn decimal(mut value: i128, form: Form) -> String {
    let mut suffix = 0;
    while value != 0 && value % 1000 == 0 && suffix + 1 < DECIMAL.len() {
        value /= 1000;
        suffix += 1;
    }
    match (form, 3 * suffix as i32 - 9) {
        (Form::Exponent, 0) => value.to_string(),
        (Form::Exponent, exponent) => format!("{value}e{exponent}"),
        _ => format!("{value}{}", DECIMAL[suffix]),
    }
}

fn divide_up(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_suffix_without_a_fraction_is_written() {
        for (text, expected) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("0.5Ki", "512"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1.5", "1500m"),
            ("0.1", "100m"),
            ("250m", "250m"),
            ("2000m", "2"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("100e4", "1e6"),
            ("-2048Ki", "-2Mi"),
            ("1n", "1n"),
            ("0.0000000001", "1n"),
            ("2E", "2E"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", ".", "Mi", "1.2.3", "1 Gi", "1e99", "five"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}

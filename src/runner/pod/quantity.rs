//! PURE: Kubernetes quantities (`250m`, `1.5Gi`, `2e3`) as whole numbers.
//!
//! Exact: a quantity is held in billionths, the finest unit the API knows, and rounded up when it is read as
//! something coarser.

/// Billionths in one.
const NANO: i128 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity {
    nano: i128,
}

impl Quantity {
    /// `None` when it is no quantity, or one beyond what fits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let nano = digits.checked_mul(multiplier(suffix)?)?;
        let divisor = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Quantity { nano: sign * divide_up(nano, divisor) })
    }

    /// Whole units: bytes, CPUs.
    pub(crate) fn value(self) -> i64 {
        self.in_units_of(NANO)
    }

    /// Thousandths: `100m` of CPU is 100.
    pub(crate) fn milli(self) -> i64 {
        self.in_units_of(NANO / 1000)
    }

    /// How many of `divisor` it holds, rounded up; a zero divisor counts as one [1.55].
    pub(crate) fn divided_by(self, divisor: Quantity) -> i64 {
        self.in_units_of(if divisor.nano == 0 { NANO } else { divisor.nano })
    }

    fn in_units_of(self, unit: i128) -> i64 {
        i64::try_from(divide_up(self.nano, unit)).unwrap_or(i64::MAX)
    }
}

fn divide_up(dividend: i128, divisor: i128) -> i128 {
    dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0)
}

/// Billionths that one of the suffix stands for.
fn multiplier(suffix: &str) -> Option<i128> {
    Some(match suffix {
        "n" => 1,
        "u" => 1000,
        "m" => NANO / 1000,
        "" => NANO,
        "k" => NANO * 1000,
        "M" => NANO * 1000i128.pow(2),
        "G" => NANO * 1000i128.pow(3),
        "T" => NANO * 1000i128.pow(4),
        "P" => NANO * 1000i128.pow(5),
        "E" => NANO * 1000i128.pow(6),
        "Ki" => NANO << 10,
        "Mi" => NANO << 20,
        "Gi" => NANO << 30,
        "Ti" => NANO << 40,
        "Pi" => NANO << 50,
        "Ei" => NANO << 60,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            match exponent {
                0..=18 => NANO * 10i128.pow(exponent.unsigned_abs()),
                -9..=-1 => NANO / 10i128.pow(exponent.unsigned_abs()),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_the_api_reads_them() {
        for (text, value, milli) in [
            ("1", 1, 1000),
            ("250m", 1, 250),
            ("0.1", 1, 100),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("100Mi", 104_857_600, 104_857_600_000),
            ("2e3", 2000, 2_000_000),
            ("1E", 1_000_000_000_000_000_000, i64::MAX),
            ("1n", 1, 1),
            ("0", 0, 0),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("-1", -1, -1000),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!((quantity.value(), quantity.milli()), (value, milli), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "m", "1.2.3", "1x", "1 Gi", "e3", "0x10", "1e99", "99999999999999999999999999999999Ei"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_divisor_rounds_up() {
        let memory = Quantity::parse("100Mi").unwrap();
        assert_eq!(memory.divided_by(Quantity::parse("1Mi").unwrap()), 100);
        assert_eq!(memory.divided_by(Quantity::parse("1Gi").unwrap()), 1);
        assert_eq!(memory.divided_by(Quantity::parse("0").unwrap()), 104_857_600);
    }
}

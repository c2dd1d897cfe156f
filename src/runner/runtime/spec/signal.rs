//! The signal that asks a container to stop. PURE.

use std::str::FromStr;

use nix::sys::signal::Signal;

/// The first real-time signal that programs may use.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of an image's stop signal: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; SIGTERM when it names none that exists.
pub fn stop_signal(named: Option<&str>) -> i32 {
    named.and_then(number).unwrap_or(Signal::SIGTERM as i32)
}

fn number(name: &str) -> Option<i32> {
    let name = name.trim().to_ascii_uppercase();
    if let Ok(number) = name.parse::<i32>() {
        return Some(number).filter(|number| (1..=RTMAX).contains(number));
    }
    let bare = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix: &str, base: i32| {
        let offset = bare.strip_prefix(prefix)?;
        let number = if offset.is_empty() { base } else { base + offset.parse::<i32>().ok()? };
        Some(number).filter(|number| (RTMIN..=RTMAX).contains(number))
    };
    Signal::from_str(&format!("SIG{bare}"))
        .map(|signal| signal as i32)
        .ok()
        .or_else(|| real_time("RTMIN", RTMIN))
        .or_else(|| real_time("RTMAX", RTMAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let cases = [
            (None, 15),
            (Some("SIGQUIT"), 3),
            (Some("quit"), 3),
            (Some("9"), 9),
            (Some("SIGRTMIN+3"), 37),
            (Some("RTMAX-1"), 63),
            (Some("SIGRTMIN+99"), 15),
            (Some("0"), 15),
            (Some("nonsense"), 15),
        ];
        for (name, expected) in cases {
            assert_eq!(stop_signal(name), expected, "{name:?}");
        }
    }
}

//! PURE: how long ago something was, for people.

use jiff::SignedDuration;

/// As kubectl tells ages: two units at most.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{minutes}m{}s", seconds % 60),
        7200..172_800 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        for (seconds, text) in [(-5, "0s"), (0, "0s"), (119, "119s"), (130, "2m10s"), (7300, "2h1m"), (200_000, "2d7h")]
        {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }
}

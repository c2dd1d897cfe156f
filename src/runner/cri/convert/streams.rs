//! PURE: the streams and ports that a client asks for.

use crate::runner::runtime::StreamOptions;

/// `Err` where there is none, or errors beside a terminal, which has one output.
pub fn options(stdin: bool, stdout: bool, stderr: bool, tty: bool) -> Result<StreamOptions, &'static str> {
    if tty && stderr {
        Err("`stderr`: a terminal has one output; `tty` and `stderr` cannot both be true")
    } else if !stdin && !stdout && !stderr {
        Err("`stdout`: one of `stdin`, `stdout` and `stderr` has to be true")
    } else {
        Ok(StreamOptions { stdin, stdout, stderr, tty })
    }
}

/// Numbers of ports; none is no mistake, since a client names them again as it connects.
pub fn ports(asked: &[i32]) -> Result<Vec<u16>, String> {
    let port = |port: &i32| {
        let number = u16::try_from(*port).ok().filter(|port| *port > 0);
        number.ok_or_else(|| format!("`port`: {port} is not between 1 and 65535"))
    };
    asked.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_wants_some_stream() {
        let streams = |stdin, stdout, stderr, tty| Ok(StreamOptions { stdin, stdout, stderr, tty });
        assert_eq!(options(true, true, true, false), streams(true, true, true, false));
        assert_eq!(options(false, true, false, true), streams(false, true, false, true));
        assert!(options(true, true, true, true).is_err() && options(false, false, false, true).is_err());
    }

    #[test]
    fn ports_are_numbers_of_16_bits() {
        assert_eq!((ports(&[]), ports(&[80, 65535])), (Ok(vec![]), Ok(vec![80, 65535])));
        for wrong in [0, -1, 65536] {
            assert!(ports(&[80, wrong]).is_err_and(|error| error.contains(&wrong.to_string())), "{wrong}");
        }
    }
}

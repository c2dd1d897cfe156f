//! Where the API server is reached: `localAPIEndpoint` and `controlPlaneEndpoint` [4.5, 4.6].

use std::net::IpAddr;

use super::Resolver;
use crate::config::file::v1beta4;
use crate::config::{ApiEndpoint, HostPort, name};
use crate::layout::port;

const ADDRESS: &str = "localAPIEndpoint.advertiseAddress";

impl Resolver<'_> {
    pub(super) fn local_api_endpoint(&mut self, written: &v1beta4::ApiEndpoint) -> Option<ApiEndpoint> {
        let v1beta4::ApiEndpoint { advertise_address, bind_port } = written;
        let bind_port = match bind_port {
            // a number that stands for none, as it does for Go
            None | Some(0) => Some(port::API_SERVER),
            Some(number) => {
                let valid = u16::try_from(*number).ok();
                if valid.is_none() {
                    let message =
                        format!("Invalid value: {number}: port number is not valid, it is between 1 and 65535");
                    self.problems.add("localAPIEndpoint.bindPort", message);
                }
                valid
            }
        };
        let advertise_address = self.advertise_address(advertise_address);
        Some(ApiEndpoint { advertise_address: advertise_address?, bind_port: bind_port? })
    }

    fn advertise_address(&mut self, text: &str) -> Option<IpAddr> {
        let written = if text.is_empty() { None } else { Some(name::parse_ip(text)) };
        let (address, reason) = match written {
            Some(None) => (None, "must be an IPv4 or IPv6 address"),
            Some(Some(address)) if address.is_loopback() => (
                self.facts.loopback_address,
                "a loopback address asks for a global unicast address on the loopback interface, and there is none",
            ),
            Some(Some(address)) if !address.is_unspecified() => (Some(address), ""),
            _ => (self.facts.default_address, "there is no default route to take the address of; name one"),
        };
        let Some(address) = address else {
            self.problems.invalid(ADDRESS, text, reason);
            return None;
        };
        if !is_global_unicast(address) {
            self.problems.invalid(ADDRESS, &address.to_string(), "must be a global unicast address");
            return None;
        }
        Some(address)
    }

    /// The port is the local one where none is written. `None` also when the field is unset.
    pub(super) fn control_plane_endpoint(&mut self, text: &str, local: Option<ApiEndpoint>) -> Option<HostPort> {
        if text.is_empty() {
            return None;
        }
        match host_port(text, local.map_or(port::API_SERVER, |local| local.bind_port)) {
            Ok(endpoint) => Some(endpoint),
            Err(reason) => {
                self.problems.invalid("controlPlaneEndpoint", text, reason);
                None
            }
        }
    }
}

/// `host`, `host:port`, `[v6]:port` or a bare IPv6 address; `host:` is a host without a port.
fn host_port(text: &str, default: u16) -> Result<HostPort, String> {
    let (host, port) = split(text).unwrap_or((text, ""));
    let port = match port {
        "" => default,
        port => match name::decimal(port) {
            Some(number @ 1..) => number,
            _ => return Err(format!("port `{port}` is not a number between 1 and 65535")),
        },
    };
    if name::parse_ip(host).is_none() && !name::is_subdomain(host) {
        let hint = if host.starts_with('[') { "; brackets go with a port" } else { "" };
        return Err(format!("host `{host}` is neither an IP address nor a lower-case RFC 1123 subdomain{hint}"));
    }
    Ok(HostPort { host: name::usual_ip(host), port })
}

/// Host and port, if the text has both, as Go tells them apart.
fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").filter(|(_, port)| !port.contains(':'))?,
        None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':'))?,
    };
    let bracket = |part: &str| part.contains(['[', ']']);
    (!bracket(host) && !bracket(port)).then_some((host, port))
}

/// As Go's `IsGlobalUnicast`: private addresses are global in this sense.
fn is_global_unicast(address: IpAddr) -> bool {
    let excluded = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(excluded || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn endpoints() {
        for (text, expected) in [
            ("api.example.com", "api.example.com:6443"),
            ("api.example.com:7443", "api.example.com:7443"),
            ("10.0.0.1", "10.0.0.1:6443"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("fd00::1", "[fd00::1]:6443"),
            ("a:", "a:6443"),
            ("[a]:1", "a:1"),
            ("[10.0.0.1]:1", "10.0.0.1:1"),
            ("010.0.0.1:06443", "10.0.0.1:6443"),
            ("[fd00::1]:65535", "[fd00::1]:65535"),
        ] {
            assert_eq!(host_port(text, 6443).unwrap().to_string(), expected);
        }
        for text in [
            "bad_host!:6443",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "1..0",
            "[fd00::1",
            "[fd00::1]",
            "[fd00::1]x",
            "[fd00::1]:1:2",
            "[[fd00::1]]:1",
            ":6443",
            ":",
            "A",
            "https://a:6443",
        ] {
            assert!(host_port(text, 6443).is_err(), "{text}");
        }
    }
}

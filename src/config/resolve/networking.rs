//! `networking`: subnets and the DNS domain [4.6].

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::{Resolver, or_default};
use crate::config::file::v1beta4;
use crate::config::{Networking, defaults, name};

const SERVICE: &str = "networking.serviceSubnet";
const POD: &str = "networking.podSubnet";
/// kubeadm's limits [10.1].
const MIN_SERVICE_ADDRESSES: u128 = 10;
const MAX_SERVICE_HOST_BITS: u8 = 20;
const MIN_POD_ADDRESSES: u128 = 14;
const MAX_NODE_MASK_DIFFERENCE: u8 = 16;

impl Resolver<'_> {
    pub(super) fn networking(
        &mut self,
        written: v1beta4::Networking,
        controller_manager_args: &[v1beta4::Arg],
    ) -> Option<Networking> {
        let v1beta4::Networking { service_subnet, pod_subnet, dns_domain } = written;
        let service_subnet = or_default(service_subnet, defaults::SERVICE_SUBNET);
        let dns_domain = or_default(dns_domain, defaults::DNS_DOMAIN);
        self.check_subdomain("networking.dnsDomain", &dns_domain);

        let service_subnets = self.subnets(SERVICE, &service_subnet, MIN_SERVICE_ADDRESSES);
        for subnet in service_subnets.iter().flatten() {
            if subnet.max_prefix_len() - subnet.prefix_len() > MAX_SERVICE_HOST_BITS {
                let bits = subnet.max_prefix_len();
                let least = bits - MAX_SERVICE_HOST_BITS;
                let reason = format!(
                    "specified service subnet is too large; for {bits}-bit addresses, the mask must be >= {least}"
                );
                self.problems.invalid(SERVICE, &subnet.trunc().to_string(), reason);
            }
        }
        let pod_subnets = match pod_subnet.as_str() {
            "" => Some(Vec::new()),
            text => self.subnets(POD, text, MIN_POD_ADDRESSES),
        };
        self.check_node_masks(pod_subnets.as_deref().unwrap_or_default(), controller_manager_args);
        Some(Networking {
            service_subnets: service_subnets?,
            pod_subnets: pod_subnets?,
            service_subnet,
            pod_subnet,
            dns_domain,
        })
    }

    /// One network, or one of each family.
    fn subnets(&mut self, field: &str, text: &str, min_addresses: u128) -> Option<Vec<IpNet>> {
        let mut subnets = Vec::new();
        for part in text.split(',') {
            match cidr(part) {
                Some(subnet) => subnets.push(subnet),
                None => {
                    self.problems.invalid(field, text, "couldn't parse subnet; write it as in `10.96.0.0/12`");
                    return None;
                }
            }
        }
        let one_of_each = subnets.len() == 2 && is_ipv4(&subnets[0]) != is_ipv4(&subnets[1]);
        if subnets.len() != 1 && !one_of_each {
            self.problems.invalid(field, text, "must be one subnet, or one IPv4 and one IPv6 subnet");
            return None;
        }
        for subnet in &subnets {
            if overlaps_site_local(subnet) {
                let sentence =
                    format!("{} has site-local addresses of fec0::/10, which RFC 3879 deprecates", subnet.trunc());
                self.warn(field, sentence);
            }
            let host_bits = u32::from(subnet.max_prefix_len() - subnet.prefix_len());
            let addresses = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX);
            if addresses < min_addresses {
                let reason =
                    format!("subnet with {addresses} address(es) is too small, the minimum is {min_addresses}");
                self.problems.invalid(field, &subnet.trunc().to_string(), reason);
                return None;
            }
        }
        Some(subnets)
    }

    /// The controller manager cuts a network for every node out of the pod subnet: it has to fit, and not too often.
    fn check_node_masks(&mut self, pod_subnets: &[IpNet], args: &[v1beta4::Arg]) {
        let value = |name: &str| {
            let last = args.iter().rev().find(|arg| arg.name == name);
            last.map(|arg| arg.value.as_str()).filter(|value| !value.is_empty())
        };
        if value("allocate-node-cidrs") == Some("false") {
            return;
        }
        for subnet in pod_subnets {
            let (family_arg, default) =
                if is_ipv4(subnet) { ("node-cidr-mask-size-ipv4", 24) } else { ("node-cidr-mask-size-ipv6", 64) };
            // the flag without a family is for clusters with one
            let common = value("node-cidr-mask-size").filter(|_| pod_subnets.len() == 1);
            let mask = match value(family_arg).or(common) {
                None => default,
                Some(text) => match text.parse::<u8>() {
                    Ok(mask) if mask <= subnet.max_prefix_len() => mask,
                    _ => {
                        let reason = format!("a node's network in {POD} cannot have this mask");
                        self.problems.invalid("controllerManager.extraArgs", text, reason);
                        continue;
                    }
                },
            };
            let prefix = subnet.prefix_len();
            let reason = if prefix > mask {
                format!("the pod subnet's mask {prefix} leaves no room for a node's network with mask {mask}")
            } else if mask - prefix > MAX_NODE_MASK_DIFFERENCE {
                format!(
                    "a node's mask {mask} and the pod subnet's {prefix} differ by more than {MAX_NODE_MASK_DIFFERENCE}"
                )
            } else {
                continue;
            };
            self.problems.invalid(POD, &subnet.trunc().to_string(), reason);
        }
    }

    /// What the API server or the controller manager may trip over; kubeadm lets it through.
    pub(super) fn compare_families(&mut self, networking: &Networking, advertise_address: IpAddr) {
        let Some(service) = networking.service_subnets.first() else { return };
        if is_ipv4(service) != advertise_address.is_ipv4() {
            self.warn(SERVICE, "not of the advertise address's family; the API server refuses to start with that");
        }
        let shares_family =
            |pod: &IpNet| networking.service_subnets.iter().any(|service| is_ipv4(service) == is_ipv4(pod));
        if !networking.pod_subnets.iter().all(shares_family) {
            self.warn(
                POD,
                format_args!("of a family that {SERVICE} does not have; services will not reach those pods"),
            );
        }
    }
}

fn is_ipv4(subnet: &IpNet) -> bool {
    matches!(subnet, IpNet::V4(_))
}

/// An address with the length of its network's mask; bits of the host may be set, and numbers may begin with zeros.
fn cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    IpNet::new(name::parse_ip(address)?, name::decimal(length)?).ok()
}

fn overlaps_site_local(subnet: &IpNet) -> bool {
    let IpNet::V6(subnet) = subnet else { return false };
    let site_local = Ipv6Net::new_assert(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10);
    site_local.contains(subnet) || subnet.contains(&site_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs() {
        for (text, expected) in [
            ("10.96.0.12/24", Some("10.96.0.0/24")),
            ("010.096.0.0/012", Some("10.96.0.0/12")),
            ("fd00:10:96::/108", Some("fd00:10:96::/108")),
            ("10.96.0.0", None),
            ("10.96.0.0/", None),
            ("10.96.0.0/33", None),
            ("10.96.0.0/+8", None),
            ("10.96.0.0/8/8", None),
            (" 10.96.0.0/8", None),
            ("fd00::/129", None),
            ("", None),
        ] {
            assert_eq!(cidr(text).map(|subnet| subnet.trunc().to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn site_local_networks_are_known() {
        let overlaps = |text: &str| cidr(text).is_some_and(|subnet| overlaps_site_local(&subnet));
        assert!(overlaps("fec0::/64") && overlaps("feff::/16") && overlaps("fe00::/8"));
        assert!(!overlaps("fd00::/64") && !overlaps("10.0.0.0/8"));
    }
}

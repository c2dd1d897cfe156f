//! PURE: tables of the packet filter, and the netlink messages that put one in the place of what was there.
//!
//! Only what this program's rules need. Names and numbers are those of linux/netfilter/nf_tables.h.

use std::net::SocketAddrV4;

use ipnet::Ipv4Net;

/// A table of IPv4 rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) chains: Vec<Chain>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `None` for a chain that others jump to.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Vec<Term>>,
}

/// Where a packet meets a chain: type, hook and priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) at: At,
    pub(super) priority: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Prerouting = 0,
    Output = 3,
    Postrouting = 4,
}

/// A part of a rule: a condition for those after it, or what is done when all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    FromInterface(String),
    ToInterface(String),
    From(Ipv4Net),
    To(Ipv4Net),
    NotTo(Ipv4Net),
    /// The destination is an address of this machine.
    ToMachine,
    /// The destination was another when the packet came.
    Redirected,
    /// By its number.
    Protocol(u8),
    ToPort(u16),
    Jump(&'static str),
    Drop,
    Masquerade,
    Redirect(SocketAddrV4),
}

/// The subsystem's number in the type of every message.
const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const NEW_RULE: u16 = NFTABLES << 8 | 6;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const UNSPECIFIED: u8 = 0;
const IPV4: u8 = 2;
const NESTED: u16 = 0x8000;

/// Two of the machine's registers, and the one for what becomes of a packet.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
const VERDICT: u32 = 0;

/// One batch that removes a table of this name, if there is one, and makes `table` unless it is to be gone.
pub(super) fn replace(name: &str, table: Option<&Table>) -> Vec<u8> {
    let mut batch = Batch::default();
    let named = attribute(1, &text(name));
    batch.message(BATCH_BEGIN, 0, UNSPECIFIED, &[]);
    // made first, so that its removal succeeds also where there is none
    batch.message(NEW_TABLE, CREATE, IPV4, &named);
    batch.message(DELETE_TABLE, if table.is_none() { ACKNOWLEDGE } else { 0 }, IPV4, &named);
    if let Some(table) = table {
        let acknowledged = |is_last: bool| CREATE | if is_last { ACKNOWLEDGE } else { 0 };
        let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        batch.message(NEW_TABLE, CREATE, IPV4, &named);
        for (index, chain) in table.chains.iter().enumerate() {
            let is_last = rules == 0 && index + 1 == table.chains.len();
            batch.message(NEW_CHAIN, acknowledged(is_last), IPV4, &self::chain(name, chain));
        }
        let all = table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain.name, rule)));
        for (index, (chain, rule)) in all.enumerate() {
            batch.message(NEW_RULE, acknowledged(index + 1 == rules) | APPEND, IPV4, &self::rule(name, chain, rule));
        }
    }
    batch.message(BATCH_END, 0, UNSPECIFIED, &[]);
    batch.bytes
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, family: u8, attributes: &[u8]) {
        // headers of netlink and of netfilter
        let length = 16 + 4 + attributes.len();
        self.bytes.extend((length as u32).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        let subsystem = if family == UNSPECIFIED { NFTABLES } else { 0 };
        self.bytes.extend([family, 0]);
        self.bytes.extend(subsystem.to_be_bytes());
        self.bytes.extend(attributes);
        self.sequence += 1;
    }
}

fn chain(table: &str, chain: &Chain) -> Vec<u8> {
    let mut bytes = [attribute(1, &text(table)), attribute(3, &text(chain.name))].concat();
    if let Some(hook) = chain.hook {
        bytes.extend(nested(4, &[number(1, hook.at as u32), number(2, hook.priority as u32)]));
        bytes.extend(attribute(7, &text(hook.kind)));
    }
    bytes
}

fn rule(table: &str, chain: &str, terms: &[Term]) -> Vec<u8> {
    let expressions: Vec<_> = terms.iter().flat_map(expressions).map(|expression| nested(1, &[expression])).collect();
    [attribute(1, &text(table)), attribute(2, &text(chain)), nested(4, &expressions)].concat()
}

fn expressions(term: &Term) -> Vec<Vec<u8>> {
    match term {
        Term::FromInterface(name) => vec![meta(6), compare(true, &interface(name))],
        Term::ToInterface(name) => vec![meta(7), compare(true, &interface(name))],
        Term::From(net) => address(12, net, true),
        Term::To(net) => address(16, net, true),
        Term::NotTo(net) => address(16, net, false),
        Term::ToMachine => {
            // the kind of the destination's route: RTN_LOCAL
            let kind = expression("fib", &[number(1, FIRST), number(2, 3), number(3, 2)]);
            vec![kind, compare(true, &2u32.to_ne_bytes())]
        }
        Term::Redirected => {
            // IPS_DST_NAT in the connection's status
            let status = expression("ct", &[number(1, FIRST), number(2, 2)]);
            vec![status, mask(&32u32.to_ne_bytes()), compare(false, &0u32.to_ne_bytes())]
        }
        Term::Protocol(protocol) => vec![meta(16), compare(true, &[*protocol])],
        Term::ToPort(port) => vec![payload(2, 2, 2), compare(true, &port.to_be_bytes())],
        Term::Jump(chain) => vec![verdict(-3, Some(chain))],
        Term::Drop => vec![verdict(0, None)],
        Term::Masquerade => vec![expression("masq", &[])],
        Term::Redirect(to) => {
            let nat = [number(1, 1), number(2, u32::from(IPV4)), number(3, FIRST), number(5, SECOND)];
            vec![load(FIRST, &to.ip().octets()), load(SECOND, &to.port().to_be_bytes()), expression("nat", &nat)]
        }
    }
}

fn address(offset: u32, net: &Ipv4Net, is_within: bool) -> Vec<Vec<u8>> {
    let mut expressions = vec![payload(1, offset, 4)];
    if net.prefix_len() < 32 {
        expressions.push(mask(&net.netmask().octets()));
    }
    expressions.push(compare(is_within, &net.network().octets()));
    expressions
}

fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(1, FIRST), number(2, key)])
}

fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    expression("payload", &[number(1, FIRST), number(2, base), number(3, offset), number(4, length)])
}

fn mask(mask: &[u8]) -> Vec<u8> {
    let nothing = vec![0; mask.len()];
    let length = number(3, mask.len() as u32);
    expression("bitwise", &[number(1, FIRST), number(2, FIRST), length, value(4, mask), value(5, &nothing)])
}

fn compare(is_equal: bool, with: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, FIRST), number(2, u32::from(!is_equal)), value(3, with)])
}

fn load(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression("immediate", &[number(1, register), value(2, bytes)])
}

fn verdict(code: i32, chain: Option<&str>) -> Vec<u8> {
    let chain = chain.map(|chain| attribute(2, &text(chain))).unwrap_or_default();
    let verdict = nested(2, &[number(1, code as u32), chain]);
    expression("immediate", &[number(1, VERDICT), nested(2, &[verdict])])
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    [attribute(1, &text(name)), nested(2, data)].concat()
}

fn value(kind: u16, bytes: &[u8]) -> Vec<u8> {
    nested(kind, &[attribute(1, bytes)])
}

/// Padded to the size that the kernel compares.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &attributes.concat())
}

fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = 4 + content.len();
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(content);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_say_their_true_length() {
        assert_eq!(attribute(1, b"ab\0"), [7u16.to_ne_bytes().as_slice(), &1u16.to_ne_bytes(), b"ab\0\0"].concat());
        assert_eq!(number(2, 3), [8u16.to_ne_bytes().as_slice(), &2u16.to_ne_bytes(), &[0, 0, 0, 3]].concat());
        assert_eq!(interface("br").len(), 16);
    }

    #[test]
    fn only_the_last_change_is_acknowledged() {
        let flags = |batch: &[u8]| {
            let (mut rest, mut flags) = (batch, Vec::new());
            while !rest.is_empty() {
                let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
                flags.push(u16::from_ne_bytes(rest[6..8].try_into().unwrap()) & ACKNOWLEDGE != 0);
                rest = &rest[length..];
            }
            flags
        };
        let chain = |rules| Chain { name: "c", hook: None, rules };
        let table = |chains| Table { name: "t".into(), chains };
        let gone = replace("t", None);
        assert_eq!(flags(&gone), [false, false, true, false]);
        let empty = replace("t", Some(&table(vec![chain(vec![])])));
        assert_eq!(flags(&empty), [false, false, false, false, true, false]);
        let rules = vec![vec![Term::Drop], vec![Term::Masquerade]];
        let full = replace("t", Some(&table(vec![chain(rules)])));
        assert_eq!(flags(&full), [false, false, false, false, false, false, true, false]);
    }
}

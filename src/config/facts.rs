//! What defaults depend on besides the user's words: a few facts of the machine, gathered by `host::facts`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

#[derive(Debug, Clone)]
pub struct Facts {
    /// The kernel's host name.
    pub hostname: String,
    /// The address that the default route leaves from, IPv4 before IPv6; `None` without a default route [4.5].
    pub default_address: Option<IpAddr>,
    /// A global unicast address that is configured on the loopback interface, if there is one [4.5].
    pub loopback_address: Option<IpAddr>,
    /// Those of kubeadm's optional CA directories that exist under the instance's root [3.8].
    pub ca_directories: Vec<PathBuf>,
    /// `ca.crt` is in the certificates directory and `ca.key` is not: somebody else signs [1.8].
    pub external_ca: bool,
    /// The users and groups that the control plane needs besides root; `None` where it needs none [3.10].
    pub accounts: Option<Allocation>,
    /// The ids that stand in manifests; `None` where nobody has taken them yet.
    pub identities: Option<Identities>,
    /// systemd-resolved answers this machine's names, and says in its own file whom it asks [4.7].
    pub systemd_resolved: bool,
    /// Environment variables whose lower-cased name ends in `_proxy` and that are not empty [3.1].
    pub proxy_environment: Vec<(String, String)>,
    /// The start of this run: one moment for every certificate [1.4].
    pub now: Timestamp,
    /// Bootstrap tokens that nobody named are derived from this.
    pub token_seed: TokenSeed,
}

/// Ids of system users and groups, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    pub users: BTreeMap<String, u32>,
    pub groups: BTreeMap<String, u32>,
}

impl Facts {
    /// Of a machine that does not exist, for what must not depend on the one at hand: the names that kubeadm has for
    /// these cases [4.9].
    pub fn placeholder(now: Timestamp) -> Self {
        let address = IpAddr::from([1, 2, 3, 4]);
        Facts {
            hostname: "node".to_owned(),
            default_address: Some(address),
            loopback_address: Some(address),
            ca_directories: Vec::new(),
            external_ca: false,
            systemd_resolved: false,
            proxy_environment: Vec::new(),
            accounts: None,
            identities: None,
            now,
            token_seed: TokenSeed::new([0; 32]),
        }
    }
}

/// Which accounts have which ids, and the lines that are missing for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    pub identities: Identities,
    /// A name and its line, in the order in which they are added.
    pub missing_users: Vec<(&'static str, String)>,
    pub missing_groups: Vec<(&'static str, String)>,
}

impl Allocation {
    /// Nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing_users.is_empty() && self.missing_groups.is_empty()
    }
}

/// The directories that distributions keep CA certificates in, besides `/etc/ssl/certs` [3.8].
pub const OPTIONAL_CA_DIRECTORIES: [&str; 5] = [
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// 32 bytes fresh from the kernel's random number generator. `Debug` does not show them.
#[derive(Clone)]
pub struct TokenSeed([u8; 32]);

impl TokenSeed {
    pub fn new(bytes: [u8; 32]) -> Self {
        TokenSeed(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

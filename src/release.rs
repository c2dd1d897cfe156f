//! Which Kubernetes versions this program can bring up, and what differs between them: one table.
//!
//! Every conditional on a version asks a question of [`Version`] or of [`EtcdVersion`]; nothing else compares minors.
//! What a version looks like is what the kubeadm of its time wrote; for v1.35 and v1.36 it is what kubeadm v1.36.2
//! writes [3.12, 10.4, 14].

use std::fmt;
use std::str::FromStr;

/// The version that is brought up when nobody names one.
pub const DEFAULT_VERSION: &str = "v1.36.2";
/// The oldest and the newest minor this program knows. What is newer is taken for the newest; preflight tells.
pub const SUPPORTED_MINORS: std::ops::RangeInclusive<u64> = 20..=36;

/// The day of this source, in seconds since the epoch: 2026-11-01.
pub const SOURCE_DATE: i64 = 1_793_491_200;

/// Everybody in this group may do everything, whatever RBAC says.
const MASTERS: &str = "system:masters";
/// Bound to `cluster-admin` by an ordinary ClusterRoleBinding, so that its rights can be taken away.
const CLUSTER_ADMINS: &str = "kubeadm:cluster-admins";

/// A Kubernetes version that can be brought up. Prints with its `v`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    fn is_before(&self, minor: u64) -> bool {
        self.minor() < minor
    }

    /// Organisation of the client certificate in `admin.conf` [1.2].
    pub fn admin_organization(&self) -> &'static str {
        if self.is_before(29) { MASTERS } else { CLUSTER_ADMINS }
    }

    /// The organisation has no rights of its own: a ClusterRoleBinding gives them [2].
    pub fn binds_admin_to_cluster_admin(&self) -> bool {
        self.admin_organization() == CLUSTER_ADMINS
    }

    /// Whether there is a `super-admin.conf` beside `admin.conf` [2].
    pub fn has_super_admin_conf(&self) -> bool {
        !self.is_before(29)
    }

    /// Organisation of the API server's client certificate for kubelets; without one its rights come from the
    /// ClusterRoleBinding `kubeadm:apiserver-kubelet-client` [1.2].
    pub fn kubelet_client_organization(&self) -> Option<&'static str> {
        match self.minor() {
            ..29 => Some(MASTERS),
            29..35 => Some(CLUSTER_ADMINS),
            35.. => None,
        }
    }

    /// The tag of the four component images: the version, with what a tag cannot hold replaced [10.3].
    pub fn image_tag(&self) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        self.to_string().chars().map(|c| if allowed(c) { c } else { '_' }).collect()
    }

    /// The tag of the etcd image that goes with this version.
    pub fn etcd_tag(&self) -> &'static str {
        self.images().1
    }

    /// The tag of the CoreDNS image that goes with this version.
    pub fn coredns_tag(&self) -> &'static str {
        self.images().2
    }

    /// The tag of the image of pods' sandboxes, where a node uses one.
    pub fn pause_tag(&self) -> &'static str {
        self.images().3
    }

    /// kubeadm tells the kubelet that image, so that it is not collected as garbage; older ones only beside Docker
    /// [5.5, 14].
    pub fn kubelet_is_told_pause_image(&self) -> bool {
        (22..35).contains(&self.minor())
    }

    /// The kubelet takes the container runtime's socket from its configuration and not from a flag [4.8].
    pub fn kubelet_reads_socket_from_file(&self) -> bool {
        !self.is_before(34)
    }

    /// The kubelet runs Docker unless it is told of another container runtime [14].
    pub fn kubelet_knows_docker(&self) -> bool {
        self.is_before(24)
    }

    /// Nodes of the control plane carry the older label beside the newer one [14].
    pub fn has_master_label(&self) -> bool {
        self.is_before(24)
    }

    /// What the name of the kubelets' ConfigMap ends in [5.7].
    pub fn kubelet_config_suffix(&self) -> String {
        if self.is_before(24) { format!("-1.{}", self.minor()) } else { String::new() }
    }

    /// The public registry keeps CoreDNS in a repository of its own [10.3, 14].
    pub fn has_coredns_repository(&self) -> bool {
        !self.is_before(21)
    }

    /// CoreDNS may answer for the cluster's own zone from its cache.
    pub fn dns_caches_own_zone(&self) -> bool {
        self.is_before(32)
    }

    /// Nodes of the control plane may carry the older taint [14].
    pub fn has_master_taint(&self) -> bool {
        self.is_before(25)
    }

    /// The minor of the kubeadm that writes the components' configuration, whose types decide its form.
    pub fn component_config_minor(&self) -> u64 {
        if self.is_before(35) { self.minor() } else { *SUPPORTED_MINORS.end() }
    }

    /// The controller manager finds FlexVolume drivers in a directory of the node.
    pub fn has_flex_volumes(&self) -> bool {
        self.is_before(35)
    }

    /// Modes in `authorization-mode` that nobody knows are left out, and do not keep the API server from starting [3.5].
    pub fn drops_unknown_authorization_modes(&self) -> bool {
        self.is_before(31)
    }

    /// kubeadm tells the kubelet which driver to use for control groups.
    pub fn sets_cgroup_driver(&self) -> bool {
        !self.is_before(22)
    }

    fn images(&self) -> &'static (u64, &'static str, &'static str, &'static str) {
        let row = (self.minor() - SUPPORTED_MINORS.start()) as usize;
        &IMAGES[row.min(IMAGES.len() - 1)]
    }

    /// The oldest external etcd that the kubeadm of this version takes [6.2]; it knows the etcds of three versions and
    /// takes the oldest of them, from v1.31 on one whose health can be asked for as v1.31 does [3.12].
    pub fn minimum_external_etcd(&self) -> &'static str {
        match self.minor() {
            ..28 => "3.2.18",
            28..31 => "3.4.13-4",
            31..35 => "3.5.11-0",
            35.. => "3.5.24-0",
        }
    }

    /// The API server refuses an advertise address that is not of the first service subnet's family.
    pub fn wants_one_family(&self) -> bool {
        !self.is_before(24)
    }

    /// What etcd of this image tag is told and asked; an unset tag, or one without a version, stands for the table's.
    pub fn etcd(&self, tag: Option<&str>) -> EtcdRelease {
        let version = tag.and_then(etcd_version).or_else(|| etcd_version(self.etcd_tag())).unwrap_or_default();
        let version = if self.knows_etcd(tag) { version } else { OLDEST_NEW_ETCD };
        EtcdRelease { version, kubernetes_minor: self.minor() }
    }

    /// kubeadm v1.36 writes what etcd from v3.6 on understands, and an older one does not start with [3.12].
    pub fn knows_etcd(&self, tag: Option<&str>) -> bool {
        let is_old = tag.and_then(etcd_version).is_some_and(|version| version < OLDEST_NEW_ETCD);
        self.is_before(35) || !is_old
    }

    /// `extraArgs` are sorted in among the defaults instead of following them [3.3].
    pub fn sorts_extra_args(&self) -> bool {
        self.is_before(35)
    }

    /// The API server has an insecure port that must be switched off.
    pub fn has_insecure_port(&self) -> bool {
        self.is_before(22)
    }

    /// The controller manager and the scheduler have one.
    pub fn has_insecure_component_ports(&self) -> bool {
        self.is_before(23)
    }

    /// Probes name their port instead of giving its number.
    pub fn has_named_probe_port(&self) -> bool {
        !self.is_before(34)
    }

    /// Manifests carry an empty `creationTimestamp`.
    pub fn has_null_creation_timestamp(&self) -> bool {
        self.is_before(34)
    }

    pub fn has_seccomp_profile(&self) -> bool {
        !self.is_before(22)
    }

    /// Manifests carry the priority's number beside its class.
    pub fn has_numeric_priority(&self) -> bool {
        !self.is_before(21)
    }

    /// The scheduler answers `/livez` and `/readyz`, not only `/healthz`.
    pub fn scheduler_has_livez(&self) -> bool {
        !self.is_before(32)
    }

    /// The API server knows the admission plugin `DenyServiceExternalIPs`.
    pub fn has_deny_service_external_ips(&self) -> bool {
        !self.is_before(21)
    }

    pub fn etcd_requests_ephemeral_storage(&self) -> bool {
        (self.minor(), self.0.patch) < (21, 2)
    }

    /// Organisation of etcd's client certificates, those of the health check and of the API server [1.2].
    pub fn etcd_client_organization(&self) -> Option<&'static str> {
        self.is_before(29).then_some(MASTERS)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for Version {
    type Err = String;

    /// `v1.36.2` or `1.36.2`. The error says what is wrong and names the range.
    fn from_str(text: &str) -> Result<Self, String> {
        let version = semver::Version::parse(text.strip_prefix('v').unwrap_or(text))
            .map_err(|_| format!("`{text}` is not a version of the form `v1.36.2`"))?;
        if version.major != 1 || version.minor < *SUPPORTED_MINORS.start() {
            return Err(format!(
                "version `v{version}` is outside the supported range v1.{}.0 to v1.{}.x",
                SUPPORTED_MINORS.start(),
                SUPPORTED_MINORS.end()
            ));
        }
        Ok(Version(version))
    }
}

/// Image tags by minor: etcd, CoreDNS and pause [10.4]. v1.34 and later as in kubeadm v1.36.2. Versions that came with etcd
/// 3.5.0 to 3.5.3 get 3.5.6, as the last patch releases of v1.24 do: the first of those etcds can lose data.
const IMAGES: [(u64, &str, &str, &str); 17] = [
    (20, "3.4.13-0", "1.7.0", "3.2"),
    (21, "3.4.13-0", "v1.8.0", "3.4.1"),
    (22, "3.5.6-0", "v1.8.4", "3.5"),
    (23, "3.5.6-0", "v1.8.6", "3.6"),
    (24, "3.5.6-0", "v1.8.6", "3.7"),
    (25, "3.5.4-0", "v1.9.3", "3.8"),
    (26, "3.5.6-0", "v1.9.3", "3.9"),
    (27, "3.5.7-0", "v1.10.1", "3.9"),
    (28, "3.5.9-0", "v1.10.1", "3.9"),
    (29, "3.5.10-0", "v1.11.1", "3.9"),
    (30, "3.5.12-0", "v1.11.1", "3.9"),
    (31, "3.5.15-0", "v1.11.3", "3.10"),
    (32, "3.5.16-0", "v1.11.3", "3.10"),
    (33, "3.5.21-0", "v1.12.0", "3.10"),
    (34, "3.6.8-0", "v1.12.1", "3.10.1"),
    (35, "3.6.8-0", "v1.14.2", "3.10.2"),
    (36, "3.6.8-0", "v1.14.2", "3.10.2"),
];

/// The first etcd with feature gates of its own.
const OLDEST_NEW_ETCD: (u64, u64, u64) = (3, 6, 0);

/// What an etcd is told and asked: as kubeadm did for its Kubernetes version, before v1.35 as far as the etcd in the image
/// can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdRelease {
    /// Major, minor and patch.
    version: (u64, u64, u64),
    kubernetes_minor: u64,
}

impl EtcdRelease {
    /// Flags that etcd got or renamed on the way, and their values [3.12].
    pub fn flags(&self) -> &'static [(&'static str, &'static str)] {
        const CORRUPT_CHECK: (&str, &str) = ("experimental-initial-corrupt-check", "true");
        const WATCH_PROGRESS: (&str, &str) = ("experimental-watch-progress-notify-interval", "5s");
        match (self.version, self.kubernetes_minor) {
            ((3, 6.., _) | (4.., _, _), _) => {
                &[("feature-gates", "InitialCorruptCheck=true"), ("watch-progress-notify-interval", "5s")]
            }
            ((3, 5, _), 25..) => &[CORRUPT_CHECK, WATCH_PROGRESS],
            ((3, 5, _), _) => &[CORRUPT_CHECK],
            _ => &[],
        }
    }

    /// Paths of the liveness, the readiness and the startup probe [3.2, 3.12].
    pub fn probe_paths(&self) -> (&'static str, Option<&'static str>, &'static str) {
        match (self.version, self.kubernetes_minor) {
            (version, 31..) if version >= (3, 5, 11) => ("/livez", Some("/readyz"), "/readyz"),
            ((3, 5.., _), 25..) => ("/health?exclude=NOSPACE&serializable=true", None, "/health?serializable=false"),
            _ => ("/health", None, "/health"),
        }
    }
}

/// `3.6.8-0` or `v3.5.21`: the version in an image tag.
fn etcd_version(tag: &str) -> Option<(u64, u64, u64)> {
    let version = semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()?;
    Some((version.major, version.minor, version.patch))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn subjects_follow_the_kubeadm_of_their_time() {
        let old = version("v1.28.9");
        assert_eq!(old.admin_organization(), "system:masters");
        assert!(!old.has_super_admin_conf());
        assert_eq!(old.kubelet_client_organization(), Some("system:masters"));
        assert_eq!(old.etcd_client_organization(), Some("system:masters"));
        let middle = version("v1.34.0");
        assert_eq!(middle.admin_organization(), "kubeadm:cluster-admins");
        assert!(middle.has_super_admin_conf());
        assert_eq!(middle.kubelet_client_organization(), Some("kubeadm:cluster-admins"));
        assert_eq!(middle.etcd_client_organization(), None);
        assert_eq!(version("v1.36.2").kubelet_client_organization(), None);
    }

    #[test]
    fn the_table_has_a_row_for_every_minor() {
        assert!(IMAGES.iter().map(|(minor, ..)| *minor).eq(SUPPORTED_MINORS));
        assert!(IMAGES.iter().all(|(_, etcd, ..)| etcd_version(etcd).is_some()));
        assert_eq!(version(DEFAULT_VERSION).etcd_tag(), "3.6.8-0");
        assert_eq!(version(DEFAULT_VERSION).coredns_tag(), "v1.14.2");
        assert_eq!(version("v1.40.0").etcd_tag(), version(DEFAULT_VERSION).etcd_tag());
        assert!("v1.19.16".parse::<Version>().is_err() && "v2.20.0".parse::<Version>().is_err());
    }

    #[test]
    fn tags_hold_only_what_a_tag_may() {
        assert_eq!(version("1.36.0+abc").image_tag(), "v1.36.0_abc");
    }

    #[test]
    fn etcd_is_asked_what_it_understands() {
        let new = [("feature-gates", "InitialCorruptCheck=true"), ("watch-progress-notify-interval", "5s")];
        for (kubernetes, tag, flags, liveness) in [
            ("v1.36.2", None, new.as_slice(), "/livez"),
            ("v1.36.2", Some("latest"), &new, "/livez"),
            ("v1.20.2", None, &[], "/health"),
            ("v1.20.2", Some("3.4.23-0"), &[], "/health"),
            ("v1.24.0", None, &[("experimental-initial-corrupt-check", "true")], "/health"),
            (
                "v1.28.0",
                None,
                &[
                    ("experimental-initial-corrupt-check", "true"),
                    ("experimental-watch-progress-notify-interval", "5s"),
                ],
                "/health?exclude=NOSPACE&serializable=true",
            ),
            ("v1.36.2", Some("3.4.23-0"), &new, "/livez"),
            ("v1.34.0", Some("3.4.23-0"), &[], "/health"),
            ("v1.28.0", Some("v3.6.1"), &new, "/health?exclude=NOSPACE&serializable=true"),
        ] {
            let etcd = version(kubernetes).etcd(tag);
            assert_eq!(etcd.flags(), flags, "{kubernetes} {tag:?}");
            assert_eq!(etcd.probe_paths().0, liveness, "{kubernetes} {tag:?}");
        }
    }
}

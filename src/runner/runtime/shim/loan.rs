//! Capabilities that a process holds only until its seccomp filters are installed.
//!
//! The kernel takes a filter from whoever can gain no privileges any more, or holds CAP_SYS_ADMIN. A profile alone must
//! not take away `sudo` [3.79], so the second way is gone: what the library leaves the process with is what it is to have
//! and what installing takes, and the process itself gives the rest back right before the program is executed.

use libcontainer::oci_spec::runtime::{Capability, Process};

use crate::runner::runtime::ContainerConfig;
use crate::runner::runtime::spec::CAPABILITIES;

/// To install filters, and to drop the former for good.
const LENT: [(&str, Capability); 2] = [("SYS_ADMIN", Capability::SysAdmin), ("SETPCAP", Capability::Setpcap)];

/// Whether the container's processes need it.
pub(super) fn is_needed(config: &ContainerConfig) -> bool {
    let security = &config.security;
    security.seccomp.is_filtering() && !security.privileged && !security.no_new_privileges
}

/// Adds to what the process holds.
pub(super) fn lend(process: &mut Process) {
    let Some(mut capabilities) = process.capabilities().clone() else { return };
    let more = |set: &Option<std::collections::HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(LENT.map(|(_, capability)| capability));
        Some(set)
    };
    capabilities.set_bounding(more(capabilities.bounding()));
    capabilities.set_effective(more(capabilities.effective()));
    capabilities.set_permitted(more(capabilities.permitted()));
    process.set_capabilities(Some(capabilities));
}

/// The mask of what is lent.
pub(super) fn mask() -> u64 {
    let bit = |name: &str| CAPABILITIES.iter().position(|known| *known == name).map_or(0, |bit| 1 << bit);
    LENT.iter().fold(0, |mask, (name, _)| mask | bit(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_is_of_two_capabilities() {
        assert_eq!(mask(), (1 << 21) | (1 << 8));
        let mut process = Process::default();
        let none = Some(Default::default());
        let mut capabilities = process.capabilities().clone().unwrap_or_default();
        capabilities.set_effective(none.clone()).set_permitted(none.clone()).set_bounding(none);
        process.set_capabilities(Some(capabilities));
        lend(&mut process);
        let lent = process.capabilities().as_ref().and_then(|all| all.permitted().clone()).unwrap_or_default();
        assert_eq!(lent, LENT.map(|(_, capability)| capability).into());
    }
}

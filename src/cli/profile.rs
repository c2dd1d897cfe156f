//! `--profile`, of `init` and `audit`.

use clap::ValueEnum;

use crate::config::profile::Profile;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ProfileName {
    /// The CIS Kubernetes Benchmark 1.12
    Cis,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Profile {
        match name {
            ProfileName::Cis => Profile::Cis,
        }
    }
}

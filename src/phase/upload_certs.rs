//! `upload-certs`: with `--upload-certs`, what further control planes need, in the cluster [8.4].

use super::{certs, objects};
use crate::desired::Desired;
use crate::desired::pki::Authority;
use crate::plan::found::Found;
use crate::plan::{Decision, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    if desired.config.upload_certs.is_none() {
        return Vec::new();
    }
    let mut step = objects::step("upload-certs", None, "upload-certs");
    let files = ["certs/ca", "certs/front-proxy-ca", "certs/sa", "certs/etcd-ca"];
    step.needs.extend(files.map(str::to_owned));
    let missing = [Authority::Kubernetes, Authority::FrontProxy].into_iter().filter_map(|authority| {
        let signer = certs::signer(desired, found, authority);
        let key = certs::authority_paths(desired, authority).key;
        matches!(signer, certs::Signer::Existing { has_key: false, .. }).then(|| format!("`{}`", key.display()))
    });
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        step.actions.clear();
        step.decision = Decision::Refuse(format!(
            "can't use upload-certs with an external CA or an external front-proxy CA: {} is not here",
            missing.join(" and ")
        ));
    }
    vec![step]
}

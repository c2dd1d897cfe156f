//! Patches to a manifest: the result is a Pod that reads back as it was written, or the patch is refused.
#![no_main]

use std::sync::LazyLock;

use bootstrap::desired::manifest::{Component, Manifest, manifests};
use bootstrap::desired::patch::PatchFile;
use bootstrap_fuzz::{assert_refused, bounded, config, facts};
use k8s_openapi::api::core::v1::Pod;
use libfuzzer_sys::{Corpus, fuzz_target};

static MANIFESTS: LazyLock<Vec<Manifest>> =
    LazyLock::new(|| manifests(&config(), &facts()).expect("the manifests of defaults"));

// the first byte chooses the component and the kind of patch
fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, text)) = data.split_first() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    let kind = ["strategic", "merge", "json"][usize::from(choice % 3)];
    let component = Component::ALL[usize::from(choice / 3) % Component::ALL.len()];
    let manifest = MANIFESTS.iter().find(|manifest| manifest.component == component).expect("one of each").clone();

    let file = PatchFile { path: format!("/patches/{component}+{kind}.yaml").into(), text: text.to_owned() };
    match bounded(|| manifest.patched(&[file])) {
        Err(error) => assert_refused(&error),
        Ok((manifest, _)) => {
            let again: Pod =
                serde_yaml::from_str(&manifest.yaml).unwrap_or_else(|error| panic!("{error} in:\n{}", manifest.yaml));
            assert_eq!(again, manifest.pod, "what is read is not what was written:\n{}", manifest.yaml);
        }
    }
    Corpus::Keep
});

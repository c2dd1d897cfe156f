//! An etcd that somebody else runs: does it answer, is it new enough, are the files for it there [6.2]?

use super::Given;
use super::verdict::{Finding, or_ok};
use crate::config::Etcd;

pub(super) fn versions(given: &Given) -> Vec<Finding> {
    let version = &given.desired.config.kubernetes_version;
    let minimum = version.minimum_external_etcd();
    let is_new_enough = |text: &str| {
        let parse = |text: &str| semver::Version::parse(text).ok();
        Some(parse(text)? >= parse(minimum)?)
    };
    let judge = |(url, answer): &(String, Result<String, String>)| match answer {
        Err(reason) => Finding::error(format!("`{url}` does not say which version it is: {reason}")),
        Ok(text) => match is_new_enough(text) {
            None => Finding::error(format!("`{url}` says `{text}`, which is no version")),
            Some(false) => {
                Finding::error(format!("`{url}` is etcd {text}, and Kubernetes {version} needs {minimum} or newer"))
            }
            Some(true) => Finding::ok(format!("`{url}` is etcd {text}")),
        },
    };
    given.machine.external_etcd.versions.iter().map(judge).collect()
}

pub(super) fn files(given: &Given) -> Vec<Finding> {
    let Etcd::External(external) = &given.desired.config.etcd else { return Vec::new() };
    if external.ca_file.is_none() && external.client.is_none() {
        return Vec::new();
    }
    let missing = given.machine.external_etcd.missing_files.iter();
    let missing = missing.map(|path| Finding::error(format!("`{}` does not exist", path.display())));
    or_ok(missing.collect(), || "the files for the external etcd are there".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, told};

    const EXTERNAL: &str = "etcd:\n  external:\n    endpoints: ['https://10.0.0.9:2379']\n    caFile: /srv/ca.crt\n";

    #[test]
    fn a_version_is_measured_against_what_kubernetes_needs() {
        let url = "https://10.0.0.9:2379";
        for (kubernetes, answer, expected) in [
            ("v1.36.2", Ok("3.5.24"), "ok: "),
            (
                "v1.36.2",
                Ok("3.5.23"),
                "error: `https://10.0.0.9:2379` is etcd 3.5.23, and Kubernetes v1.36.2 needs 3.5.24-0",
            ),
            ("v1.36.2", Ok("3.6.8"), "ok: "),
            ("v1.36.2", Ok("3.4.23"), "error: "),
            ("v1.20.2", Ok("3.4.23"), "ok: `https://10.0.0.9:2379` is etcd 3.4.23"),
            ("v1.36.2", Ok("not decided"), "error: `https://10.0.0.9:2379` says `not decided`"),
            (
                "v1.36.2",
                Err("connection refused"),
                "error: `https://10.0.0.9:2379` does not say which version it is: connection refused",
            ),
        ] {
            let mut scene = Scene::new(&format!("kubernetesVersion: {kubernetes}\n{EXTERNAL}"));
            assert!(super::versions(&scene.given()).is_empty(), "it was not asked");
            let answer = answer.map(str::to_owned).map_err(str::to_owned);
            scene.machine.external_etcd.versions = vec![(url.to_owned(), answer)];
            let found = told(super::versions(&scene.given()));
            assert!(found[0].starts_with(expected), "{found:?}");
        }
    }

    #[test]
    fn files_that_are_missing_are_named() {
        let mut scene = Scene::new(EXTERNAL);
        assert_eq!(told(super::files(&scene.given())), ["ok: the files for the external etcd are there"]);
        scene.machine.external_etcd.missing_files = vec!["/srv/ca.crt".into()];
        assert_eq!(told(super::files(&scene.given())), ["error: `/srv/ca.crt` does not exist"]);
        assert!(super::files(&Scene::new("").given()).is_empty());
    }
}

//! `certs generate-csr`: a key and a request for every certificate that is no authority's [9.4].
//!
//! Pure.

use std::path::{Path, PathBuf};

use crate::desired::Desired;
use crate::layout;
use crate::plan::found::Found;
use crate::plan::renewal::{Request, RequestKey};
use crate::plan::{Action, Decision, Plan, Step};

/// Every request; `kubeconfig_dir` is where kubeconfigs go.
pub fn requests(desired: &Desired, kubeconfig_dir: &Path) -> Vec<Request> {
    let config = &desired.config;
    let certificates = desired.certificates.iter().filter(|file| file.spec.purpose.signer().is_some());
    let certificates = certificates.map(|file| Request {
        spec: file.spec.clone(),
        key: RequestKey::File(file.key_path(config)),
        request: config.certificates_dir.join(format!("{}.csr", file.base)),
    });
    let kubeconfigs = desired.kubeconfigs.iter().map(|file| {
        let mut file = file.clone();
        // that of the kubelet too [2]
        if file.name == "kubelet" {
            file.server = config.server();
        }
        let path = kubeconfig_dir.join(file.file);
        Request { spec: file.client.clone(), request: beside(&path, "csr"), key: RequestKey::Kubeconfig(file, path) }
    });
    certificates.chain(kubeconfigs).collect()
}

/// The files that the requests would make, or make useless: none of them may exist.
pub fn files(request: &Request) -> Vec<PathBuf> {
    let key = request.key.path().clone();
    match &request.key {
        RequestKey::File(_) => vec![key, request.request.clone()],
        RequestKey::Kubeconfig(..) => vec![beside(&key, "key"), key, request.request.clone()],
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}

/// One step for each request.
pub fn plan(requests: &[Request], found: &Found) -> Plan {
    let steps = requests.iter().map(|request| {
        let there: Vec<_> = files(request).into_iter().filter(|path| found.exists(path)).collect();
        let there: Vec<_> = there.iter().map(|path| format!("`{}`", path.display())).collect();
        let decision = match there.as_slice() {
            [] => Decision::Create,
            there => Decision::Refuse(format!("{} exists already", there.join(" and "))),
        };
        let directories = [request.key.path(), &request.request].into_iter().filter_map(|path| path.parent());
        let mut actions: Vec<_> = directories
            .map(|path| Action::MakeDirectory { path: path.to_owned(), mode: layout::PUBLIC_DIRECTORY })
            .collect();
        actions.push(Action::Request(request.clone()));
        let item = request.request.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Step { phase: "request", item: Some(item), needs: Vec::new(), decision, actions }
    });
    Plan { steps: steps.collect() }
}

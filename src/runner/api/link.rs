//! The connection to the API server as this node's user, by kubeadm's `kubelet.conf`: made when the file appears, made
//! anew when it, or a certificate that it names, changes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::Kubeconfig;
use tokio::sync::watch;

use super::complaint::Complaint;
use crate::api::ApiServer;
use crate::error::chain_of;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// The API server, where there is one.
#[derive(Debug, Clone)]
pub(super) struct Link(watch::Receiver<Option<ApiServer>>);

impl Link {
    pub(super) fn new(server: watch::Receiver<Option<ApiServer>>) -> Link {
        Link(server)
    }

    /// Waits for one. Cancel-safe.
    pub(super) async fn server(&mut self) -> ApiServer {
        loop {
            if let Some(server) = self.0.borrow_and_update().clone() {
                return server;
            }
            if self.0.changed().await.is_err() {
                // the runner ends, and this task with it
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when the server that was last given is not the one to ask any more. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Keeps the link up to date until dropped.
pub(super) async fn keep(path: PathBuf, link: watch::Sender<Option<ApiServer>>) {
    let mut complaint = Complaint::about("no API server is used");
    let (mut files, mut stamp) = (vec![path.clone()], None);
    loop {
        let now = stamp_of(&files);
        if stamp.as_ref() != Some(&now) {
            files = referenced(&path);
            stamp = Some(stamp_of(&files));
            let server = if path.exists() { Some(ApiServer::of_watcher(&path).await) } else { None };
            match server {
                Some(Ok(server)) => {
                    complaint.settle();
                    tracing::info!("the API server is `{}`", server.url());
                    link.send_replace(Some(server));
                }
                Some(Err(error)) => {
                    complaint.say(chain_of(&error));
                    link.send_replace(None);
                }
                None => {
                    link.send_if_modified(|server| server.take().is_some());
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The kubeconfig and the files that it names.
fn referenced(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    if let Ok(kubeconfig) = Kubeconfig::read_from(path) {
        let users = kubeconfig.auth_infos.into_iter().filter_map(|user| user.auth_info);
        let of_users = users.flat_map(|user| [user.client_certificate, user.client_key, user.token_file]);
        let clusters = kubeconfig.clusters.into_iter().filter_map(|cluster| cluster.cluster);
        let of_clusters = clusters.map(|cluster| cluster.certificate_authority);
        files.extend(of_users.chain(of_clusters).flatten().map(PathBuf::from));
    }
    files
}

/// What changes when a file is written, replaced or linked to another one.
fn stamp_of(files: &[PathBuf]) -> Vec<Option<(u64, i64, i64, u64)>> {
    let of = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
    };
    files.iter().map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_renewed_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubelet.conf");
        assert_eq!(referenced(&path), std::slice::from_ref(&path));
        assert_eq!(stamp_of(&referenced(&path)), [None]);
        let user = r#"{"name":"u","user":{"client-certificate":"pki/current.pem","client-key":"/k.pem"}}"#;
        let text = format!(r#"{{"apiVersion":"v1","kind":"Config","users":[{user}]}}"#);
        fs::write(&path, text).unwrap();
        let files = referenced(&path);
        assert_eq!(files[1..], [directory.path().join("pki/current.pem"), "/k.pem".into()]);
        let before = stamp_of(&files);
        fs::create_dir(directory.path().join("pki")).unwrap();
        fs::write(directory.path().join("pki/current.pem"), "new").unwrap();
        assert_ne!(stamp_of(&files), before);
    }
}

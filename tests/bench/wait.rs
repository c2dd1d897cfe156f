//! Waits for health as the figures define it: asked every 50 ms.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bootstrap::api::Endpoint;
use k8s_openapi::api::core::v1::Container;

use crate::support::network::ADDRESS;

const POLL: Duration = Duration::from_millis(50);
/// Nothing takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// The kubeconfig of the most powerful user: asked before the roles exist, only that one is let in.
pub(crate) fn administrator(root: &Path) -> PathBuf {
    let kubernetes = root.join("etc/kubernetes");
    let powerful = kubernetes.join("super-admin.conf");
    if powerful.exists() { powerful } else { kubernetes.join("admin.conf") }
}

pub(crate) fn until_ready(kubeconfig: &str) {
    let server = format!("https://{ADDRESS}:6443");
    wait(async { poll(Endpoint::readyz(kubeconfig, &server).await.unwrap()).await });
}

/// Asks what the container's startup probe asks.
pub(crate) fn until_healthy(container: &Container) {
    wait(async { poll(Endpoint::of_startup_probe(container, &ADDRESS.to_string()).unwrap()).await });
}

async fn poll(endpoint: Endpoint) {
    let begin = Instant::now();
    while let Err(reason) = endpoint.check().await {
        assert!(begin.elapsed() < PATIENCE, "{}: {reason}", endpoint.url);
        tokio::time::sleep(POLL).await;
    }
}

fn wait(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

//! Asks the cluster itself how it was configured, where it answers at once.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::api::{ApiServer, Patience};
use crate::desired::kubeconfig::existing::Existing;
use crate::error::{Context, Result};
use crate::files;
use crate::layout::{KUBERNETES, Layout};

/// A cluster that works answers in less; one that does not has to wait for nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kubeconfigs of administrators, in the order in which they are tried.
const ADMINISTRATORS: [&str; 2] = ["admin.conf", "super-admin.conf"];

/// The administrator's kubeconfig of this node, if there is one that can be read.
pub fn administrator(layout: &Layout) -> Result<Option<String>> {
    for name in ADMINISTRATORS {
        if let Some(text) = files::read_if_exists(&layout.under(KUBERNETES).join(name))? {
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}

/// The ClusterConfiguration in `kubeadm-config`.
pub async fn configuration(layout: &Layout) -> Result<String> {
    let kubeconfig = administrator(layout)?.context("there is no `admin.conf`")?;
    let server = Existing::read(kubeconfig.as_bytes())?.server().to_owned();
    let asked = tokio::time::timeout(PATIENCE, async {
        let api = ApiServer::connect(&kubeconfig, &server).await?;
        api.get::<ConfigMap>("kube-system", "kubeadm-config", Patience::Once).await
    });
    let timed_out = || format!("`{server}` does not answer within {} s", PATIENCE.as_secs());
    let config_map = asked.await.with_context(timed_out)??.context("there is no ConfigMap `kubeadm-config`")?;
    let mut data = config_map.data.unwrap_or_default();
    data.remove("ClusterConfiguration").context("`kubeadm-config` holds no ClusterConfiguration")
}

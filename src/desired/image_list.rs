//! The images of a cluster, as `kubeadm config images list` tells them [4.9, 10.3].

use super::manifest::{Component, image};
use super::object::{addon, dns};
use crate::config::Config;

/// Every image that some node of the cluster runs, in kubeadm's order.
pub fn images(config: &Config) -> Vec<String> {
    let mut images = vec![
        image(config, Component::ApiServer),
        image(config, Component::ControllerManager),
        image(config, Component::Scheduler),
    ];
    if !config.proxy_disabled {
        images.push(addon::kube_proxy_image(config));
    }
    if !config.dns.disabled {
        images.push(dns::image(config));
    }
    images.push(format!("{}/pause:{}", config.image_repository, config.kubernetes_version.pause_tag()));
    if config.etcd.local().is_some() {
        images.push(image(config, Component::Etcd));
    }
    images
}

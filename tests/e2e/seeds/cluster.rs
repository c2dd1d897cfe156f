//! One control plane for many tests. It is there while one of those that use it runs; with the tests side by side that
//! is once.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::support::node::Node;
use crate::support::registry::Registry;
use crate::support::workloads;

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A node with a control plane, and a registry with the workloads' images.
pub(super) struct Cluster {
    node: Node,
    _registry: Registry,
}

/// Tests that share it use namespaces and pods of their own, and leave the control plane alone.
pub(super) fn shared() -> Arc<Cluster> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let node = Node::new();
        let registry = workloads::serve(&node);
        node.init().succeeds();
        let cluster = Arc::new(Cluster { node, _registry: registry });
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

impl Deref for Cluster {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

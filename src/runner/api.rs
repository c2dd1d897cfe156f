//! The runner towards the API server: this node's object and lease, mirror pods, events.
//!
//! ```text
//! kubelet.conf ─► link ─► node ─► its UID ─► mirror ◄─ board (the pods)      event ◄─ recorder
//! ```
//!
//! Everything here is best effort, in a task of its own. It reads what the workers put up and never tells them anything:
//! whether the API server is down, slow, refuses or lies, pods start and stop just the same. Without a kubeconfig there
//! is nothing to do until one appears.

mod complaint;
mod event;
mod lease;
mod link;
mod mirror;
mod node;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::event::Recorder;
use super::mirrored::Mirrored;
use super::node::Node;
use super::published::Board;
use crate::layout::Layout;
use link::Link;

/// What is told to the API, and how.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) layout: Layout,
    pub(super) node: Node,
    pub(super) board: Board,
    pub(super) recorder: Recorder,
    /// Where to tell which mirrors there are.
    pub(super) mirrored: Mirrored,
    /// Where the runner's own HTTPS server listens; `None` where there is none.
    pub(super) server_port: Option<u16>,
}

/// Runs until dropped.
pub(super) async fn run(context: Context) {
    let Context { layout, node, board, recorder, mirrored, server_port } = context;
    let (sender, server) = watch::channel(None);
    let link = Link::new(server);
    let (uid_sender, uid) = watch::channel(None);
    let name = node.name.clone();
    let facts = node::Facts::gather(&node, &layout, server_port);
    let mut tasks = JoinSet::new();
    tasks.spawn(link::keep(layout.kubelet_kubeconfig(), sender));
    tasks.spawn(node::keep(link.clone(), facts, recorder.clone(), Arc::new(uid_sender)));
    tasks.spawn(lease::keep(link.clone(), name.clone(), uid.clone()));
    tasks.spawn(mirror::keep(link.clone(), name.clone(), uid, board.subscribe(), mirrored));
    tasks.spawn(event::send(link, name, recorder));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::warn!("a task towards the API broke: {error}");
        }
    }
}

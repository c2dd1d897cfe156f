//! What the node, its pods and their containers use at a moment.

use hyper::StatusCode;
use jiff::Timestamp;
use procfs::{Current, CurrentSI, KernelStats, Meminfo};

use super::access::Reviewer;
use super::respond::{self, Answer};
use super::serve::Server;
use super::{metrics, summary};
use crate::control::ContainerState;
use crate::error::{Context, Result, chain_of};
use crate::runner::runtime::{ContainerStats, Runtime};

/// Of the whole machine.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeUsage {
    pub name: String,
    pub taken_at: Timestamp,
    /// Seconds of CPU time since the boot.
    pub cpu: f64,
    /// Bytes that could not be had without swapping.
    pub memory: u64,
    /// Bytes that could be.
    pub available: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PodUsage {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub started_at: Option<Timestamp>,
    /// Those that run.
    pub containers: Vec<ContainerUsage>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ContainerUsage {
    pub name: String,
    pub started_at: Timestamp,
    pub stats: ContainerStats,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    pub node: NodeUsage,
    pub pods: Vec<PodUsage>,
}

impl<R: Runtime, V: Reviewer> Server<R, V> {
    /// For metrics-server and with it `kubectl top` [8.14].
    pub(super) async fn resource_metrics(&self) -> Answer {
        let usage = self.usage().await.inspect_err(|error| tracing::debug!("no statistics: {}", chain_of(error)));
        respond::whole(StatusCode::OK, respond::METRICS, metrics::resource::document(usage.ok().as_ref()))
    }

    /// `/stats/summary` [8.13].
    pub(super) async fn summary(&self) -> Answer {
        match self.usage().await {
            Ok(usage) => respond::whole(StatusCode::OK, respond::JSON, summary::document(&usage).to_string()),
            Err(error) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, chain_of(&error)),
        }
    }

    async fn usage(&self) -> Result<Usage> {
        let node = node_usage(&self.site.node.name)?;
        let stats = self.site.runtime.list_container_stats().await?;
        let pods = self.status().await?.pods.into_iter().map(|pod| {
            let running = pod.all_containers().filter_map(|container| {
                let ContainerState::Running { started_at, .. } = container.state else { return None };
                // one that has begun or ended meanwhile is not counted
                let stats = stats.iter().find(|stats| Some(&stats.id) == container.id.as_ref())?.clone();
                Some(ContainerUsage { name: container.name.clone(), started_at, stats })
            });
            let containers = running.collect();
            PodUsage { name: pod.name, namespace: pod.namespace, uid: pod.uid, started_at: pod.started_at, containers }
        });
        Ok(Usage { node, pods: pods.collect() })
    }
}

fn node_usage(name: &str) -> Result<NodeUsage> {
    let taken_at = Timestamp::now();
    let memory = Meminfo::current().context("cannot read `/proc/meminfo`")?;
    let available = memory.mem_available.unwrap_or(memory.mem_free);
    let total = KernelStats::current().context("cannot read `/proc/stat`")?.total;
    let busy = [total.user, total.nice, total.system, total.irq.unwrap_or(0), total.softirq.unwrap_or(0)];
    let ticks: u64 = busy.into_iter().chain(total.steal).sum();
    Ok(NodeUsage {
        name: name.to_owned(),
        taken_at,
        cpu: ticks as f64 / procfs::ticks_per_second() as f64,
        memory: memory.mem_total.saturating_sub(available),
        available,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::runner::server) fn usage() -> Usage {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let stats = |id: &str, cpu_usage, memory_working_set| ContainerStats {
            id: id.to_owned(),
            taken_at: at(100),
            cpu_usage,
            memory_usage: 4096,
            memory_working_set,
            pids: 2,
        };
        let container = |name: &str, cpu, memory| ContainerUsage {
            name: name.to_owned(),
            started_at: at(50),
            stats: stats(name, cpu, memory),
        };
        let pod = PodUsage {
            name: "web-node".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            started_at: Some(at(40)),
            containers: vec![container("a", 1_500_000_000, 1024), container("b", 250_000_000, 512)],
        };
        let node = NodeUsage { name: "node".to_owned(), taken_at: at(100), cpu: 12.5, memory: 8192, available: 1 };
        Usage { node, pods: vec![pod] }
    }

    #[test]
    fn a_machine_uses_something() {
        let usage = node_usage("node").unwrap_or_else(|error| panic!("{error}"));
        assert!(usage.cpu > 0.0 && usage.memory > 0 && usage.available > 0);
    }
}

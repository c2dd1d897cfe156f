//! `/metrics` and `/metrics/probes`: how the runner itself fares.

use hyper::StatusCode;
use procfs::WithCurrentSystemInfo;
use procfs::process::{LimitValue, Process};

use super::access::Reviewer;
use super::metrics::kubelet::{Facts, OwnProcess};
use super::metrics::{kubelet, probes};
use super::respond::{self, Answer};
use super::serve::Server;
use crate::error::{Context, Result, chain_of};
use crate::runner::runtime::Runtime;

impl<R: Runtime, V: Reviewer> Server<R, V> {
    pub(super) async fn own_metrics(&self) -> Answer {
        match self.own_facts().await {
            Ok(facts) => respond::whole(StatusCode::OK, respond::METRICS, kubelet::document(&facts)),
            Err(error) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, chain_of(&error)),
        }
    }

    pub(super) fn probe_metrics(&self) -> Answer {
        let counts = self.site.metrics.counts();
        respond::whole(StatusCode::OK, respond::METRICS, probes::document(&counts.probes))
    }

    async fn own_facts(&self) -> Result<Facts> {
        let runtime = &self.site.runtime;
        Ok(Facts {
            node: self.site.node.name.clone(),
            status: self.status().await?,
            board: self.site.board.pods(),
            mirrors: self.site.mirrored.count(),
            sandboxes: runtime.list_pod_sandboxes().await?,
            containers: runtime.list_containers().await?,
            counts: self.site.metrics.counts(),
            process: own_process()?,
        })
    }
}

fn own_process() -> Result<OwnProcess> {
    let read = || {
        let own = Process::myself()?;
        let stat = own.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let limit = match own.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        };
        Ok::<_, procfs::ProcError>(OwnProcess {
            started_at: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            cpu: (stat.utime + stat.stime) as f64 / ticks,
            resident_memory: stat.rss_bytes().get(),
            virtual_memory: stat.vsize,
            open_files: own.fd_count()?,
            most_files: limit,
        })
    };
    read().context("cannot read what `/proc/self` tells")
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_is_there_and_uses_something() {
        let own = super::own_process().unwrap_or_else(|error| panic!("{error:#}"));
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!(own.started_at > 0.0 && own.started_at <= now + 1.0, "{} {now}", own.started_at);
        assert!(own.resident_memory > 0 && own.virtual_memory >= own.resident_memory && own.open_files > 0);
    }
}

//! Looks at what preflight's checks depend on. Nothing is changed.
//!
//! What takes its time begins first, each in a thread of its own: a few writes to etcd's disk, and names that are
//! looked up. The disk is waited for, since etcd is about to use it; a resolver that does not answer is not.

mod cgroups;
mod disk;
mod etcd;
mod kernel;
mod limits;
mod names;
mod network;
mod places;
mod processes;

use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::sysinfo::sysinfo;

use super::{journal, ports};
use crate::config::Etcd;
use crate::desired::Desired;
use crate::desired::manifest::Component;
use crate::layout::Layout;
use crate::phase::{self, undo::MadeKind};
use crate::plan::Plan;
use crate::preflight::machine::{EtcdData, EtcdDisk, ExternalEtcd};
use crate::preflight::{self, Machine};
use crate::release;

/// How far a look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Tries the disk, asks name servers and the external etcd.
    Whole,
    /// Reads what is on this machine: for a dry run, which asks nobody and needs no root.
    Reading,
}

/// A look that has begun.
#[derive(Debug)]
pub struct Probe<'a> {
    layout: &'a Layout,
    desired: &'a Desired,
    reach: Reach,
    etcd_data: EtcdData,
    disk: Option<JoinHandle<EtcdDisk>>,
    names: names::Lookups,
}

impl<'a> Probe<'a> {
    /// Without root the look never goes further than reading.
    pub fn begin(layout: &'a Layout, desired: &'a Desired, reach: Reach) -> Probe<'a> {
        let reach = if is_root() { reach } else { Reach::Reading };
        let etcd_data = etcd_data(layout, desired);
        let disk = desired.config.etcd.local().map(|member| {
            let (node_path, place) = (member.data_dir.clone(), layout.under(&member.data_dir));
            // an etcd that is at work there would be disturbed
            let is_tried = reach == Reach::Whole && etcd_data == EtcdData::None;
            std::thread::spawn(move || disk::look(&node_path, &place, is_tried))
        });
        let names = match reach {
            Reach::Whole => preflight::looked_up(desired),
            Reach::Reading => Vec::new(),
        };
        Probe { layout, desired, reach, etcd_data, disk, names: names::Lookups::begin(names) }
    }

    /// Everything but names that have had no answer within `patience` of the rest.
    pub async fn look(&mut self, plan: &Plan, patience: Duration) -> Machine {
        let (layout, desired) = (self.layout, self.desired);
        let processes = processes::look(layout);
        let mut machine = Machine {
            is_root: is_root(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: sysinfo().map(|info| info.ram_total()).unwrap_or(u64::MAX),
            swap: limits::swap(),
            now: jiff::Timestamp::now().as_second(),
            source_date: release::SOURCE_DATE,
            listeners: ports::listeners(layout, &preflight::ports(desired)),
            kubelet: processes.kubelet,
            firewalld: processes.firewalld,
            etcd_data: self.etcd_data,
            has_stray_etcd_manifest: has_stray_etcd_manifest(layout, desired),
            kernel: kernel::look(),
            cgroups: cgroups::look(),
            places: places::look(layout, desired, plan),
            network: network::look(&preflight::listening(desired)),
            limits: limits::look(layout),
            external_etcd: self.external_etcd().await,
            ..Machine::default()
        };
        // a thread that panicked has nothing to say
        machine.etcd_disk = self.disk.take().and_then(|thread| thread.join().ok());
        self.names.wait(patience, &mut machine.lookups);
        machine
    }

    /// Adds the names that [`Probe::look`] did not wait for. Waits no longer than a name server may take at all.
    pub fn catch_up(&mut self, machine: &mut Machine) {
        self.names.wait(names::PATIENCE, &mut machine.lookups);
    }

    async fn external_etcd(&self) -> ExternalEtcd {
        let Etcd::External(external) = &self.desired.config.etcd else { return ExternalEtcd::default() };
        let missing_files = etcd::missing_files(self.layout, external);
        let is_asked = self.reach == Reach::Whole && missing_files.is_empty();
        let versions = if is_asked { etcd::versions(self.layout, external).await } else { Vec::new() };
        ExternalEtcd { versions, missing_files }
    }
}

/// All that the checks need which are always run.
pub fn least(layout: &Layout, desired: &Desired) -> Machine {
    Machine {
        is_root: is_root(),
        has_stray_etcd_manifest: has_stray_etcd_manifest(layout, desired),
        ..Machine::default()
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn etcd_data(layout: &Layout, desired: &Desired) -> EtcdData {
    let Some(data_dir) = desired.config.etcd.local().map(|member| &member.data_dir) else { return EtcdData::None };
    let has_content = std::fs::read_dir(layout.under(data_dir)).is_ok_and(|mut entries| entries.next().is_some());
    let ours = || {
        journal::read(layout)
            .is_ok_and(|record| record.made.iter().any(|made| made.kind == MadeKind::Tree && made.path == *data_dir))
    };
    match has_content {
        false => EtcdData::None,
        true if ours() => EtcdData::Ours,
        true => EtcdData::Foreign,
    }
}

fn has_stray_etcd_manifest(layout: &Layout, desired: &Desired) -> bool {
    desired.config.etcd.local().is_none() && layout.under(phase::manifest_path(Component::Etcd)).exists()
}

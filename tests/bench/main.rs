//! What init costs over starting the same four binaries by hand, and its files against kubeadm's making of them: run it
//! with `make bench`.
//!
//! Floor and product are measured in turn on the same machine, with the same binaries, flags and kinds of keys, and
//! with the images in the store. ROUNDS sets the number of rounds.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod figures;
mod generate;
mod product;
/// Shared with the tests.
#[path = "../support"]
mod support {
    pub(crate) mod components;
    pub(crate) mod images;
    pub(crate) mod network;
    pub(crate) mod sweep;
}
mod wait;

use std::time::Duration;

use by_hand::ByHand;
use figures::{Figure, judge};
use generate::{ALLOWED_MS, Generate};
use product::Product;
use support::components::{COMPONENTS, ECDSA};

/// kubeadm's default.
const RSA: &str = "encryptionAlgorithm: RSA-2048\n";
const IDLE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Floor {
    ready: Figure,
    healthy: Figure,
    stop: Figure,
}

/// The figures of one kind of key.
#[derive(Default)]
struct Kind {
    ready: Figure,
    done: Figure,
    reset: Figure,
    container: Figure,
}

fn main() {
    let network = support::network::Network::new();
    network.enter();
    let rounds: usize = std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    println!("{rounds} rounds with Kubernetes {}, etcd {}", COMPONENTS.kubernetes_version, COMPONENTS.etcd_version);
    let (mut floor, mut ecdsa, mut rsa) = (Floor::default(), Kind::default(), Kind::default());
    let mut generate = Generate::default();
    let mut idle = None;
    for round in 1..=rounds {
        eprintln!("round {round}");
        generate.round();
        floor.round();
        ecdsa.round(ECDSA, |product| {
            idle.get_or_insert_with(|| product.idle(IDLE));
        });
        rsa.round(RSA, |_| {});
    }
    let idle = idle.unwrap();

    println!("\nfigures");
    generate.print();
    floor.ready.print("by hand: /readyz", "s");
    floor.healthy.print("by hand: all healthy", "s");
    floor.stop.print("by hand: stopped", "s");
    for (kind, name) in [(&ecdsa, "ECDSA-P256"), (&rsa, "RSA-2048")] {
        kind.ready.print(&format!("init, {name}: /readyz"), "s");
        kind.done.print(&format!("init, {name}: returned"), "s");
        kind.reset.print(&format!("reset, {name}"), "s");
        kind.container.print(&format!("container, create to running, {name}"), "ms");
    }

    println!("\nover the floor, against the targets");
    let none = Figure::single(0.0);
    judge("init, ECDSA-P256: /readyz", "s", &ecdsa.ready, &floor.ready, 0.7);
    judge("init, ECDSA-P256: healthy and returned", "s", &ecdsa.done, &floor.healthy, 1.2);
    judge("init, RSA-2048: /readyz", "s", &rsa.ready, &floor.ready, 1.7);
    judge("init, RSA-2048: healthy and returned", "s", &rsa.done, &floor.healthy, 2.2);
    judge("reset", "s", &ecdsa.reset, &floor.stop, 3.0);
    judge("generate, ECDSA-P256: dry run", "ms", &generate.dry_run, &none, ALLOWED_MS);
    judge("generate, ECDSA-P256: written and synced", "ms", &generate.written, &none, ALLOWED_MS);
    generate.judge();
    judge("container, create to running", "ms", &ecdsa.container, &none, 40.0);
    judge("runner, idle: private memory", "MiB", &Figure::single(idle.runner_mib), &none, 12.0);
    judge("runner, idle: CPU", "%", &Figure::single(idle.runner_cpu), &none, 0.5);
    judge("shim, idle: private memory", "MiB", &Figure::single(idle.shim_mib), &none, 2.0);
}

impl Floor {
    fn round(&mut self) {
        let product = Product::new(ECDSA);
        let times = ByHand::round(&product.dry_run());
        self.ready.took(times.ready);
        self.healthy.took(times.healthy);
        self.stop.took(times.stop);
    }
}

impl Kind {
    fn round(&mut self, cluster: &str, look: impl FnOnce(&Product)) {
        let product = Product::new(cluster);
        let init = product.init();
        self.ready.took(init.ready);
        self.done.took(init.done);
        look(&product);
        product.container_starts().into_iter().for_each(|time| self.container.add(time));
        self.reset.took(product.reset());
    }
}

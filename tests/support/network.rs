//! A network of its own for a node: nothing of it is seen outside, and it is gone with the last process in it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// The node's address. Every node may have the same one, since none can reach another.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 2);

/// A network namespace with a loopback, an interface with [`ADDRESS`] and a default route.
#[derive(Debug)]
pub(crate) struct Network {
    own: File,
    /// Where the thread that made it came from, and is again at the end.
    home: File,
}

impl Network {
    pub(crate) fn new() -> Network {
        let home = current();
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root: run `sudo make test`");
        ip("link set lo up");
        // both ends stay in here: the far one is only there so that the near one has a carrier
        ip("link add eth0 type veth peer name far0");
        ip(&format!("address add {ADDRESS}/24 dev eth0"));
        ip("link set far0 up");
        ip("link set eth0 up");
        ip("route add default via 10.80.0.1 dev eth0");
        let own = current();
        setns(&home, CloneFlags::CLONE_NEWNET).unwrap();
        Network { own, home }
    }

    /// Moves the calling thread into it, and with it what the thread starts from now on.
    pub(crate) fn enter(&self) {
        setns(&self.own, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

fn current() -> File {
    File::open("/proc/thread-self/ns/net").unwrap()
}

/// Runs `ip` in the calling thread's network.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.expect("`ip` is missing: apt-get install iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

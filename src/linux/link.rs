//! Network interfaces, addresses and routes, each call in the network namespace of the calling thread.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Error, Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::namespace::in_thread;
use crate::error::{Context, Result};

/// Without it, a namespace cannot talk to itself.
pub const LOOPBACK: &str = "lo";

/// Switches an interface on.
pub fn set_up(name: &str) -> Result<()> {
    connected(async |handle| {
        let link = LinkUnspec::new_with_name(name).up().build();
        handle.link().set(link).execute().await.with_context(|| format!("cannot switch interface `{name}` on"))
    })
}

/// Has a bridge with this address, switched on.
pub fn ensure_bridge(name: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    connected(async |handle| {
        let cannot = || format!("cannot make the bridge `{name}`");
        let bridge = LinkBridge::new(name).address(hardware_address(address)).up().build();
        let made = handle.link().add(bridge).execute().await;
        unless(made, Errno::EEXIST).with_context(cannot)?;
        let index = index_of(handle, name).await?.with_context(cannot)?;
        let added = handle.address().add(index, address.into(), prefix).execute().await;
        unless(added, Errno::EEXIST).with_context(cannot)?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.with_context(cannot)
    })
}

/// Makes a pair of interfaces: `name` here, at the bridge, and `peer` in another network namespace, where it is going to
/// have an address. Both are gone with either, and with that namespace.
pub fn add_pair(name: &str, bridge: &str, peer: &str, address: Ipv4Addr, namespace: &File) -> Result<()> {
    connected(async |handle| {
        let cannot = || format!("cannot make the interface `{name}`");
        let bridge = index_of(handle, bridge).await?.with_context(|| format!("there is no bridge `{bridge}`"))?;
        let far = LinkUnspec::new_with_name(peer)
            .setns_by_fd(namespace.as_raw_fd())
            .address(hardware_address(address))
            .build();
        let pair = LinkVeth::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
            .controller(bridge)
            .up()
            .build();
        handle.link().add(pair).execute().await.with_context(cannot)?;
        let index = index_of(handle, name).await?.with_context(cannot)?;
        // what a pod sends to a port of the node may come back to itself
        let port = LinkBridgePort::new(index).hairpin(true).build();
        handle.link().set_port(port).execute().await.with_context(cannot)
    })
}

/// Gives an interface its address, and sends everything else to `gateway`.
pub fn configure(name: &str, address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> Result<()> {
    connected(async |handle| {
        let cannot = || format!("cannot configure the interface `{name}`");
        let index = index_of(handle, name).await?.with_context(cannot)?;
        handle.address().add(index, address.into(), prefix).execute().await.with_context(cannot)?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.with_context(cannot)?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        handle.route().add(route).execute().await.with_context(cannot)
    })
}

/// Removes an interface; one that is not there is no error.
pub fn remove(name: &str) -> Result<()> {
    connected(async |handle| {
        let Some(index) = index_of(handle, name).await? else { return Ok(()) };
        let removed = handle.link().del(index).execute().await;
        unless(removed, Errno::ENODEV).with_context(|| format!("cannot remove the interface `{name}`"))
    })
}

/// Always the same for an address: neighbours remember it longer than its owner may live.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    // locally administered
    [&[0x02, 0x62], address.octets().as_slice()].concat()
}

async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>> {
    let mut found = handle.link().get().match_name(name).execute();
    match found.try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(error) if is(&error, Errno::ENODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look for the interface `{name}`")),
    }
}

fn unless(done: std::result::Result<(), Error>, accepted: Errno) -> std::result::Result<(), Error> {
    match done {
        Err(error) if is(&error, accepted) => Ok(()),
        done => done,
    }
}

fn is(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::NetlinkError(message) if message.raw_code() == -(errno as i32))
}

/// Does `work` with a connection of its own.
fn connected<T: Send>(work: impl AsyncFnOnce(&Handle) -> Result<T> + Send) -> Result<T> {
    // a thread that is part of an asynchronous runtime cannot have another
    in_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().context("cannot talk to the kernel's network")?;
            let connection = tokio::spawn(connection);
            let done = work(&handle).await;
            connection.abort();
            done
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::linux::namespace::{self, Kind};

    #[test]
    fn two_networks_are_joined_by_a_bridge() {
        let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        namespace::make(&[Kind::Network], there.path(), || Ok(())).unwrap();
        let far = there.path().join("net");
        namespace::make(&[Kind::Network], here.path(), || {
            let gateway = Ipv4Addr::new(10, 1, 2, 1);
            for _ in 0..2 {
                ensure_bridge("br", gateway, 24)?;
            }
            let address = Ipv4Addr::new(10, 1, 2, 3);
            add_pair("near", "br", "eth0", address, &File::open(&far)?)?;
            namespace::within(Kind::Network, &far, || {
                set_up(LOOPBACK)?;
                configure("eth0", address, 24, gateway)?;
                // connected as soon as something listens there
                std::net::UdpSocket::bind("10.1.2.3:0")?.connect("192.0.2.1:9")?;
                Ok(())
            })?;
            std::net::UdpSocket::bind("10.1.2.1:0")?;
            for _ in 0..2 {
                remove("near")?;
                remove("br")?;
            }
            assert!(std::net::UdpSocket::bind("10.1.2.1:0").is_err());
            Ok(())
        })
        .unwrap();
        for directory in [here, there] {
            crate::linux::mount::unmount_below(directory.path()).unwrap();
        }
    }
}

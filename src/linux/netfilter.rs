//! Changes to the kernel's packet filter, all or none of a batch.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};

use crate::error::{Context, Result};

/// `NLMSG_ERROR` of linux/netlink.h: also the acknowledgement.
const ERROR: u16 = 2;
/// Length and type of a message's header; the error's number follows the rest of it.
const HEADER: usize = 16;

/// Carries out a batch of nf_tables messages, of which the last change asks for an acknowledgement, in the network
/// namespace of the calling thread. `ENOENT` and whatever else the kernel says is the error's source.
pub fn commit(batch: &[u8]) -> Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)
        .context("this kernel has no netfilter")?;
    // a batch is one datagram
    if batch.len() > 64 << 10 {
        setsockopt(&socket, sockopt::SndBufForce, &(2 * batch.len())).context("cannot enlarge a socket's buffer")?;
    }
    sendto(socket.as_raw_fd(), batch, &NetlinkAddr::new(0, 0), MsgFlags::empty())
        .context("cannot send to the packet filter")?;
    // the kernel has answered by the time that it takes the batch
    let mut is_acknowledged = false;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error).context("cannot hear from the packet filter"),
        };
        for error in errors(&buffer[..length]) {
            match error {
                0 => is_acknowledged = true,
                error => return Err(Errno::from_raw(-error)).context("the packet filter refuses"),
            }
        }
    }
    anyhow::ensure!(is_acknowledged, "the packet filter does not answer");
    Ok(())
}

/// The errors in a datagram, 0 for an acknowledgement.
fn errors(mut datagram: &[u8]) -> Vec<i32> {
    let mut errors = Vec::new();
    while let Some((length, rest)) = datagram.first_chunk::<4>().map(|length| (u32::from_ne_bytes(*length), datagram)) {
        let length = (length as usize).clamp(HEADER, rest.len().max(HEADER));
        let kind = rest.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
        let error = rest.get(HEADER..HEADER + 4).and_then(|error| error.try_into().ok()).map(i32::from_ne_bytes);
        if let (Some(ERROR), Some(error)) = (kind, error) {
            errors.push(error);
        }
        datagram = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_among_other_messages() {
        let message = |kind: u16, error: i32| {
            let mut bytes = 20u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(error.to_ne_bytes());
            bytes
        };
        let datagram = [message(ERROR, 0), message(3, 7), message(ERROR, -2)].concat();
        assert_eq!(errors(&datagram), [0, -2]);
        assert_eq!(errors(&datagram[..50]), [0]);
        assert!(errors(&[]).is_empty() && errors(&[0; 3]).is_empty());
    }
}

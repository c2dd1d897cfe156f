//! Looks names up, as every program of this machine does: /etc/hosts, then whatever else is set up.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::preflight::machine::Lookup;

/// How long a name server may take before it counts as silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Names that are being looked up. A resolver cannot be interrupted: its thread is left to itself.
#[derive(Debug)]
pub(super) struct Lookups {
    begin: Instant,
    waiting: Vec<String>,
    answers: Receiver<(String, Lookup)>,
}

impl Lookups {
    pub(super) fn begin(names: Vec<String>) -> Lookups {
        let (sender, answers) = channel();
        for name in names.clone() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let found = look_up(&name);
                // nobody waits any more
                let _ = sender.send((name, found));
            });
        }
        Lookups { begin: Instant::now(), waiting: names, answers }
    }

    /// Adds what is answered within `patience`. Whoever has been silent for [`PATIENCE`] altogether has failed.
    pub(super) fn wait(&mut self, patience: Duration, lookups: &mut BTreeMap<String, Lookup>) {
        let left = PATIENCE.saturating_sub(self.begin.elapsed());
        let deadline = Instant::now() + patience.min(left);
        while !self.waiting.is_empty() {
            let Ok((name, found)) = self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                break;
            };
            self.waiting.retain(|waiting| *waiting != name);
            lookups.insert(name, found);
        }
        if self.begin.elapsed() >= PATIENCE {
            let silent = format!("no answer within {} s", PATIENCE.as_secs());
            lookups.extend(self.waiting.drain(..).map(|name| (name, Lookup::Failed(silent.clone()))));
        }
    }
}

fn look_up(name: &str) -> Lookup {
    match (name, 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut addresses: Vec<_> = addresses.map(|address: SocketAddr| address.ip()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            Lookup::Found(addresses)
        }
        Err(error) => {
            let told = error.to_string();
            Lookup::Failed(told.strip_prefix("failed to lookup address information: ").unwrap_or(&told).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_fail_and_silence_has_an_end() {
        let mut lookups = Lookups::begin(vec!["localhost".to_owned()]);
        let mut found = BTreeMap::new();
        lookups.wait(PATIENCE, &mut found);
        let is_loopback =
            |lookup: &Lookup| matches!(lookup, Lookup::Found(ips) if ips.iter().all(|ip| ip.is_loopback()));
        assert!(found.get("localhost").is_some_and(is_loopback), "{found:?}");

        let (_sender, answers) = channel();
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap_or_else(Instant::now);
        let mut silent = Lookups { begin: long_ago, waiting: vec!["n1".to_owned()], answers };
        let mut found = BTreeMap::new();
        silent.wait(Duration::from_secs(60), &mut found);
        assert_eq!(found.get("n1"), Some(&Lookup::Failed("no answer within 2 s".to_owned())));
    }

    #[test]
    fn an_answer_that_is_not_there_yet_is_left_for_later() {
        let (sender, answers) = channel();
        let mut lookups = Lookups { begin: Instant::now(), waiting: vec!["n1".to_owned()], answers };
        let mut found = BTreeMap::new();
        lookups.wait(Duration::ZERO, &mut found);
        assert!(found.is_empty());
        assert!(sender.send(("n1".to_owned(), Lookup::Found(Vec::new()))).is_ok());
        lookups.wait(Duration::ZERO, &mut found);
        assert_eq!(found.get("n1"), Some(&Lookup::Found(Vec::new())));
    }
}

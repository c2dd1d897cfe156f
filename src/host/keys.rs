//! Makes private keys in the background, in the order in which they will be needed, on every core.
//!
//! Finding RSA primes is most of the work of init; nothing has to wait for a key that is needed later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::config::EncryptionAlgorithm;
use crate::desired::issue::Key;
use crate::error::{Context, Result};

/// Keys by the step that needs one.
#[derive(Debug, Default)]
pub struct KeyPool {
    keys: Mutex<HashMap<String, oneshot::Receiver<Result<Key>>>>,
}

impl KeyPool {
    /// Starts making one key for each of the steps named, first come first made.
    pub fn begin(&self, steps: Vec<(String, EncryptionAlgorithm)>) {
        let mut making = Vec::with_capacity(steps.len());
        let mut keys = self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (step, algorithm) in steps {
            let (sender, receiver) = oneshot::channel();
            keys.insert(step, receiver);
            making.push((algorithm, sender));
        }
        drop(keys);
        tokio::spawn(make(making));
    }

    /// The step's key. A step that was not announced gets none.
    pub async fn take(&self, step: &str) -> Result<Key> {
        let key = self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(step);
        let key = key.with_context(|| format!("no key was made for `{step}`"))?;
        key.await.context("the key's maker is gone")?
    }
}

async fn make(steps: Vec<(EncryptionAlgorithm, oneshot::Sender<Result<Key>>)>) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let free = Arc::new(Semaphore::new(cores));
    for (algorithm, sender) in steps {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        tokio::task::spawn_blocking(move || {
            // nobody waits for it any more: the run has failed elsewhere
            if !sender.is_closed() {
                let _ = sender.send(Key::generate(algorithm));
            }
            drop(permit);
        });
    }
}

/// Fresh from the kernel's random number generator.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// A certificate's serial number: 1 to 2^63 − 2, uniform [1.4].
pub fn serial() -> Result<u64> {
    loop {
        let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random numbers: {error}"))? >> 1;
        if (1..=(1 << 63) - 2).contains(&number) {
            return Ok(number);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_announced_step_gets_a_key_of_its_own() {
        let pool = KeyPool::default();
        pool.begin(["a", "b"].map(|step| (step.to_owned(), EncryptionAlgorithm::EcdsaP256)).to_vec());
        let (b, a) = (pool.take("b").await.unwrap(), pool.take("a").await.unwrap());
        assert_ne!(a.public_der(), b.public_der());
        assert!(pool.take("a").await.is_err());
    }
}

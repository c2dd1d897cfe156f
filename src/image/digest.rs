//! Digests of content: the only names that the store trusts.
//!
//! PURE. SHA-256 alone: registries use nothing else, and a second algorithm would be a second way to name one thing.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Prints as `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(content: &[u8]) -> Self {
        Digest(Sha256::digest(content).into())
    }

    /// The 64 hexadecimal digits, lower case.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }

    /// The chain id of a layer: it names the layer *and* everything below it (OCI image specification, `config.md`).
    pub fn chain(parent: Option<&Digest>, diff: &Digest) -> Digest {
        match parent {
            None => *diff,
            Some(parent) => Digest::of(format!("{parent} {diff}").as_bytes()),
        }
    }

    /// The chain ids of layers given by their diff ids, lowest first.
    pub fn chains(diffs: &[Digest]) -> Vec<Digest> {
        let mut chains: Vec<Digest> = Vec::with_capacity(diffs.len());
        for diff in diffs {
            chains.push(Digest::chain(chains.last(), diff));
        }
        chains
    }

    /// Reads 64 hexadecimal digits without the algorithm, as file names have them.
    pub fn from_hex(digits: &str) -> Option<Digest> {
        let lower_case = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        (lower_case && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest of the form `sha256:<64 hexadecimal digits>`")]
pub struct InvalidDigest(String);

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.strip_prefix("sha256:").and_then(Digest::from_hex).ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Digests and counts what is read through it, and fails once more than `limit` bytes have come.
pub struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    count: u64,
    limit: u64,
}

impl<R> fmt::Debug for Hashing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing").field("count", &self.count).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<R: Read> Hashing<R> {
    pub fn new(inner: R, limit: u64) -> Self {
        Hashing { inner, hasher: Sha256::new(), count: 0, limit }
    }

    /// The digest of all that was read.
    pub fn digest(self) -> Digest {
        Digest(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.count += length as u64;
        if self.count > self.limit {
            return Err(io::Error::other(format!("it is larger than {} bytes", self.limit)));
        }
        Ok(length)
    }
}

/// Digests what is given to it piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_reads_what_it_prints() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        for wrong in ["", "sha256:", "sha256:ab", &EMPTY.to_uppercase(), &EMPTY[7..], &format!("{EMPTY}0")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chain_names_everything_below() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chains = Digest::chains(&[a, b]);
        assert_eq!(chains, [a, Digest::of(format!("{a} {b}").as_bytes())]);
        assert_ne!(Digest::chains(&[b, a])[1], chains[1]);
    }

    #[test]
    fn a_reader_is_stopped_at_its_limit() {
        let mut whole = Hashing::new(&b"abc"[..], 3);
        io::copy(&mut whole, &mut io::sink()).unwrap();
        assert_eq!(whole.digest(), Digest::of(b"abc"));
        assert!(io::copy(&mut Hashing::new(&b"abcd"[..], 3), &mut io::sink()).is_err());
    }
}

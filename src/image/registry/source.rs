//! Everything that has a repository: the mirrors in order, then the registry itself.
//!
//! A request that fails for a reason that may pass is tried again after a while; when an endpoint does not get
//! better, the next one is asked. A download goes on where it stopped, also at another endpoint: what counts is the
//! digest of the whole.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::connection::{Connection, Failure};
use crate::error::{Context, Result, chain_of};
use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::Descriptor;

/// Tries at the registry itself: with the pauses between them, about four seconds.
const TRIES: u32 = 4;
/// There is another one to ask.
const TRIES_AT_MIRROR: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A registry may ask for more patience, but not for this much.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where a repository is. The last place is the registry itself.
#[derive(Debug)]
pub struct Source {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    connection: Connection,
    /// It could not be reached in spite of all patience; nothing more is asked of it.
    lost: AtomicBool,
}

/// Nothing is known to be wrong with what was asked for: the registry did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
#[error("the registry is unavailable")]
pub struct Unavailable {
    source: anyhow::Error,
}

/// Whether a pull failed because the registry is unavailable, which the kubelet has a reason for [9.7].
pub fn is_unavailable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Unavailable>())
}

/// Told before every pause: why, and how long.
pub type OnRetry<'a> = dyn Fn(String, Duration) + Send + Sync + 'a;

impl Source {
    pub fn new(connections: Vec<Connection>) -> Source {
        let place = |connection| Place { connection, lost: AtomicBool::new(false) };
        Source { places: connections.into_iter().map(place).collect() }
    }

    /// The manifest or index that a tag or a digest names, with its digest.
    pub async fn manifest(&self, version: &str, on_retry: &OnRetry<'_>) -> Result<(Vec<u8>, Digest)> {
        self.first(on_retry, |connection| Box::pin(connection.manifest(version))).await
    }

    /// A small blob, verified.
    pub async fn blob(&self, digest: &Digest, on_retry: &OnRetry<'_>) -> Result<Vec<u8>> {
        self.first(on_retry, |connection| Box::pin(connection.blob(digest))).await
    }

    /// Downloads a blob into the new file `path` and verifies it. `on_bytes` gets the number of bytes that are there.
    pub async fn download(
        &self,
        blob: &Descriptor,
        path: &Path,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
        on_retry: &OnRetry<'_>,
    ) -> Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).await;
        let file = file.with_context(|| format!("cannot make `{}`", path.display()))?;
        let partial = Mutex::new(Partial { file, written: 0, hasher: Hasher::default() });
        self.first(on_retry, |connection| {
            Box::pin(async { partial.lock().await.fetch(connection, blob, on_bytes).await })
        })
        .await
    }

    async fn first<'s, T>(
        &'s self,
        on_retry: &OnRetry<'_>,
        request: impl Fn(&'s Connection) -> BoxFuture<'s, Result<T, Failure>> + Send,
    ) -> Result<T> {
        let mut passed_over = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let is_last = at + 1 == self.places.len();
            if place.lost.load(Ordering::Relaxed) && !is_last {
                continue;
            }
            let tries = if is_last { TRIES } else { TRIES_AT_MIRROR };
            let (mut pause, mut tried) = (FIRST_PAUSE, 1);
            let failure = loop {
                match request(&place.connection).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failure::Transient(error, asked)) if tried < tries => {
                        let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
                        on_retry(chain_of(&error), wait);
                        tokio::time::sleep(wait).await;
                        (pause, tried) = (pause * 2, tried + 1);
                    }
                    Err(failure) => break failure,
                }
            };
            if matches!(failure, Failure::Transient(..)) {
                place.lost.store(true, Ordering::Relaxed);
            }
            let error = match failure {
                Failure::Transient(source, _) if is_last && !is_unknown_host(&source) => Unavailable { source }.into(),
                failure => failure.into_error(),
            };
            if is_last {
                return Err(match passed_over.is_empty() {
                    true => error,
                    false => error.context(format!("no mirror helped ({})", passed_over.join("; "))),
                });
            }
            tracing::warn!(mirror = place.connection.host(), "{}", chain_of(&error));
            passed_over.push(chain_of(&error));
        }
        unreachable!("every reference has at least its registry to ask")
    }
}

/// A host that cannot be resolved may well be a mistake in the reference. The resolver's error has no type of its own.
fn is_unknown_host(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.to_string() == "dns error")
}

/// A download that may be interrupted.
#[derive(Debug)]
struct Partial {
    file: File,
    written: u64,
    hasher: Hasher,
}

impl Partial {
    async fn fetch(
        &mut self,
        connection: &Connection,
        blob: &Descriptor,
        on_bytes: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        let (mut response, begins) = connection.blob_stream(&blob.digest, self.written).await?;
        if begins != self.written {
            self.restart().await?;
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| connection.transport(error))? {
            if self.written + chunk.len() as u64 > blob.size {
                self.restart().await?;
                return Err(wrong(connection, format!("sent more than the {} bytes of `{}`", blob.size, blob.digest)));
            }
            self.file.write_all(&chunk).await.map_err(disk)?;
            self.hasher.update(&chunk);
            self.written += chunk.len() as u64;
            on_bytes(self.written);
        }
        if self.written < blob.size {
            let error = anyhow::anyhow!("`{}` ended after {} of {} bytes", connection.host(), self.written, blob.size);
            return Err(Failure::Transient(error, None));
        }
        let digest = std::mem::take(&mut self.hasher).digest();
        if digest != blob.digest {
            self.restart().await?;
            return Err(wrong(connection, format!("sent `{digest}` for `{}`", blob.digest)));
        }
        self.file.flush().await.map_err(disk)
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        (self.written, self.hasher) = (0, Hasher::default());
        self.file.rewind().await.map_err(disk)?;
        self.file.set_len(0).await.map_err(disk)
    }
}

fn wrong(connection: &Connection, what: String) -> Failure {
    Failure::Final(anyhow::anyhow!("`{}` {what}", connection.host()))
}

fn disk(error: std::io::Error) -> Failure {
    Failure::Final(anyhow::Error::from(error).context("cannot store the download"))
}

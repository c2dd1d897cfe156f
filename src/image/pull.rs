//! From a reference to an image in the store.
//!
//! ```text
//! reference ─► manifest (by tag) ─► index? choose the platform ─► manifest ─► configuration ─┐
//!                                                                                             ▼
//!   layers, four at a time:  in the store? ─► download, verify ─► unpack, verify ─► stack in order ─► commit
//! ```
//!
//! A [`Puller`] pulls one image after the other, as the kubelet does [9.4]: images share their lower layers, and the
//! second then finds them. An interrupted pull leaves nothing half; the layers that were whole are found by the next.

use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;

use super::digest::Digest;
use super::manifest::{self, Configuration, Descriptor, Manifest, Platform};
use super::policy::PullPolicy;
use super::reference::Reference;
use super::registry::connection::{Clients, Connection};
use super::registry::credentials::{Credential, Credentials};
use super::registry::settings::Registries;
use super::registry::source::Source;
use super::staging::{Draft, Layer, Staging, UnpackedLayer};
use super::store::{Image, Store};
use super::unpack::Limits;
use crate::error::{Context, Fault, Result, hint_of};
use crate::layout::Layout;

const LAYERS_AT_ONCE: usize = 4;

/// Is told what happens to an image, in any thread.
pub trait Progress: Send + Sync {
    fn on(&self, image: &Reference, event: Event);
}

/// Nobody looks.
impl Progress for () {
    fn on(&self, _image: &Reference, _event: Event) {}
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The image and the bytes of its layers as they are transferred.
    Resolved {
        digest: Digest,
        layers: Vec<(Digest, u64)>,
    },
    /// The store has this layer already.
    Present {
        layer: Digest,
    },
    /// `done` of `total` bytes are there.
    Downloading {
        layer: Digest,
        done: u64,
        total: u64,
    },
    Unpacking {
        layer: Digest,
    },
    Unpacked {
        layer: Digest,
    },
    Retrying {
        reason: String,
        pause: Duration,
    },
    /// The image is in the store, and the registry had nothing new.
    UpToDate,
    Done,
}

/// Brings images into the store. One for a process; shared by reference.
#[derive(Debug)]
pub struct Puller {
    store: Store,
    registries: Registries,
    credentials: Credentials,
    clients: OnceLock<Clients>,
    turn: tokio::sync::Mutex<()>,
}

impl Puller {
    pub fn new(store: Store, registries: Registries, credentials: Credentials) -> Puller {
        Puller { store, registries, credentials, clients: OnceLock::new(), turn: tokio::sync::Mutex::new(()) }
    }

    /// With the settings of the instance and the credentials of the user.
    pub fn open(layout: &Layout) -> Result<Puller> {
        Ok(Puller::new(Store::open(layout), Registries::load(layout)?, Credentials::of_user(layout)))
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The image, pulled if the policy wants it. Cancel-safe: whatever was begun is cleared away.
    pub async fn ensure(&self, reference: &Reference, policy: PullPolicy, progress: &dyn Progress) -> Result<Image> {
        self.ensure_as(reference, policy, None, progress).await
    }

    /// `credential` is for the image's own registry, before any that the user has; no mirror sees it.
    pub async fn ensure_as(
        &self,
        reference: &Reference,
        policy: PullPolicy,
        credential: Option<&Credential>,
        progress: &dyn Progress,
    ) -> Result<Image> {
        let present = || self.store.get(reference);
        match policy {
            PullPolicy::Always => {}
            PullPolicy::IfNotPresent => {
                if let Some(image) = present()? {
                    return Ok(image);
                }
            }
            PullPolicy::Never => {
                return present()?.ok_or_else(|| {
                    Fault::failed(format!("image `{reference}` is not present and may not be pulled"))
                        .hint(format!("`bootstrap images pull {reference}`, or `bootstrap images import FILE`"))
                        .into()
                });
            }
        }
        let _turn = self.turn.lock().await;
        // whoever had the turn before may have pulled this very image
        if policy == PullPolicy::IfNotPresent
            && let Some(image) = present()?
        {
            return Ok(image);
        }
        let source =
            self.source(reference, credential).await.with_context(|| format!("cannot pull image `{reference}`"))?;
        // a wrong image in a registry is no mistake of whoever asked for it
        let pulled = self.pull(reference, source, progress).await;
        pulled.map_err(|error| {
            let fault = Fault::failed(format!("cannot pull image `{reference}`"));
            // what the registry's answer suggests is nearer to the cause
            let fault = match hint_of(&error) {
                Some(_) => fault,
                None => {
                    fault.hint("`bootstrap images import FILE` takes it from an archive, `--mirror` from elsewhere")
                }
            };
            fault.because(error).into()
        })
    }

    async fn pull(&self, reference: &Reference, source: Source, progress: &dyn Progress) -> Result<Image> {
        let on_retry = |reason, pause| progress.on(reference, Event::Retrying { reason, pause });
        let version = reference.digest().map(ToString::to_string).or(reference.tag().map(str::to_owned));
        let version = version.context("a reference without tag and digest")?;
        let (content, digest) = source.manifest(&version, &on_retry).await?;
        let mut digests = vec![digest];
        if let Some(image) = self.unchanged(reference, &digest)? {
            progress.on(reference, Event::UpToDate);
            return Ok(image);
        }
        let mut manifest = Manifest::parse(&content)?;
        if let Manifest::Index(entries) = &manifest {
            let entry = manifest::choose(entries, &Platform::this())?;
            let (content, digest) = source.manifest(&entry.digest.to_string(), &on_retry).await?;
            digests.push(digest);
            manifest = Manifest::parse(&content)?;
        }
        let Manifest::Image(manifest) = manifest else {
            return Err(Fault::failed("its index names another index").into());
        };
        let content = source.blob(&manifest.config.digest, &on_retry).await?;
        let configuration = Configuration::parse(&content)?;
        configuration.check_platform()?;
        let layers = configuration.layers(&manifest)?;
        progress.on(
            reference,
            Event::Resolved { digest, layers: layers.iter().map(|(blob, _)| (blob.digest, blob.size)).collect() },
        );

        let staging = {
            let store = self.store.clone();
            blocking(move || Staging::new(&store)).await?
        };
        let staging = Arc::new(staging);
        let chains = Digest::chains(&configuration.diff_ids);
        let fetched = layers.iter().zip(chains).map(|((blob, diff_id), chain)| {
            fetch(&source, Arc::clone(&staging), blob, *diff_id, chain, |event| progress.on(reference, event))
        });
        let mut fetched = futures_util::stream::iter(fetched.collect::<Vec<_>>()).buffered(LAYERS_AT_ONCE);
        let mut stacked: Vec<Layer> = Vec::new();
        while let Some(layer) = fetched.next().await {
            let stack = match layer {
                Ok(Fetched::Present(layer)) => Ok(layer),
                Ok(Fetched::Unpacked(layer)) => staging.stack(layer, &stacked),
                Err(error) => Err(error),
            };
            match stack {
                Ok(layer) => stacked.push(layer),
                Err(error) => {
                    drop(fetched);
                    // the next attempt need not fetch these again; the failure is what counts
                    let _ = blocking(move || staging.keep(&stacked)).await;
                    return Err(error);
                }
            }
        }
        drop(fetched);
        let references = [reference.clone()];
        let image = blocking(move || {
            let (references, digests) = (&references[..], &digests[..]);
            staging.commit(&Draft { references, configuration: &content, digests, layers: &stacked })
        })
        .await?;
        progress.on(reference, Event::Done);
        Ok(image)
    }

    /// The stored image, if it is what the registry names now.
    fn unchanged(&self, reference: &Reference, digest: &Digest) -> Result<Option<Image>> {
        let image = self.store.get(reference)?;
        let expected = format!("{}@{digest}", reference.name());
        Ok(image.filter(|image| image.repo_digest.as_ref() == Some(&expected)))
    }

    async fn source(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Source> {
        let clients = match self.clients.get() {
            Some(clients) => clients.clone(),
            None => {
                let registries = self.registries.clone();
                let clients = blocking(move || Clients::new(&registries)).await?;
                self.clients.get_or_init(|| clients).clone()
            }
        };
        let (endpoints, credentials) = (self.registries.endpoints(reference), self.credentials.clone());
        let own = credential.cloned();
        blocking(move || {
            // the registry itself comes last
            let registry = endpoints.len().saturating_sub(1);
            let connect = |(index, endpoint)| {
                let credential = match &own {
                    Some(own) if index == registry => Some(own.clone()),
                    _ => credentials.find(&endpoint)?,
                };
                Ok(Connection::new(&clients, endpoint, credential))
            };
            Ok(Source::new(endpoints.into_iter().enumerate().map(connect).collect::<Result<_>>()?))
        })
        .await
    }
}

enum Fetched {
    Present(Layer),
    Unpacked(UnpackedLayer),
}

/// Brings one layer to the staging directory, unless the store has it.
async fn fetch(
    source: &Source,
    staging: Arc<Staging>,
    blob: &Descriptor,
    diff_id: Digest,
    chain: Digest,
    tell: impl Fn(Event) + Send + Sync,
) -> Result<Fetched> {
    let layer = blob.digest;
    let asked = Arc::clone(&staging);
    if let Some(found) = blocking(move || asked.find(&chain)).await? {
        tell(Event::Present { layer });
        return Ok(Fetched::Present(found));
    }
    // two layers of one image may be the same blob
    let path = staging.path().join(format!("blob-{}", chain.hex()));
    let on_bytes = |done| tell(Event::Downloading { layer, done, total: blob.size });
    let on_retry = |reason, pause| tell(Event::Retrying { reason, pause });
    source.download(blob, &path, &on_bytes, &on_retry).await?;
    tell(Event::Unpacking { layer });
    let unpacked = blocking(move || {
        let unpacked = staging.unpack(File::open(&path)?, &diff_id, &Limits::default());
        std::fs::remove_file(&path)?;
        unpacked
    })
    .await
    .with_context(|| format!("cannot unpack layer `{layer}`"))?;
    tell(Event::Unpacked { layer });
    Ok(Fetched::Unpacked(unpacked))
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a task panicked")?
}

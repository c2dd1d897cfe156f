//! Images as the runtime lists, pulls and forgets them.

use std::collections::BTreeMap;

use super::{Credential, Embedded, ImageStatus, RuntimeError, RuntimeResult, blocking, reference, status_of};
use crate::image::policy::PullPolicy;
use crate::runner::runtime::Image;

impl Embedded {
    pub(super) async fn pull(&self, image: &str, credential: Option<&Credential>) -> RuntimeResult<ImageStatus> {
        let failed = |source| RuntimeError::PullFailed { image: image.to_owned(), source };
        let pulled = self.inner.puller.ensure_as(&reference(image)?, PullPolicy::Always, credential, &()).await;
        Ok(status_of(&pulled.map_err(failed)?))
    }

    pub(super) async fn stored_images(&self) -> RuntimeResult<Vec<Image>> {
        let store = self.inner.puller.store().clone();
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        for stored in blocking(move || store.list()).await?? {
            let id = stored.id.to_string();
            let image = images.entry(id.clone()).or_insert_with(|| Image {
                id,
                references: Vec::new(),
                repo_digests: Vec::new(),
                size: stored.size,
                user: stored.config.user.clone(),
            });
            image.references.push(stored.reference.to_string());
            image.repo_digests.extend(stored.repo_digest.filter(|digest| !image.repo_digests.contains(digest)));
        }
        Ok(images.into_values().collect())
    }

    pub(super) async fn forget_image(&self, image: &str) -> RuntimeResult<()> {
        let (store, reference) = (self.inner.puller.store().clone(), reference(image)?);
        blocking(move || store.remove(&reference)).await??;
        Ok(())
    }
}

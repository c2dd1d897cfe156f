//! `runtime.v1.ImageService`.

use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::convert::credential::credential;
use super::convert::{answer, is_from_cri};
use super::select;
use super::status::{missing, status};
use super::v1::image_service_server::ImageService;
use super::{Cri, v1};
use crate::runner::runtime::{Container, Image, Runtime};

impl<R: Runtime> Cri<R> {
    pub(super) async fn images(&self) -> Result<Vec<Image>, Status> {
        self.runtime().list_images().await.map_err(status)
    }

    /// Containers of manifests: their images are not a client's to remove.
    async fn of_manifests(&self) -> Result<Vec<Container>, Status> {
        let sandboxes = self.runtime().list_pod_sandboxes().await.map_err(status)?;
        let mut containers = self.runtime().list_containers().await.map_err(status)?;
        containers.retain(|container| {
            let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == container.sandbox_id);
            sandbox.is_some_and(|sandbox| !is_from_cri(&sandbox.config))
        });
        Ok(containers)
    }

    async fn listed(&self, filter: Option<v1::ImageFilter>) -> Result<Vec<v1::Image>, Status> {
        let (images, users) = (self.images().await?, self.of_manifests().await?);
        let name = filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
        let chosen: Vec<&Image> = match name.as_str() {
            "" => images.iter().collect(),
            name => select::image(&images, name).map(|(image, _)| image).into_iter().collect(),
        };
        let is_used = |image: &Image| users.iter().any(|container| container.image_id == image.id);
        Ok(chosen.into_iter().map(|image| answer::image(image, is_used(image))).collect())
    }
}

fn named(image: Option<v1::ImageSpec>) -> Result<String, Status> {
    let name = image.map(|image| image.image).unwrap_or_default();
    if name.is_empty() { Err(Status::invalid_argument("`image`: no image is named")) } else { Ok(name) }
}

#[tonic::async_trait]
impl<R: Runtime> ImageService for Cri<R> {
    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let images = self.listed(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListImagesResponse { images }))
    }

    type StreamImagesStream = BoxStream<'static, Result<v1::StreamImagesResponse, Status>>;

    async fn stream_images(
        &self,
        request: Request<v1::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let images = self.listed(request.into_inner().filter).await?;
        let messages = images.into_iter().map(|image| Ok(v1::StreamImagesResponse { images: vec![image] }));
        Ok(Response::new(Box::pin(stream::iter(messages.collect::<Vec<_>>()))))
    }

    /// Without an image where there is none: that is no error.
    async fn image_status(
        &self,
        request: Request<v1::ImageStatusRequest>,
    ) -> Result<Response<v1::ImageStatusResponse>, Status> {
        let name = named(request.into_inner().image)?;
        let image = Some(v1::ImageSpec { image: name, ..Default::default() });
        let image = self.listed(Some(v1::ImageFilter { image })).await?.pop();
        Ok(Response::new(v1::ImageStatusResponse { image, info: Default::default() }))
    }

    async fn pull_image(
        &self,
        request: Request<v1::PullImageRequest>,
    ) -> Result<Response<v1::PullImageResponse>, Status> {
        let asked = request.into_inner();
        let name = named(asked.image)?;
        let credential = credential(&asked.auth.unwrap_or_default()).map_err(Status::invalid_argument)?;
        let pulled = match credential {
            Some(credential) => self.runtime().pull_image_as(&name, &credential).await,
            None => self.runtime().pull_image(&name).await,
        };
        let image_ref = pulled.map_err(status)?.id;
        Ok(Response::new(v1::PullImageResponse { image_ref }))
    }

    /// A tag or a digest removes that name, an id every name of the image. What a manifest's container was made of stays.
    async fn remove_image(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageResponse>, Status> {
        let name = named(request.into_inner().image)?;
        let images = self.images().await?;
        let (image, reference) = match select::image(&images, &name) {
            Ok(found) => found,
            Err(select::Miss::Absent) => return Ok(Response::new(v1::RemoveImageResponse {})),
            Err(miss) => return Err(missing("image", &name, &miss)),
        };
        if let Some(user) = self.of_manifests().await?.iter().find(|container| container.image_id == image.id) {
            let (name, container) = (&user.config.image, &user.config.name);
            let message = format!("image `{name}` is that of container `{container}`, which belongs to a manifest");
            return Err(Status::failed_precondition(message));
        }
        for reference in image.references.iter().filter(|of| reference.is_none_or(|meant| meant == *of)) {
            self.runtime().remove_image(reference).await.map_err(status)?;
        }
        Ok(Response::new(v1::RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _: Request<v1::ImageFsInfoRequest>,
    ) -> Result<Response<v1::ImageFsInfoResponse>, Status> {
        let (info, now) = (self.runtime().image_fs_info().await.map_err(status)?, Timestamp::now());
        Ok(Response::new(v1::ImageFsInfoResponse {
            image_filesystems: vec![answer::filesystem(&info.images, now)],
            container_filesystems: vec![answer::filesystem(&info.containers, now)],
        }))
    }
}

//! The CRI's requests: what is accepted comes back as it was asked for, and leads out of no directory; what is not is
//! refused by its fields; no message shows a password.
#![no_main]

use bootstrap::layout::Layout;
use bootstrap::runner::cri::convert::credential::credential;
use bootstrap::runner::cri::convert::{self, CRI, OWNER, answer};
use bootstrap::runner::cri::{select, v1};
use bootstrap::runner::runtime::{
    Container, ContainerState, Image, NamespaceOptions, PodSandbox, PodSandboxConfig, SandboxState,
};
use bootstrap_fuzz::{assert_hidden, bounded, now};
use libfuzzer_sys::{Corpus, fuzz_target};
use prost::Message;

// the first byte chooses the message
fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, message)) = data.split_first() else { return Corpus::Reject };
    let is_message = match choice {
        0 => v1::RunPodSandboxRequest::decode(message).map(|asked| run_sandbox(&asked)),
        1 => v1::CreateContainerRequest::decode(message).map(|asked| create_container(&asked)),
        2 => v1::AuthConfig::decode(message).map(|asked| log_in(&asked)),
        3 => v1::UpdateContainerResourcesRequest::decode(message).map(|asked| {
            let _ = bounded(|| convert::changed_resources(&asked.linux.unwrap_or_default()));
        }),
        _ => return Corpus::Reject,
    };
    if is_message.is_ok() { Corpus::Keep } else { Corpus::Reject }
});

fn run_sandbox(asked: &v1::RunPodSandboxRequest) {
    let config = asked.config.clone().unwrap_or_default();
    match bounded(|| convert::sandbox::config(&config, &asked.runtime_handler, "node", &Layout::default())) {
        Err(problems) => assert_named(&problems),
        Ok(converted) => {
            assert_eq!(converted.annotations.get(OWNER).map(String::as_str), Some(CRI));
            if config.log_directory.is_empty() {
                let parent = converted.log_directory.parent();
                assert_eq!(parent, Some(Layout::default().pod_logs().as_path()), "logs elsewhere");
            }
            let sandbox = sandbox(converted);
            assert!(select::is_sandbox_in(None, &sandbox));
            let status = bounded(|| answer::sandbox_status(&sandbox));
            assert_eq!(status.metadata, config.metadata);
            assert_eq!(status.labels, config.labels);
        }
    }
}

fn create_container(asked: &v1::CreateContainerRequest) {
    let config = asked.config.clone().unwrap_or_default();
    let image = Image {
        id: format!("sha256:{}", "a".repeat(64)),
        references: vec!["docker.io/library/busybox:latest".to_owned()],
        repo_digests: Vec::new(),
        size: 0,
        user: Some("app".to_owned()),
    };
    let name = config.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default();
    let _ = bounded(|| select::image(std::slice::from_ref(&image), name).map(|_| ()));
    let namespaces = NamespaceOptions { host_network: true, ..Default::default() };
    match bounded(|| convert::container::config(&config, &image, &image.references[0], namespaces)) {
        Err(problems) => assert_named(&problems),
        Ok(converted) => {
            let container = Container {
                id: "c".to_owned(),
                sandbox_id: "p".to_owned(),
                image_id: image.id.clone(),
                created_at: now(),
                state: ContainerState::Created,
                config: converted,
            };
            let pod = convert::sandbox::config(&named_sandbox(), "", "node", &Layout::default()).expect("a sandbox");
            let status = bounded(|| answer::container_status(&container, &sandbox(pod)));
            assert_eq!(status.metadata, config.metadata);
            assert_eq!(status.mounts.len(), config.mounts.len());
        }
    }
}

fn log_in(asked: &v1::AuthConfig) {
    if let Err(message) = bounded(|| credential(asked)) {
        for secret in [&asked.password, &asked.auth, &asked.registry_token, &asked.identity_token] {
            // a short one is in a message by chance
            if secret.len() >= 24 {
                assert_hidden(secret, &message);
            }
        }
    }
}

fn sandbox(config: PodSandboxConfig) -> PodSandbox {
    PodSandbox { id: "p".to_owned(), state: SandboxState::Ready, created_at: now(), ips: Vec::new(), config }
}

fn named_sandbox() -> v1::PodSandboxConfig {
    let metadata = v1::PodSandboxMetadata {
        name: "a".to_owned(),
        uid: "u".to_owned(),
        namespace: "default".to_owned(),
        attempt: 0,
    };
    v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() }
}

/// Whoever is refused is told which field is the reason.
fn assert_named(problems: &str) {
    assert!(problems.starts_with('`') && problems.contains("`: "), "no field is named: {problems}");
}

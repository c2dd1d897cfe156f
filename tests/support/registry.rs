//! A real registry on a loopback port of its own, and images to push to it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bootstrap::image::digest::Digest;
use bootstrap::image::registry::connection::Clients;
use bootstrap::image::registry::settings::Registries;
use reqwest::header::LOCATION;
use serde_json::json;

/// An image as a registry has it.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) configuration: Vec<u8>,
    /// Compressed.
    pub(crate) layers: Vec<Vec<u8>>,
    plain: Vec<Vec<u8>>,
}

impl Content {
    /// One layer for each name, with a file of that name and content; the first is the entrypoint.
    pub(crate) fn new(names: &[&str]) -> Content {
        let architecture = bootstrap::image::manifest::Platform::this().architecture;
        Content::for_machine(names, &architecture)
    }

    pub(crate) fn for_machine(names: &[&str], architecture: &str) -> Content {
        let plain = names.iter().map(|name| layer(name)).collect();
        Content::of(plain, json!({"Entrypoint": [format!("/{}", names[0])]}), architecture)
    }

    /// Of layers as tar archives, with the process that a configuration names.
    pub(crate) fn of(plain: Vec<Vec<u8>>, process: serde_json::Value, architecture: &str) -> Content {
        let pack = |(number, layer): (usize, &Vec<u8>)| match number % 3 {
            0 => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(layer).unwrap();
                gzip.finish().unwrap()
            }
            1 => zstd::encode_all(&layer[..], 1).unwrap(),
            _ => layer.clone(),
        };
        let layers = plain.iter().enumerate().map(pack).collect();
        let diff_ids: Vec<_> = plain.iter().map(|layer| Digest::of(layer)).collect();
        let configuration = serde_json::to_vec(&json!({
            "os": "linux", "architecture": architecture,
            "config": process,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }));
        Content { configuration: configuration.unwrap(), layers, plain }
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let descriptor = |kind: &str, content: &[u8]| json!({"mediaType": kind, "digest": Digest::of(content), "size": content.len()});
        let layer = |layer: &Vec<u8>| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer);
        serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &self.configuration),
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    /// Writes it as `docker save` does.
    pub(crate) fn save(&self, path: &Path, reference: &str) {
        let config = format!("{}.json", Digest::of(&self.configuration).hex());
        let names: Vec<_> = (0..self.plain.len()).map(|number| format!("{number}/layer.tar")).collect();
        let manifest = json!([{"Config": config, "RepoTags": [reference], "Layers": names}]).to_string();
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content).unwrap();
        };
        names.iter().zip(&self.plain).for_each(|(name, layer)| add(name, layer));
        add(&config, &self.configuration);
        add("manifest.json", manifest.as_bytes());
        tar.finish().unwrap();
    }
}

fn layer(name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    };
    add(name, name.as_bytes());
    // does not compress, so that it takes more than one read
    let noise: Vec<u8> =
        (0..4096u32).flat_map(|number| Digest::of(format!("{name}{number}").as_bytes()).hex().into_bytes()).collect();
    add(&format!("{name}.noise"), &noise);
    tar.into_inner().unwrap()
}

/// Debian's docker-registry.
pub(crate) struct Registry {
    child: Child,
    /// Its configuration, and what it stores unless that is elsewhere.
    directory: tempfile::TempDir,
    pub(crate) host: String,
    credentials: Option<(String, String)>,
}

impl Registry {
    pub(crate) fn start() -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        Registry::start_with(directory, &data, "", None)
    }

    /// In the calling thread's network, with what is stored in a directory that others may use at the same time.
    pub(crate) fn of(data: &Path) -> Registry {
        Registry::start_with(tempfile::tempdir().unwrap(), data, "", None)
    }

    /// With TLS by an authority of its own, and one user.
    pub(crate) fn start_private(user: &str, password: &str) -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        fs::write(path("ca.crt"), authority.pem()).unwrap();
        let issuer = rcgen::Issuer::new(parameters, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(path("tls.crt"), server.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(path("tls.key"), key.serialize_pem()).unwrap();
        let output = Command::new("htpasswd").args(["-Bbn", user, password]).output();
        let output = output.expect("htpasswd is missing: apt-get install apache2-utils");
        fs::write(path("htpasswd"), output.stdout).unwrap();
        let more = format!(
            "  tls: {{certificate: {0}/tls.crt, key: {0}/tls.key}}\nauth:\n  htpasswd: {{realm: r, path: {0}/htpasswd}}\n",
            directory.path().display()
        );
        let data = directory.path().join("data");
        Registry::start_with(directory, &data, &more, Some((user.to_owned(), password.to_owned())))
    }

    fn start_with(
        directory: tempfile::TempDir,
        data: &Path,
        more: &str,
        credentials: Option<(String, String)>,
    ) -> Registry {
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: 127.0.0.1:0\n{more}",
            data.display()
        );
        let path = directory.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("docker-registry is missing: apt-get install docker-registry");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = String::new();
        let host = log.find_map(|line| {
            seen.push_str(&line);
            seen.push('\n');
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', ',', ' ']).next().unwrap().to_owned())
        });
        let host = host.unwrap_or_else(|| panic!("the registry did not start:\n{seen}"));
        // it must be able to write on
        std::thread::spawn(move || log.for_each(drop));
        Registry { child, directory, host, credentials }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Pushes the image below an index that also names another platform; returns the index's digest.
    pub(crate) fn push(&self, repository: &str, tag: &str, content: &Content) -> Digest {
        let work = async {
            let private = self.credentials.is_some();
            let ca_files = if private { vec![self.authority()] } else { Vec::new() };
            let clients = Clients::new(&Registries { ca_files, ..Registries::default() }).unwrap();
            let client = clients.for_host(&self.host);
            let base = format!("{}://{}/v2/{repository}", if private { "https" } else { "http" }, self.host);
            let send = async |request: reqwest::RequestBuilder| {
                let request = match &self.credentials {
                    Some((user, password)) => request.basic_auth(user, Some(password)),
                    None => request,
                };
                let response = request.send().await.unwrap();
                assert!(response.status().is_success(), "{response:?}");
                response
            };
            for blob in content.layers.iter().chain([&content.configuration]) {
                let response = send(client.post(format!("{base}/blobs/uploads/"))).await;
                let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
                let put = client.put(location).query(&[("digest", Digest::of(blob).to_string())]);
                send(put.body(blob.clone())).await;
            }
            let put_manifest = async |name: &str, kind: &str, body: &[u8]| {
                let put = client.put(format!("{base}/manifests/{name}")).header("Content-Type", kind);
                send(put.body(body.to_vec())).await;
            };
            let manifest = content.manifest();
            let kind = "application/vnd.oci.image.manifest.v1+json";
            put_manifest(&Digest::of(&manifest).to_string(), kind, &manifest).await;
            let configuration: serde_json::Value = serde_json::from_slice(&content.configuration).unwrap();
            let index = serde_json::to_vec(&json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [{
                    "mediaType": kind, "digest": Digest::of(&manifest), "size": manifest.len(),
                    "platform": {"os": "linux", "architecture": configuration["architecture"]},
                }],
            }))
            .unwrap();
            put_manifest(tag, "application/vnd.oci.image.index.v1+json", &index).await;
            Digest::of(&index)
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

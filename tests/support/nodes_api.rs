//! A client of the node's own API.

use std::fs;

use super::Run;
use super::network::ADDRESS;
use super::node::Node;

/// An answer of the node's API: its status and its body.
pub(crate) fn ask(node: &Node, path: &str, credentials: &[&str]) -> (u16, String) {
    get(node, &format!("https://{ADDRESS}:10250{path}"), credentials)
}

/// The same of any address that the node reaches; the status is 0 where nobody answers.
pub(crate) fn get(node: &Node, url: &str, options: &[&str]) -> (u16, String) {
    let mut command = node.other("curl".as_ref());
    command.args(["--silent", "--insecure", "--max-time", "60", "--write-out", "\n%{http_code}"]).args(options);
    command.arg(url);
    let run = Run::of(command);
    let (body, status) = run.stdout.rsplit_once('\n').unwrap_or_default();
    (status.parse().unwrap_or_default(), body.to_owned())
}

/// Gives a node without a control plane an authority, and its superuser's credentials.
pub(crate) fn superuser(node: &Node) -> [String; 4] {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pki = node.path("etc/kubernetes/pki");
    fs::create_dir_all(&pki).unwrap();
    fs::write(pki.join("ca.crt"), parameters.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);

    let key = rcgen::KeyPair::generate().unwrap();
    let mut user = rcgen::CertificateParams::default();
    user.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    user.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    user.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let file = |name: &str, text: String| {
        let path = node.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = file("superuser.crt", user.signed_by(&key, &issuer).unwrap().pem());
    let key = file("superuser.key", key.serialize_pem());
    ["--cert".to_owned(), certificate, "--key".to_owned(), key]
}

//! `certs` and `kubeconfig` on a machine whose control plane does not run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use serde_json::Value;

use super::{Machine, unpack};
use crate::support::openssl::{run, say};
use crate::support::picture;

/// What a renewal does not know is said in the file.
fn config(machine: &Machine) -> String {
    format!("--config={}", machine.directory.path().join("config.yaml").display())
}

fn files(machine: &Machine) -> BTreeMap<PathBuf, String> {
    picture(&machine.path(""))
}

/// Names of what differs, below `etc/kubernetes`.
fn changed(before: &BTreeMap<PathBuf, String>, machine: &Machine) -> Vec<String> {
    let after = files(machine);
    let names = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    let mut names: Vec<_> = names.map(|path| path.to_string_lossy().into_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn expirations(machine: &Machine) -> Value {
    let run = machine.run(&["certs", "check-expiration", "-o", "json", &config(machine)]).succeeds();
    serde_json::from_str(&run.stdout).unwrap()
}

/// The entry of a certificate or an authority.
fn entry(machine: &Machine, name: &str) -> Value {
    let info = expirations(machine);
    let lists = ["certificates", "certificateAuthorities"].map(|list| info[list].as_array().unwrap().clone());
    lists.concat().into_iter().find(|entry| entry["name"] == name).unwrap()
}

#[test]
fn expirations_have_kubeadms_form_for_programs() {
    let machine = Machine::made("");
    let info = expirations(&machine);
    assert_eq!(info["kind"], "CertificateExpirationInfo");
    assert_eq!(info["apiVersion"], "output.kubeadm.k8s.io/v1alpha3");
    let names = |list: &str| -> Vec<String> {
        info[list].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    let certificates = [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "kubelet.conf",
        "scheduler.conf",
        "super-admin.conf",
    ];
    assert_eq!(names("certificates"), certificates);
    assert_eq!(names("certificateAuthorities"), ["ca", "front-proxy-ca", "etcd-ca"]);
    for entry in info["certificates"].as_array().unwrap() {
        assert!(entry["expirationDate"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{entry}");
        let left = entry["residualTime"].as_i64().unwrap();
        assert!((8759 * 3600..=8760 * 3600).contains(&left), "{entry}");
        assert_eq!((&entry["externallyManaged"], &entry["missing"]), (&Value::Bool(false), &Value::Bool(false)));
        assert!(["ca", "etcd-ca", "front-proxy-ca"].contains(&entry["caName"].as_str().unwrap()), "{entry}");
        assert_eq!((&entry["state"], &entry["problems"]), (&Value::from("valid"), &Value::Array(Vec::new())));
    }
    let yaml = machine.run(&["certs", "check-expiration", "-o", "yaml", &config(&machine)]).succeeds().stdout;
    assert!(yaml.starts_with("kind: CertificateExpirationInfo\n") && yaml.contains("- name: admin.conf\n"), "{yaml}");
}

#[test]
fn expirations_are_shown_in_kubeadms_columns() {
    let machine = Machine::made("");
    fs::remove_file(machine.path("pki/etcd/peer.crt")).unwrap();
    fs::remove_file(machine.path("pki/front-proxy-ca.key")).unwrap();
    let text = machine.run(&["certs", "check-expiration", &config(&machine)]).succeeds().stdout;
    let (certificates, authorities) = text.split_once("\n\n").unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = certificates.lines().map(words).collect();
    assert_eq!(rows[0].join(" "), "CERTIFICATE EXPIRES RESIDUAL TIME CERTIFICATE AUTHORITY EXTERNALLY MANAGED STATE");
    let row = |name: &str| rows.iter().find(|row| row.contains(&name.to_owned())).unwrap().join(" ");
    assert!(row("apiserver").ends_with(" UTC 364d ca no ok"), "{}", row("apiserver"));
    assert!(row("front-proxy-client").ends_with(" UTC 364d front-proxy-ca yes ok"), "{}", row("front-proxy-client"));
    assert_eq!(row("etcd-peer"), "!MISSING! etcd-peer");
    let rows: Vec<_> = authorities.lines().map(words).collect();
    assert_eq!(rows[0].join(" "), "CERTIFICATE AUTHORITY EXPIRES RESIDUAL TIME EXTERNALLY MANAGED STATE");
    assert!(rows[2].join(" ").starts_with("front-proxy-ca ") && rows[2].join(" ").ends_with(" 9y yes ok"));
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_its_expiration() {
    let (machine, other) = (Machine::made("certificateValidityPeriod: 24h\n"), Machine::made(""));
    for (name, state) in [("apiserver", "valid"), ("ca", "valid")] {
        assert_eq!(entry(&machine, name)["state"], state, "{name}");
    }
    let copy = |from: PathBuf, to: &str| fs::copy(from, machine.path(to)).unwrap();
    copy(other.path("pki/apiserver.crt"), "pki/apiserver.crt");
    copy(machine.path("pki/sa.key"), "pki/etcd/server.key");
    copy(other.path("admin.conf"), "admin.conf");
    copy(machine.path("pki/apiserver-etcd-client.crt"), "pki/etcd/ca.crt");
    fs::remove_file(machine.path("pki/front-proxy-client.key")).unwrap();
    fs::write(machine.path("scheduler.conf"), "nonsense").unwrap();
    for (name, problem) in [
        ("apiserver", "it is not signed by its certificate authority"),
        ("etcd-server", "it and the private key beside it do not belong together"),
        ("front-proxy-client", "its private key is missing"),
        ("admin.conf", "its cluster trusts another certificate authority"),
        ("scheduler.conf", "its current context `` does not exist"),
        ("etcd-ca", "it is no certificate authority"),
    ] {
        let entry = entry(&machine, name);
        let problems = entry["problems"].as_array().unwrap();
        assert!(problems.iter().any(|told| told == problem), "{name}: {problems:?}");
    }
}

#[test]
fn what_has_expired_or_will_soon_is_marked() {
    let machine = Machine::made("certificateValidityPeriod: 1s\ncaCertificateValidityPeriod: 1000h\n");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let expired = entry(&machine, "apiserver");
    assert_eq!(expired["state"], "expired");
    assert!(expired["residualTime"].as_i64().unwrap() < 0 && expired["problems"].as_array().unwrap().is_empty());
    let text = machine.run(&["certs", "check-expiration", &config(&machine)]).succeeds().stdout;
    assert!(text.contains("<invalid>") && text.contains("expired"), "{text}");
    assert_eq!(entry(&machine, "ca")["state"], "valid", "more than a third of its life is left");
}

#[test]
fn a_renewal_keeps_all_but_the_key_and_the_dates() {
    let machine = Machine::made("kubernetesVersion: v1.28.0\napiServer: {certSANs: [api.example.com]}\n");
    let pki = machine.path("pki");
    // as rootless components need them, and as nobody should leave them
    chown(pki.join("apiserver.key"), Some(1234), Some(2345)).unwrap();
    fs::set_permissions(pki.join("apiserver.key"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(machine.path("admin.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    let kept = pki.join("elsewhere.crt");
    fs::rename(pki.join("front-proxy-client.crt"), &kept).unwrap();
    std::os::unix::fs::symlink("elsewhere.crt", pki.join("front-proxy-client.crt")).unwrap();

    // without the order of extensions
    let skipped = "no_header,no_version,no_serial,no_signame,no_validity,no_pubkey,no_sigdump";
    let look = |file: &str| {
        let text = say(&pki, &format!("x509 -noout -text -certopt {skipped} -in {file}"));
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        let of = |what: &str| say(&pki, &format!("x509 -noout -{what} -in {file}"));
        (lines, of("serial"), of("pubkey"))
    };
    let leaves = ["apiserver", "apiserver-kubelet-client", "front-proxy-client", "etcd/server", "etcd/peer"];
    let before: Vec<_> = leaves.map(|leaf| look(&format!("{leaf}.crt"))).into();
    let all = files(&machine);
    // another version and other names: the certificates know better
    machine.init("kubernetesVersion: v1.36.2\n").succeeds();
    machine.run(&["certs", "renew", "all", &config(&machine)]).succeeds();
    for (leaf, old) in leaves.iter().zip(before) {
        let new = look(&format!("{leaf}.crt"));
        assert_eq!(new.0, old.0, "{leaf}");
        assert!(new.1 != old.1 && new.2 != old.2, "{leaf}");
        let authority = if leaf.starts_with("etcd") {
            "etcd/ca"
        } else if leaf.starts_with("front") {
            "front-proxy-ca"
        } else {
            "ca"
        };
        run(&pki, ["verify", "-x509_strict", "-CAfile", &format!("{authority}.crt"), &format!("{leaf}.crt")])
            .succeeds();
        assert_eq!(say(&pki, &format!("pkey -pubout -in {leaf}.key")), new.2, "{leaf}");
    }
    let changed = changed(&all, &machine);
    assert!(!changed.iter().any(|name| name.contains("ca.") || name.contains("sa.")), "{changed:?}");
    let facts = files(&machine);
    assert!(
        facts[&PathBuf::from("pki/apiserver.key")].starts_with("100640 1234:2345 "),
        "its readers go on reading it"
    );
    assert!(
        facts[&PathBuf::from("admin.conf")].starts_with("100640 "),
        "what everybody could read nobody else can now"
    );
    assert!(pki.join("front-proxy-client.crt").is_symlink() && !all[&PathBuf::from("pki/elsewhere.crt")].is_empty());
    assert!(changed.contains(&"pki/elsewhere.crt".to_owned()));
}

#[test]
fn a_renewed_kubeconfig_trusts_the_authority_of_today() {
    let (machine, other) = (Machine::made(""), Machine::made(""));
    for name in ["ca.crt", "ca.key"] {
        fs::copy(other.path("pki").join(name), machine.path("pki").join(name)).unwrap();
    }
    let before = files(&machine);
    machine.run(&["certs", "renew", "scheduler.conf", &config(&machine)]).succeeds();
    assert_eq!(changed(&before, &machine), ["scheduler.conf"]);
    let directory = tempfile::tempdir().unwrap();
    unpack(&machine.path("scheduler.conf"), directory.path());
    let authority = fs::read_to_string(directory.path().join("authority.crt")).unwrap();
    assert_eq!(authority, fs::read_to_string(machine.path("pki/ca.crt")).unwrap());
    run(directory.path(), ["verify", "-x509_strict", "-CAfile", "authority.crt", "client.crt"]).succeeds();
}

#[test]
fn a_key_of_another_certificate_is_made_good() {
    let machine = Machine::made("");
    // what a kill between the two files leaves
    fs::copy(machine.path("pki/sa.key"), machine.path("pki/apiserver.key")).unwrap();
    assert_eq!(entry(&machine, "apiserver")["problems"].as_array().unwrap().len(), 1);
    machine.run(&["certs", "renew", "apiserver", &config(&machine)]).succeeds();
    assert_eq!(entry(&machine, "apiserver")["problems"].as_array().unwrap().len(), 0);
    fs::remove_file(machine.path("pki/etcd/server.key")).unwrap();
    machine.run(&["certs", "renew", "etcd-server", &config(&machine)]).succeeds();
    assert_eq!(entry(&machine, "etcd-server")["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn without_a_word_about_keys_the_new_one_is_of_the_old_kind() {
    for (algorithm, told) in [("ECDSA-P384", "(384 bit)"), ("RSA-3072", "(3072 bit)")] {
        let machine = Machine::made(&format!("encryptionAlgorithm: {algorithm}\n"));
        // a cluster that nobody can be asked about
        fs::remove_file(machine.path("admin.conf")).unwrap();
        fs::remove_file(machine.path("super-admin.conf")).unwrap();
        let run = machine.run(&["certs", "renew", "apiserver"]).succeeds();
        assert!(run.stderr.contains("kubeadm's defaults are assumed: there is no `admin.conf`"), "{}", run.stderr);
        let text = say(&machine.path("pki"), "x509 -noout -text -in apiserver.crt");
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn what_somebody_else_signs_is_told_and_no_failure() {
    let machine = Machine::made("");
    fs::remove_file(machine.path("pki/ca.key")).unwrap();
    let before = files(&machine);
    let run = machine.run(&["certs", "renew", "apiserver", &config(&machine)]).succeeds();
    assert!(run.stdout.contains(
        "apiserver (the API server's certificate as a server) is not renewed: `/etc/kubernetes/pki/ca.key` is not here"
    ));
    assert!(changed(&before, &machine).is_empty());
    let run = machine.run(&["certs", "renew", "all", &config(&machine)]).succeeds();
    assert!(
        run.stdout.contains("admin.conf")
            && run.stdout.contains("etcd-server (etcd's certificate as a server) renewed")
    );
    let changed = changed(&before, &machine);
    assert!(changed.iter().all(|name| name.contains("etcd") || name.contains("front-proxy-client")), "{changed:?}");
}

#[test]
fn what_is_missing_is_told_and_by_name_a_failure() {
    let machine = Machine::made("");
    fs::remove_file(machine.path("pki/apiserver.crt")).unwrap();
    fs::remove_file(machine.path("kubelet.conf")).unwrap();
    machine
        .run(&["certs", "renew", "apiserver", &config(&machine)])
        .fails(1, &["apiserver does not exist", "hint: ", "bootstrap init"]);
    let run = machine.run(&["certs", "renew", "all", &config(&machine)]).succeeds();
    assert!(run.stdout.contains("!MISSING! apiserver") && run.stdout.contains("admin.conf"), "{}", run.stdout);
    assert!(!run.stdout.contains("kubelet.conf"), "{}", run.stdout);
}

#[test]
fn nothing_is_renewed_when_something_cannot_be() {
    let machine = Machine::made("");
    fs::copy(machine.path("pki/sa.key"), machine.path("pki/etcd/ca.key")).unwrap();
    fs::write(machine.path("pki/apiserver.crt"), "nonsense").unwrap();
    let before = files(&machine);
    machine.run(&["certs", "renew", "all", &config(&machine)]).fails(
        2,
        &[
            "renew/etcd-ca: cannot use `/etc/kubernetes/pki/etcd/ca.crt`: it and the private key beside it do not",
            "renew/apiserver: cannot renew `/etc/kubernetes/pki/apiserver.crt`: it holds no PEM certificate",
            "nothing was changed",
        ],
    );
    assert!(changed(&before, &machine).is_empty());
    machine
        .run(&["certs", "renew", "nobody", &config(&machine)])
        .fails(2, &["there is no certificate `nobody`", "all"]);
    let external = "etcd: {external: {endpoints: ['https://10.0.0.9:2379']}}\n";
    machine.init(external);
    machine.run(&["certs", "renew", "etcd-server", &config(&machine)]).fails(2, &["has no `etcd-server`"]);
}

#[test]
fn a_dry_run_of_a_renewal_changes_nothing() {
    let machine = Machine::made("");
    let before = picture(&machine.root());
    let run = machine.run(&["certs", "renew", "all", "--dry-run", &config(&machine)]).succeeds();
    assert!(
        run.stdout
            .contains("renew /etc/kubernetes/pki/apiserver.key and /etc/kubernetes/pki/apiserver.crt (ECDSA-P256")
    );
    assert!(run.stdout.ends_with("Nothing was done.\n"), "{}", run.stdout);
    assert_eq!(picture(&machine.root()), before);
}

#[test]
fn another_directory_is_renewed_when_it_is_named() {
    let machine = Machine::made("");
    let elsewhere = machine.root().join("opt/pki");
    fs::create_dir_all(&elsewhere).unwrap();
    crate::support::copy_tree(&machine.path("pki"), &elsewhere);
    let before = files(&machine);
    machine.run(&["certs", "renew", "apiserver", "--cert-dir=/opt/pki", &config(&machine)]).succeeds();
    assert!(changed(&before, &machine).is_empty());
    let run = machine.run(&["certs", "check-expiration", "--cert-dir=/nowhere", &config(&machine)]).succeeds();
    assert!(run.stdout.contains("!MISSING! apiserver"), "{}", run.stdout);
}

#[test]
fn requests_are_made_for_everything_that_is_no_authoritys() {
    let machine = Machine::new();
    machine.init("apiServer: {certSANs: [api.example.com]}\ncontrolPlaneEndpoint: api.example.com\n").succeeds();
    let args = ["certs", "generate-csr", "--cert-dir=/csr/pki", "--kubeconfig-dir=/csr", &config(&machine)];
    machine.run(&args).succeeds();
    let made = machine.root().join("csr");
    let names: Vec<_> = picture(&made)
        .into_iter()
        .filter(|(_, facts)| !facts.starts_with("40"))
        .inspect(|(path, facts)| assert!(facts.starts_with("100600 "), "{}", path.display()))
        .map(|(path, _)| path.to_string_lossy().into_owned())
        .collect();
    let mut expected = Vec::new();
    for base in [
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "etcd/healthcheck-client",
        "etcd/peer",
        "etcd/server",
    ] {
        expected.extend([format!("pki/{base}.csr"), format!("pki/{base}.key")]);
    }
    for file in ["admin", "controller-manager", "kubelet", "scheduler", "super-admin"] {
        expected.extend([format!("{file}.conf"), format!("{file}.conf.csr")]);
    }
    expected.sort();
    assert_eq!(names, expected);
    for name in names.iter().filter(|name| name.ends_with(".csr")) {
        let text = say(&made, &format!("req -verify -noout -text -in {name}"));
        assert!(!text.contains("Extended Key Usage") && !text.contains("Basic Constraints"), "{name}: {text}");
    }
    let text = say(&made, "req -noout -text -in pki/apiserver.csr").replace(" = ", "=");
    assert!(text.contains("Subject: CN=kube-apiserver") && text.contains("DNS:api.example.com"), "{text}");
    let text = say(&made, "req -noout -text -in admin.conf.csr").replace(" = ", "=");
    assert!(text.contains("Subject: O=kubeadm:cluster-admins, CN=kubernetes-admin"), "{text}");

    let kubelet = fs::read_to_string(made.join("kubelet.conf")).unwrap();
    assert!(kubelet.contains("server: https://api.example.com:6443"), "{kubelet}");
    assert!(kubelet.contains("client-key-data: ") && !kubelet.contains("certificate-authority-data"), "{kubelet}");
    // signed, and put where they belong, they are what init keeps
    let before = picture(&made);
    machine
        .run(&args)
        .fails(2, &["exists already", "request/apiserver", "request/scheduler.conf", "nothing was changed"]);
    assert_eq!(picture(&made), before);
}

#[test]
fn a_certificate_key_is_64_hexadecimal_digits_of_chance() {
    let machine = Machine::new();
    let key = || machine.run(&["certs", "certificate-key"]).succeeds().stdout;
    let (one, other) = (key(), key());
    assert!(one.trim_end().len() == 64 && one.trim_end().chars().all(|c| c.is_ascii_hexdigit()) && one != other);
}

#[test]
fn a_user_gets_a_kubeconfig_with_a_certificate_or_a_token() {
    let machine = Machine::made("clusterName: prod\n");
    let before = files(&machine);
    let user = |more: &[&str]| machine.run(&[&["kubeconfig", "user", "--client-name=jane"][..], more].concat());
    let run = user(&["--org=team:b", "--org=team:a", "--validity-period=48h", &config(&machine)]).succeeds();
    assert_eq!(run.stderr, "");
    assert!(run.stdout.ends_with("\n\n") && run.stdout.contains("server: https://10.0.0.5:6443"), "{}", run.stdout);
    assert!(run.stdout.contains("current-context: jane@prod"), "{}", run.stdout);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jane.conf");
    fs::write(&path, &run.stdout).unwrap();
    unpack(&path, directory.path());
    let args = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "authority.crt", "client.crt"];
    crate::support::openssl::run(directory.path(), args).succeeds();
    let text = say(directory.path(), "x509 -noout -subject -nameopt RFC2253 -startdate -in client.crt");
    let start = say(&machine.path("pki"), "x509 -noout -startdate -in ca.crt");
    assert!(text.contains("CN=jane,O=team:") && text.contains("team:a") && text.contains("team:b"), "{text}");
    assert!(text.contains(&start), "it begins when its authority does: {text}");

    // the administrator's kubeconfig knows where the cluster is
    let run = user(&["--token=abcdef"]).succeeds();
    assert!(run.stdout.contains("token: abcdef") && !run.stdout.contains("client-key-data"), "{}", run.stdout);
    assert!(
        run.stdout.contains("server: https://10.0.0.5:6443") && run.stdout.contains("name: prod"),
        "{}",
        run.stdout
    );
    let run = user(&["--validity-period=100000h", &config(&machine)]).succeeds();
    assert!(run.stderr.contains("longer than kubeadm's 8760h0m0s") && run.stderr.contains("outlives its authority"));
    user(&["--validity-period=0s", &config(&machine)]).fails(2, &["longer than zero"]);
    user(&["--token=a", "--org=b", &config(&machine)]).fails(2, &["--token", "--org"]);
    assert!(changed(&before, &machine).is_empty());
    fs::remove_file(machine.path("pki/ca.key")).unwrap();
    user(&[&config(&machine)]).fails(1, &["`/etc/kubernetes/pki/ca.key` does not exist"]);
}

#[test]
fn without_root_expirations_are_shown_as_far_as_they_can_be_and_nothing_is_renewed() {
    let machine = Machine::made("");
    let root = format!("--root={}", machine.root().display());
    fs::set_permissions(machine.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = |args: &[&str]| {
        let args = args.iter().copied().chain([root.as_str()]).map(str::to_owned).collect::<Vec<_>>();
        crate::support::Bootstrap::new(args).without_root().run()
    };
    let run = user(&["certs", "check-expiration", &config(&machine)]).succeeds();
    assert!(run.stdout.contains("it may not be read by this user"), "{}", run.stdout);
    let apiserver = run.stdout.lines().find(|line| line.starts_with("apiserver ")).unwrap();
    assert!(apiserver.ends_with("ok"), "{apiserver}");
    user(&["certs", "renew", "all", &config(&machine)]).fails(2, &["not root", "--dry-run"]);
    let run = user(&["certs", "renew", "all", "--dry-run", &config(&machine)]).succeeds();
    assert!(run.stdout.contains("renew the certificate in /etc/kubernetes/admin.conf"), "{}", run.stdout);
}

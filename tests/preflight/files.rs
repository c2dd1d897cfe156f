//! Disks, mounts and files.

use std::fs;

use nix::mount::{MsFlags, mount};

use super::on_a_machine;
use crate::support::picture;

#[test]
fn what_cannot_be_written_to_is_told_before_anything_is() {
    on_a_machine(|machine| {
        machine.tmpfs("etc", MsFlags::MS_RDONLY, "size=1m");
        let verdicts = machine.preflight(&[]);
        verdicts.ends(2).says("Writable", "error", &["configuration", "/etc/kubernetes", "Read-only"]);
        machine.init(&["--token=abcdef.0123456789abcdef"]).run().fails(2, &["[Writable]", "nothing was changed"]);
        assert!(picture(&machine.root()).keys().all(|path| path.as_os_str() == "etc"), "nothing but the mount point");
    });
    on_a_machine(|machine| {
        machine.tmpfs("var", MsFlags::MS_RDONLY, "size=1m");
        let verdicts = machine.preflight(&[]);
        for (what, path) in
            [("images", "/var/lib/bootstrap"), ("etcd's data", "/var/lib/etcd"), ("logs", "/var/log/pods")]
        {
            verdicts.says("Writable", "error", &[what, path]);
        }
    });
}

#[test]
fn files_that_are_kept_may_be_read_only() {
    on_a_machine(|machine| {
        let out = machine.directory.path().join("out");
        machine.init(&["--dry-run", &format!("--out={}", out.display())]).run().succeeds();
        let kubernetes = machine.path("etc/kubernetes");
        fs::rename(out.join("etc/kubernetes/pki"), kubernetes.join("pki")).unwrap();
        let pki = kubernetes.join("pki");
        mount(Some(&pki), &pki, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, &pki, None::<&str>, flags, None::<&str>).unwrap();
        machine.preflight(&[]).ends(0).says("Writable", "ok", &[]);
        // a new name is a new certificate
        let verdicts = machine.preflight(&["--apiserver-cert-extra-sans=api.example.com"]);
        verdicts.ends(2).says("Writable", "error", &["/etc/kubernetes/pki", "Read-only"]);
    });
}

#[test]
fn a_disk_without_room_for_etcd_is_refused_and_a_narrow_one_is_told() {
    on_a_machine(|machine| {
        machine.tmpfs("var/lib/etcd", MsFlags::empty(), "size=32m");
        machine.preflight(&[]).ends(2).says("DiskSpace", "error", &["etcd's data", "32 MiB", "128 MiB"]);
    });
    on_a_machine(|machine| {
        machine.tmpfs("var/lib/etcd", MsFlags::empty(), "size=200m");
        machine.tmpfs("var/log", MsFlags::empty(), "size=8m");
        machine.tmpfs("var/lib/bootstrap", MsFlags::empty(), "size=2g,nr_inodes=500");
        let verdicts = machine.preflight(&[]);
        verdicts.ends(0).says("DiskSpace", "warning", &["etcd's data", "200 MiB", "256 MiB"]);
        verdicts.says("DiskSpace", "warning", &["logs", "8 MiB"]);
        verdicts.says("DiskSpace", "warning", &["more files", "images"]);
    });
}

#[test]
fn a_disk_that_forgets_is_told_and_a_real_one_gives_a_figure() {
    on_a_machine(|machine| {
        // on a busy machine the figure may be a bad one
        let verdicts = machine.preflight(&[]);
        let figure =
            verdicts.ends(0).list.iter().find(|(check, ..)| check == "EtcdDisk").map(|(_, _, message)| message);
        assert!(figure.is_some_and(|told| told.contains("99 % of ") && told.contains(" ms")), "{figure:?}");
        machine.tmpfs("var/lib/etcd", MsFlags::empty(), "size=1g");
        machine.preflight(&[]).ends(0).says("EtcdDisk", "warning", &["tmpfs", "the cluster is lost"]);
        let left = fs::read_dir(machine.root().join("var/lib/etcd")).unwrap().count();
        assert_eq!(left, 0, "the file has no name");
    });
}

#[test]
fn where_etcd_has_data_the_disk_is_left_alone() {
    on_a_machine(|machine| {
        fs::write(machine.path("var/lib/etcd").join("member"), "").unwrap();
        let verdicts = machine.preflight(&[]);
        verdicts.ends(2).says("DirAvailable--var-lib-etcd", "error", &["`/var/lib/etcd` is not empty"]);
        verdicts.says("EtcdDisk", "ok", &["was not tried"]);
        let ignored = machine.preflight(&["--ignore-preflight-errors=diravailable--var-lib-etcd"]);
        ignored.ends(0).says("DirAvailable--var-lib-etcd", "warning", &[]);
    });
}

#[test]
fn manifests_of_others_are_told_with_all_the_rest() {
    on_a_machine(|machine| {
        let manifests = machine.path("etc/kubernetes/manifests");
        fs::write(manifests.join("kube-scheduler.yaml"), "mine").unwrap();
        fs::write(machine.path("var/lib/etcd").join("member"), "").unwrap();
        let check = "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml";
        let before = picture(&machine.root());
        let run =
            machine.init(&[]).run().fails(2, &[&format!("error: [{check}]"), "error: [DirAvailable--var-lib-etcd]"]);
        assert!(
            run.stderr.contains("2 errors") && run.stderr.contains(&format!("DirAvailable--var-lib-etcd,{check}"))
                || run.stderr.contains(&format!("{check},DirAvailable--var-lib-etcd")),
            "{}",
            run.stderr
        );
        machine.init(&["--skip-phases=preflight"]).run().fails(2, &[check]);
        assert_eq!(picture(&machine.root()), before);
        machine.preflight(&[&format!("--ignore-preflight-errors=DirAvailable--var-lib-etcd,{check}")]).ends(0);
        // one phase alone overwrites no more than the whole
        fs::write(machine.path("var/lib/kubelet").join("config.yaml"), "mine").unwrap();
        let check = "FileAvailable--var-lib-kubelet-config.yaml";
        machine.init(&["phase", "kubelet-start"]).run().fails(2, &["FilesFit", check]);
        machine.preflight(&["--ignore-preflight-errors=all"]).ends(0);
    });
}

#[test]
fn files_that_do_not_fit_are_told_with_all_the_rest_and_cannot_be_ignored() {
    on_a_machine(|machine| {
        let pki = machine.path("etc/kubernetes/pki");
        for file in ["ca.crt", "ca.key"] {
            fs::write(pki.join(file), "nonsense").unwrap();
        }
        fs::write(machine.path("var/lib/etcd").join("member"), "").unwrap();
        let verdicts = machine.preflight(&["--ignore-preflight-errors=all"]);
        verdicts.ends(2).says("FilesFit", "error", &["certs/ca"]).says("DirAvailable--var-lib-etcd", "warning", &[]);
        assert!(!verdicts.run.stderr.contains("--ignore-preflight-errors"), "{}", verdicts.run.stderr);
    });
}

#[test]
fn an_etcd_manifest_beside_an_external_etcd_is_told() {
    on_a_machine(|machine| {
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n\
                    etcd: {external: {endpoints: ['http://127.0.0.1:9']}}\n";
        let config = format!("--config={}", machine.write("config.yaml", text).display());
        fs::write(machine.path("etc/kubernetes/manifests").join("etcd.yaml"), "old").unwrap();
        let run = machine.init(&["phase", "preflight", "--output=json", &config]).run();
        let check = "FileAvailable--etc-kubernetes-manifests-etcd.yaml";
        super::Verdicts::of(run).ends(2).says(check, "error", &["external"]);
    });
}

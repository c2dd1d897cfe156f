#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::fs::symlink;

use super::*;

fn manifest(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  hostNetwork: true\n  \
         containers: [{{name: c, image: '{image}'}}]\n"
    )
}

/// File name and pod, or `!` for a file that is none.
fn summary(scan: &Scan) -> Vec<String> {
    let word = |file: &Manifest| {
        let name = PathBuf::from(file.origin.clone()).file_name().unwrap().to_string_lossy().into_owned();
        match &file.pod {
            Ok(pod) => format!("{name}={}:{}", pod.name, pod.containers[0].image),
            Err(_) => format!("{name}!"),
        }
    };
    scan.manifests.iter().map(word).collect()
}

struct Watched {
    scans: mpsc::Receiver<Delivery>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        let (sender, scans) = mpsc::channel(1);
        Watched { scans, task: tokio::spawn(watch(path.to_owned(), "n".to_owned(), sender)) }
    }

    /// The next scans until one is as expected.
    async fn expect(&mut self, expected: &[&str]) {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let scan = summary(&self.scans.recv().await.unwrap().1);
                if scan == expected {
                    return;
                }
                seen.push(scan);
            }
        });
        if found.await.is_err() {
            panic!("{expected:?} never came; seen {seen:?}");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn case_138_files_come_change_and_go_with_events() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("b.yaml"), manifest("b", "i:1")).unwrap();
    fs::write(path(".hidden.yaml"), manifest("h", "i:1")).unwrap();
    fs::create_dir(path("sub")).unwrap();
    let mut watched = Watched::new(directory.path());
    watched.expect(&["b.yaml=b-n:i:1"]).await;
    fs::write(path("a"), manifest("a", "i:1")).unwrap();
    watched.expect(&["a=a-n:i:1", "b.yaml=b-n:i:1"]).await;
    fs::write(path("a"), "nonsense").unwrap();
    watched.expect(&["a!", "b.yaml=b-n:i:1"]).await;
    fs::rename(path(".hidden.yaml"), path("a")).unwrap();
    watched.expect(&["a=h-n:i:1", "b.yaml=b-n:i:1"]).await;
    fs::rename(path("b.yaml"), path(".b")).unwrap();
    watched.expect(&["a=h-n:i:1"]).await;
    symlink(path(".b"), path("link.json")).unwrap();
    watched.expect(&["a=h-n:i:1", "link.json=b-n:i:1"]).await;
    fs::remove_file(path("a")).unwrap();
    watched.expect(&["link.json=b-n:i:1"]).await;
}

#[tokio::test]
async fn a_half_written_file_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, manifest("a", "i:1")).unwrap();
    let mut watched = Watched::new(directory.path());
    watched.expect(&["a.yaml=a-n:i:1"]).await;
    let mut file = File::create(&path).unwrap();
    file.write_all(manifest("a", "i:2").as_bytes()).unwrap();
    // another file makes the directory be read while the first is open
    fs::write(directory.path().join("b.yaml"), manifest("b", "i:1")).unwrap();
    let (_, scan) = watched.scans.recv().await.unwrap();
    assert_eq!(summary(&scan), ["a.yaml=a-n:i:1", "b.yaml=b-n:i:1"]);
    drop(file);
    watched.expect(&["a.yaml=a-n:i:2", "b.yaml=b-n:i:1"]).await;
}

#[tokio::test]
async fn the_directory_may_come_late_go_and_come_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("manifests");
    let mut watched = Watched::new(&directory);
    watched.expect(&[]).await;
    for image in ["i:1", "i:2"] {
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("a.yaml"), manifest("a", image)).unwrap();
        watched.expect(&[&format!("a.yaml=a-n:{image}")]).await;
        fs::remove_dir_all(&directory).unwrap();
        watched.expect(&[]).await;
    }
}

#[tokio::test]
async fn case_138_one_file_may_be_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.yaml");
    fs::write(&path, manifest("a", "i:1")).unwrap();
    fs::write(directory.path().join("other.yaml"), manifest("b", "i:1")).unwrap();
    let mut watched = Watched::new(&path);
    watched.expect(&["pod.yaml=a-n:i:1"]).await;
    fs::write(directory.path().join(".new"), manifest("a", "i:2")).unwrap();
    fs::rename(directory.path().join(".new"), &path).unwrap();
    watched.expect(&["pod.yaml=a-n:i:2"]).await;
}

#[tokio::test]
async fn case_139_what_is_too_large_broken_or_no_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    File::create(directory.path().join("large")).unwrap().set_len(MAX_SIZE + 1).unwrap();
    symlink("nowhere", directory.path().join("link")).unwrap();
    nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut watched = Watched::new(directory.path());
    let (_, scan) = watched.scans.recv().await.unwrap();
    let reasons: Vec<_> = scan.manifests.iter().map(|file| file.pod.clone().unwrap_err()).collect();
    assert_eq!(reasons[0], "it is neither a file nor a directory");
    assert_eq!(reasons[1], "it is larger than 10 MiB");
    assert!(reasons[2].starts_with("cannot read it: No such file"), "{reasons:?}");
}

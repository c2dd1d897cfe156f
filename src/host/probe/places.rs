//! Where init will write: can it, and how much room is there?

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat};

use crate::desired::Desired;
use crate::desired::account::Database;
use crate::layout::{Layout, POD_LOGS, RUN, STATE};
use crate::plan::{Action, Plan};
use crate::preflight::machine::{Place, Use, Writable};

/// The places of the plan, and those that the journal, the images, the logs and the runner need whatever is planned.
pub(super) fn look(layout: &Layout, desired: &Desired, plan: &Plan) -> Vec<Place> {
    let data_dir = desired.config.etcd.local().map(|member| member.data_dir.as_path());
    let actions = plan.steps.iter().flat_map(|step| &step.actions);
    let mut wanted: Vec<(Use, PathBuf)> =
        vec![(Use::Images, STATE.into()), (Use::Logs, POD_LOGS.into()), (Use::RuntimeState, RUN.into())];
    wanted.extend(data_dir.map(|path| (Use::EtcdData, path.to_owned())));
    for path in actions.flat_map(|action| written_to(layout, action)) {
        let is_known = |(_, known): &(Use, PathBuf)| path.starts_with(known);
        if !wanted.iter().any(is_known) {
            wanted.push((Use::Configuration, path));
        }
    }
    wanted.into_iter().filter_map(|(use_, path)| place(layout, use_, path)).collect()
}

/// Directories that an action adds something to. One that is there already is not made.
fn written_to(layout: &Layout, action: &Action) -> Vec<PathBuf> {
    let parents = |paths: Vec<&Path>| paths.into_iter().filter_map(Path::parent).map(Path::to_owned).collect();
    match action {
        Action::MakeDirectory { path, .. } if layout.under(path).is_dir() => Vec::new(),
        Action::MakeDirectory { path, .. } => vec![path.clone()],
        Action::WriteKubeconfig { file, .. } => parents(vec![&file.path()]),
        Action::MakeAccounts { .. } => parents(Database::ALL.map(Database::path).to_vec()),
        action => parents(action.makes()),
    }
}

fn place(layout: &Layout, use_: Use, path: PathBuf) -> Option<Place> {
    let directory = nearest(&layout.under(&path));
    let filesystem = statvfs(&directory).ok()?;
    Some(Place {
        use_,
        path,
        device: directory.metadata().ok()?.dev(),
        writable: writable(&directory),
        free_bytes: filesystem.blocks_available() as u64 * filesystem.fragment_size() as u64,
        free_inodes: (filesystem.files() > 0).then_some(filesystem.files_available() as u64),
    })
}

fn writable(directory: &Path) -> Writable {
    let flags = AccessFlags::W_OK | AccessFlags::X_OK;
    match faccessat(nix::fcntl::AT_FDCWD, directory, flags, AtFlags::AT_EACCESS) {
        // another user's directory is no fault of the machine: `IsPrivilegedUser` speaks of it
        Ok(()) | Err(Errno::EACCES) => Writable::Yes,
        Err(error) => Writable::No(error.desc().to_owned()),
    }
}

/// The directory itself, or its nearest ancestor that is there: on the file system that it will be on.
pub(super) fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

//! Which sandbox has which address of the node's own pod network: one file for each address, with the sandbox's id.
//!
//! A file is made before its address is used, and removed when nobody can use it any more.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use crate::error::{Context, Result};
use crate::layout::PRIVATE_DIRECTORY;

/// The first address is the node's own.
pub(super) fn gateway(subnet: Ipv4Net) -> Result<Ipv4Addr> {
    subnet.hosts().next().filter(|_| subnet.prefix_len() <= 30).with_context(|| format!("`{subnet}` has no addresses"))
}

/// The addresses in a directory. One user at a time.
#[derive(Debug)]
pub(super) struct Addresses {
    directory: PathBuf,
}

impl Addresses {
    pub(super) fn new(directory: PathBuf) -> Addresses {
        Addresses { directory }
    }

    /// A free address for the sandbox, or the one that it has.
    pub(super) fn take(&self, subnet: Ipv4Net, sandbox: &str) -> Result<Ipv4Addr> {
        if let Some((address, _)) = self.all()?.into_iter().find(|(_, owner)| owner == sandbox) {
            return Ok(address);
        }
        crate::files::make_directory(&self.directory, PRIVATE_DIRECTORY)?;
        let cannot = || format!("cannot write in `{}`", self.directory.display());
        for address in subnet.hosts().skip(1) {
            match File::create_new(self.directory.join(address.to_string())) {
                Ok(mut file) => {
                    file.write_all(sandbox.as_bytes()).with_context(cannot)?;
                    return Ok(address);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(cannot),
            }
        }
        anyhow::bail!("all addresses of `{subnet}` are in use")
    }

    /// Gives back what this sandbox has.
    pub(super) fn release(&self, sandbox: &str) -> Result<()> {
        self.keep(|owner| owner != sandbox)
    }

    /// Gives back what nobody has for whom `is_known` holds; a file that a kill has left empty is nobody's.
    pub(super) fn keep(&self, is_known: impl Fn(&str) -> bool) -> Result<()> {
        for (address, owner) in self.all()? {
            if !is_known(&owner) {
                crate::files::remove_file(&self.directory.join(address.to_string()))?;
            }
        }
        Ok(())
    }

    /// Every address that is taken, with its sandbox.
    pub(super) fn all(&self) -> Result<Vec<(Ipv4Addr, String)>> {
        let cannot = |path: &Path| format!("cannot read `{}`", path.display());
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| cannot(&self.directory)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| cannot(&self.directory))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let Some(address) = name {
                all.push((address, fs::read_to_string(&path).with_context(|| cannot(&path))?));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_sandboxes_until_it_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let addresses = Addresses::new(directory.path().join("addresses"));
        let subnet = "10.1.2.0/29".parse().unwrap();
        assert_eq!(gateway(subnet).unwrap(), Ipv4Addr::new(10, 1, 2, 1));
        let take = |sandbox: &str| addresses.take(subnet, sandbox).map(|address| address.octets()[3]);
        assert_eq!((take("a").unwrap(), take("b").unwrap(), take("a").unwrap()), (2, 3, 2));
        addresses.release("a").unwrap();
        addresses.release("a").unwrap();
        assert_eq!(take("c").unwrap(), 2);
        for name in ["d", "e", "f"] {
            take(name).unwrap();
        }
        let full = take("g").unwrap_err().to_string();
        assert_eq!(full, "all addresses of `10.1.2.0/29` are in use");
        // a kill between the file's making and its writing
        fs::write(directory.path().join("addresses/10.1.2.2"), "").unwrap();
        addresses.keep(|owner| owner == "b").unwrap();
        assert_eq!(addresses.all().unwrap(), [(Ipv4Addr::new(10, 1, 2, 3), "b".to_owned())]);
        assert!(gateway("10.1.2.0/31".parse().unwrap()).is_err());
    }
}

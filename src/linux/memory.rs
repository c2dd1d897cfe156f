//! The process's own memory.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};
use procfs::process::{MMPermissions, MMapPath, Process};

use crate::error::{Context, Result};

/// Lets go of the pages of the program's code that are mapped at the moment; those that are used again come back
/// from the page cache. A process that started with much work and then mostly waits gets rid of the startup so.
pub fn release_code() -> Result<()> {
    let maps = Process::myself().and_then(|own| own.maps()).context("cannot read `/proc/self/maps`")?;
    for map in maps {
        let is_code = map.perms.contains(MMPermissions::EXECUTE) && !map.perms.contains(MMPermissions::WRITE);
        if !is_code || !matches!(map.pathname, MMapPath::Path(_)) {
            continue;
        }
        let (start, end) = map.address;
        let start = usize::try_from(start).map_err(io::Error::other)?;
        let length = usize::try_from(end).map_err(io::Error::other)? - start;
        let Some(address) = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(start)) else { continue };
        // SAFETY: the range is a mapping of a file that this process executes and never writes: every page of it
        // is the file's own, so that a page let go of is read back with the same content.
        unsafe { madvise(address, length, MmapAdvise::MADV_DONTNEED) }.context("cannot release the program's code")?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn the_program_goes_on_without_its_mapped_code() {
        super::release_code().unwrap();
        assert_eq!("a".repeat(3), "aaa");
    }
}

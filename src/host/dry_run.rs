//! The dry run: the same plan through the same loop. It writes below `--out`, or does nothing at all.

use std::path::PathBuf;

use super::late;
use super::writer::Writer;
use crate::apply::Perform;
use crate::desired::Desired;
use crate::desired::object;
use crate::error::Result;
use crate::files::{self, Durability};
use crate::layout::{Layout, PRIVATE_DIRECTORY, SECRET_FILE};
use crate::plan::{Action, Step};

/// Performs nothing: the plan itself is what is shown.
#[derive(Debug)]
pub struct Describe;

impl Perform for Describe {
    async fn prepare(&self, _steps: &[&Step]) -> Result<()> {
        Ok(())
    }

    async fn perform(&self, _step: &Step, _action: &Action) -> Result<()> {
        Ok(())
    }
}

/// Writes the tree that init would write as if `out` were `/`, and what it would apply as `out/apply/NNN-….yaml`.
#[derive(Debug)]
pub struct WriteTree<'a> {
    pub desired: &'a Desired,
    pub writer: Writer,
    pub out: PathBuf,
}

impl<'a> WriteTree<'a> {
    pub fn new(desired: &'a Desired, machine: Layout, out: PathBuf, now: time::OffsetDateTime) -> WriteTree<'a> {
        let writer = Writer::new(Layout::new(&out), machine, desired.config.encryption_algorithm, now);
        WriteTree { desired, writer, out }
    }

    /// Once every file is there: the objects need the authority's certificate.
    pub fn write_objects(&self, steps: &[&str], now: jiff::Timestamp) -> Result<()> {
        let uploaded = late::uploaded(self.desired, &self.writer)?;
        let late = object::Late { uploaded, ..late::gather(self.desired, &self.writer, now)? };
        let directory = self.out.join("apply");
        files::make_directory(&directory, PRIVATE_DIRECTORY)?;
        let mut index = 0;
        for step in steps {
            for object in object::of_step(step, &self.desired.config, &late)? {
                let path = directory.join(format!("{}.yaml", object.file_stem(index)));
                files::write_whole(&path, object.to_yaml()?.as_bytes(), SECRET_FILE, Durability::Cached)?;
                index += 1;
            }
        }
        Ok(())
    }
}

impl Perform for WriteTree<'_> {
    async fn prepare(&self, steps: &[&Step]) -> Result<()> {
        self.writer.prepare(steps);
        Ok(())
    }

    async fn perform(&self, step: &Step, action: &Action) -> Result<()> {
        self.writer.perform(step, action).await.map(drop)
    }
}

//! What an ELF file says about the libraries it needs. Nothing is executed or mapped.

use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, StringTable};
use object::{Endianness, FileKind, ReadRef};

use crate::error::{Context, Fault, Result};

/// The parts of an ELF file that its loader reads first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    pub machine: u16,
    pub is_64_bit: bool,
    /// The loader, for a dynamic executable.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// `DT_RPATH`, parted; counts only without `runpath`.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, parted.
    pub runpath: Vec<String>,
}

impl Elf {
    pub fn read(path: &Path) -> Result<Elf> {
        let file = File::open(path).map_err(|error| Fault::usage("cannot open it").because(error))?;
        if !file.metadata()?.is_file() {
            return Err(Fault::usage("it is no file").into());
        }
        let data = &ReadCache::new(file);
        let parsed = match FileKind::parse(data) {
            Ok(FileKind::Elf64) => parse::<FileHeader64<Endianness>, _>(data),
            Ok(FileKind::Elf32) => parse::<FileHeader32<Endianness>, _>(data),
            _ => {
                return Err(Fault::usage("it is no ELF binary")
                    .hint("a script needs its interpreter: build that")
                    .into());
            }
        };
        parsed.map_err(|error| Fault::usage("it is a damaged ELF binary").because(error).into())
    }

    /// The machine in Go's words, as images name it.
    pub fn architecture(&self) -> Result<&'static str> {
        Ok(match (self.machine, self.is_64_bit) {
            (elf::EM_X86_64, true) => "amd64",
            (elf::EM_AARCH64, true) => "arm64",
            (elf::EM_386, false) => "386",
            (elf::EM_ARM, false) => "arm",
            (elf::EM_PPC64, true) => "ppc64le",
            (elf::EM_RISCV, true) => "riscv64",
            (elf::EM_S390, true) => "s390x",
            (machine, _) => return Err(Fault::usage(format!("it is for machine {machine}, which is not known")).into()),
        })
    }
}

fn parse<'data, H, R>(data: R) -> Result<Elf>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let mut parsed = Elf {
        machine: header.e_machine(endian),
        is_64_bit: header.is_class_64(),
        interpreter: None,
        needed: Vec::new(),
        rpath: Vec::new(),
        runpath: Vec::new(),
    };
    let segments = header.program_headers(endian, data)?;
    for segment in segments {
        if let Some(interpreter) = segment.interpreter(endian, data)? {
            parsed.interpreter = Some(text(interpreter)?);
        }
        let Some(dynamic) = segment.dynamic(endian, data)? else { continue };
        // up to the first null entry, as the loader reads it
        let entries: Vec<_> = dynamic
            .iter()
            .map(|entry| (entry.tag(endian), entry.val(endian)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let Some((address, size)) = value(elf::DT_STRTAB).zip(value(elf::DT_STRSZ)) else { continue };
        // the table's address is where it will be loaded
        let offset = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
            let (from, length) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
            let within = address.checked_sub(from).filter(|within| *within < length)?;
            within.checked_add(segment.p_offset(endian).into())
        });
        let offset = offset.context("its string table is in no segment")?;
        let strings = StringTable::new(data, offset, offset.checked_add(size).context("its string table has no end")?);
        for (tag, value) in entries {
            let list = match tag {
                elf::DT_NEEDED | elf::DT_RPATH | elf::DT_RUNPATH => {
                    let at = u32::try_from(value).context("a name is outside the string table")?;
                    text(strings.get(at).ok().context("a name is outside the string table")?)?
                }
                _ => continue,
            };
            let parts = || list.split(':').filter(|part| !part.is_empty()).map(str::to_owned);
            match tag {
                elf::DT_NEEDED => parsed.needed.push(list),
                elf::DT_RPATH => parsed.rpath.extend(parts()),
                _ => parsed.runpath.extend(parts()),
            }
        }
    }
    if !parsed.runpath.is_empty() {
        parsed.rpath.clear();
    }
    Ok(parsed)
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).ok().context("a name in it is not UTF-8")
}

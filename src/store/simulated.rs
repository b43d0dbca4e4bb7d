//! A simulated disk under the store and the audit: files below `/simulated/NUMBER` are on a [`Disk`] in memory, others
//! are the operating system's. Also a database on such a disk with exactly the guarantees of sled: it hands its data to
//! the kernel with each flush, syncs from time to time, and keeps its first error until it is reopened. For tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{from_hex, hex};
use super::{DataDir, Op, Record, Store, StoreError};
use crate::power_disk::{Disk, Node, ROOT};

const PLACE: &str = "/simulated/";
static DISKS: Mutex<BTreeMap<String, Arc<Mutex<Disk>>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk with a path, until it is dropped.
pub(crate) struct Place {
    name: String,
    pub(crate) disk: Arc<Mutex<Disk>>,
}

impl Place {
    pub(crate) fn new() -> Place {
        let (name, disk) = (uuid::Uuid::new_v4().simple().to_string(), Arc::new(Mutex::new(Disk::new())));
        lock(&DISKS).insert(name.clone(), Arc::clone(&disk));
        Place { name, disk }
    }

    /// Returns the disk as a data directory.
    pub(crate) fn data_dir(&self) -> DataDir {
        DataDir::simulated(Path::new(&format!("{PLACE}{}", self.name)))
    }

    /// Locks and returns the disk.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&DISKS).remove(&self.name);
    }
}

/// Returns the disk of a path, and the path on it; `None` for a path of the operating system.
fn on_disk(path: &Path) -> Option<(Arc<Mutex<Disk>>, String)> {
    let rest = path.to_str()?.strip_prefix(PLACE)?;
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some((lock(&DISKS).get(name)?.clone(), rest.to_owned()))
}

/// Splits a path on a disk into its directory and its name.
fn parted(disk: &mut Disk, path: &str) -> io::Result<(Node, String)> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((disk.at(directory)?, name.to_owned()))
}

#[derive(Debug)]
enum Inner {
    Real(std::fs::File),
    Simulated { disk: Arc<Mutex<Disk>>, node: Node, at: usize, appends: bool },
}

/// A file of the operating system or of a simulated disk.
#[derive(Debug)]
pub(crate) struct File(Inner);

impl File {
    /// Returns the operating system's file; `None` for a simulated one.
    pub(super) fn real(&self) -> Option<&std::fs::File> {
        match &self.0 {
            Inner::Real(file) => Some(file),
            Inner::Simulated { .. } => None,
        }
    }

    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    pub(crate) fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(file)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(file) => file.sync_all(),
            Inner::Simulated { disk, node, .. } => lock(disk).sync(*node),
        }
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Real(file) => file.sync_data(),
            Inner::Simulated { disk, node, .. } => lock(disk).sync(*node),
        }
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        match &self.0 {
            Inner::Real(file) => file.set_len(length),
            Inner::Simulated { disk, node, .. } => lock(disk).set_length(*node, place(length)),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Real(file) => file.read(buffer),
            Inner::Simulated { disk, node, at, .. } => {
                let bytes = lock(disk).read(*node, *at, buffer.len())?;
                buffer[..bytes.len()].copy_from_slice(&bytes);
                *at += bytes.len();
                Ok(bytes.len())
            }
        }
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match (&mut self.0, to) {
            (Inner::Real(file), to) => file.seek(to),
            (Inner::Simulated { at, .. }, SeekFrom::Start(place)) => {
                *at = usize::try_from(place).unwrap_or(usize::MAX);
                Ok(place)
            }
            (Inner::Simulated { .. }, _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Real(file) => file.write(bytes),
            Inner::Simulated { disk, node, at, appends } => {
                let mut disk = lock(disk);
                if *appends {
                    *at = disk.length(*node)?.unwrap_or(0);
                }
                disk.write(*node, *at, bytes)?;
                *at += bytes.len();
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileExt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(file) => file.read_at(buffer, offset),
            Inner::Simulated { disk, node, .. } => {
                let bytes = lock(disk).read(*node, place(offset), buffer.len())?;
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            Inner::Real(file) => file.write_at(bytes, offset),
            Inner::Simulated { disk, node, .. } => {
                lock(disk).write(*node, place(offset), bytes)?;
                Ok(bytes.len())
            }
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Options for opening a file.
#[derive(Debug, Clone)]
pub(crate) struct OpenOptions {
    real: std::fs::OpenOptions,
    appends: bool,
    creates: bool,
    creates_new: bool,
}

impl OpenOptions {
    pub(crate) fn new() -> OpenOptions {
        let real = std::fs::OpenOptions::new();
        OpenOptions { real, appends: false, creates: false, creates_new: false }
    }

    pub(crate) fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.real.read(read);
        self
    }

    pub(crate) fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.real.write(write);
        self
    }

    pub(crate) fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.real.append(append);
        self.appends = append;
        self
    }

    pub(crate) fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.real.create(create);
        self.creates = create;
        self
    }

    pub(crate) fn create_new(&mut self, create: bool) -> &mut OpenOptions {
        self.real.create_new(create);
        self.creates_new = create;
        self
    }

    pub(crate) fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let Some((disk, path)) = on_disk(path.as_ref()) else {
            return self.real.open(path).map(Inner::Real).map(File);
        };
        let mut held = lock(&disk);
        let node = match held.at(&path) {
            Ok(_) if self.creates_new => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && (self.creates || self.creates_new) => {
                let (directory, name) = parted(&mut held, &path)?;
                held.make(directory, &name, true)?
            }
            found => found?,
        };
        drop(held);
        Ok(File(Inner::Simulated { disk, node, at: 0, appends: self.appends }))
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.real.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.real.custom_flags(flags);
        self
    }
}

/// Options for creating a directory.
#[derive(Debug)]
pub(crate) struct DirBuilder(std::fs::DirBuilder);

impl DirBuilder {
    pub(crate) fn new() -> DirBuilder {
        DirBuilder(std::fs::DirBuilder::new())
    }

    pub(crate) fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.0.recursive(recursive);
        self
    }

    /// Creates a directory. On a simulated disk, as if it were recursive: an existing one is no error.
    pub(crate) fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some((disk, path)) = on_disk(path.as_ref()) else { return self.0.create(path) };
        let mut disk = lock(&disk);
        if disk.at(&path).is_ok() {
            return Ok(());
        }
        let (directory, name) = parted(&mut disk, &path)?;
        disk.make(directory, &name, false).map(drop)
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.0.mode(mode);
        self
    }
}

/// A directory entry.
pub(crate) struct Entry(PathBuf);

impl Entry {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }

    pub(crate) fn file_name(&self) -> OsString {
        self.0.file_name().map(ToOwned::to_owned).unwrap_or_default()
    }

    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.0.metadata()
    }
}

pub(crate) fn read_dir(path: impl AsRef<Path>) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
    let path = path.as_ref();
    let entries: Vec<io::Result<Entry>> = match on_disk(path) {
        None => std::fs::read_dir(path)?.map(|entry| entry.map(|entry| Entry(entry.path()))).collect(),
        Some((disk, below)) => {
            let mut disk = lock(&disk);
            let node = disk.at(&below)?;
            disk.list(node)?.into_iter().map(|(name, _)| Ok(Entry(path.join(name)))).collect()
        }
    };
    Ok(entries.into_iter())
}

pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let Some((disk, below)) = on_disk(path.as_ref()) else { return std::fs::read(path) };
    let mut disk = lock(&disk);
    let node = disk.at(&below)?;
    disk.read(node, 0, usize::MAX)
}

pub(crate) fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (Some((disk, from)), Some((_, to))) = (on_disk(from.as_ref()), on_disk(to.as_ref())) else {
        return std::fs::rename(from, to);
    };
    let mut disk = lock(&disk);
    let (from, to) = (parted(&mut disk, &from)?, parted(&mut disk, &to)?);
    disk.rename((from.0, &from.1), (to.0, &to.1))
}

pub(crate) fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let Some((disk, below)) = on_disk(path.as_ref()) else { return std::fs::remove_file(path) };
    let mut disk = lock(&disk);
    let (directory, name) = parted(&mut disk, &below)?;
    disk.remove(directory, &name)
}

pub(crate) fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let Some((disk, below)) = on_disk(path.as_ref()) else { return std::fs::remove_dir_all(path) };
    let mut disk = lock(&disk);
    let node = disk.at(&below)?;
    for (name, _) in disk.list(node)? {
        disk.remove(node, &name)?;
    }
    let (directory, name) = parted(&mut disk, &below)?;
    disk.remove(directory, &name)
}

/// Reports whether a path on a simulated disk exists; `None` for another path.
pub(super) fn is_there(path: &Path) -> Option<bool> {
    on_disk(path).map(|(disk, below)| lock(&disk).at(&below).is_ok())
}

/// Opens the database of a data directory on a simulated disk; `None` for another directory.
pub(super) fn open(dir: &DataDir) -> Option<Result<Arc<dyn Store>, StoreError>> {
    on_disk(dir.path())?;
    Some(Database::open(dir.store_path()).map(|store| Arc::new(store) as Arc<dyn Store>))
}

/// Number of flushes after which the disk is synced.
const FLUSHES_UNTIL_SYNC: u32 = 4;
/// Length in bytes beyond which a log is rewritten when it is opened.
const LONG: usize = 48 * 1024;

struct Tables {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    log: File,
    /// Lines of batches that are applied and not flushed.
    pending: String,
    flushes: u32,
    broken: bool,
}

/// A log of batches, one per line with a checksum; a torn last line is cut off.
struct Database {
    directory: PathBuf,
    tables: Mutex<Tables>,
}

impl Database {
    fn open(directory: PathBuf) -> Result<Database, StoreError> {
        let tables = load(&directory)?;
        Ok(Database { directory, tables: Mutex::new(tables) })
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        StoreError::io("use the store in", &self.directory, error)
    }

    fn whole(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let tables = lock(&self.tables);
        if tables.broken {
            return Err(self.failed(&io::Error::other("it keeps its first error")));
        }
        Ok(tables)
    }
}

fn load(directory: &Path) -> Result<Tables, StoreError> {
    let failed = |error: io::Error| StoreError::io("open the store in", directory, &error);
    DirBuilder::new().create(directory).map_err(failed)?;
    let path = directory.join("db");
    let mut log = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
    let bytes = read(&path).map_err(failed)?;
    let (mut records, mut whole) = (BTreeMap::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let batch = line.strip_suffix(b"\n").and_then(unwritten);
        let Some(batch) = batch else {
            if whole + line.len() < bytes.len() {
                let what = format!("the store in '{}'", directory.display());
                return Err(StoreError::Corrupt { what, reason: format!("at byte {whole}") });
            }
            log.set_len(whole as u64).map_err(failed)?;
            break;
        };
        whole += line.len();
        batch.into_iter().for_each(|op| carry_out(&mut records, op));
    }
    if whole > LONG {
        let all: Vec<Op> = records.iter().map(|(key, value)| put(key, value)).collect();
        let new = directory.join("db.new");
        let mut file = File::create(&new).map_err(failed)?;
        file.write_all(written(&all).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        rename(&new, &path).map_err(failed)?;
        log = OpenOptions::new().append(true).open(&path).map_err(failed)?;
    }
    Ok(Tables { records, log, pending: String::new(), flushes: 0, broken: false })
}

fn put(key: &[u8], value: &[u8]) -> Op {
    Op::Put { key: key.to_vec(), value: value.to_vec() }
}

fn carry_out(records: &mut BTreeMap<Vec<u8>, Vec<u8>>, op: Op) {
    match op {
        Op::Put { key, value } => drop(records.insert(key, value)),
        Op::Delete { key } => drop(records.remove(&key)),
    }
}

/// FNV: enough against a torn write, and cheap.
fn sum(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn written(batch: &[Op]) -> String {
    let ops = batch.iter().map(|op| match op {
        Op::Put { key, value } => format!("{}={}", hex(key), hex(value)),
        Op::Delete { key } => hex(key),
    });
    let text = ops.collect::<Vec<_>>().join(",");
    format!("{:016x} {text}\n", sum(&text))
}

fn unwritten(line: &[u8]) -> Option<Vec<Op>> {
    let (given, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (u64::from_str_radix(given, 16).ok()? == sum(text)).then_some(())?;
    let op = |part: &str| {
        Some(match part.split_once('=') {
            Some((key, value)) => Op::Put { key: from_hex(key)?, value: from_hex(value)? },
            None => Op::Delete { key: from_hex(part)? },
        })
    };
    text.split(',').filter(|part| !part.is_empty()).map(op).collect()
}

impl Store for Database {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.whole()?.records.get(key).cloned())
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        let tables = self.whole()?;
        let from = tables.records.range(prefix.to_vec()..);
        let found = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        let mut tables = self.whole()?;
        let text = written(&batch);
        tables.pending.push_str(&text);
        batch.into_iter().for_each(|op| carry_out(&mut tables.records, op));
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut tables = self.whole()?;
        let pending = std::mem::take(&mut tables.pending);
        tables.flushes += 1;
        let asks = tables.flushes.is_multiple_of(FLUSHES_UNTIL_SYNC);
        let done = tables.log.write_all(pending.as_bytes());
        let done = done.and_then(|()| if asks { tables.log.sync_data() } else { Ok(()) });
        done.map_err(|error| {
            tables.broken = true;
            self.failed(&error)
        })
    }

    fn recover(&self) -> Result<(), StoreError> {
        let mut tables = lock(&self.tables);
        if tables.broken {
            *tables = load(&self.directory)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_the_operating_system_s() {
        let outer = tempfile::tempdir().unwrap();
        File::create(outer.path().join("f")).unwrap().write_all(b"text").unwrap();
        let entries: Vec<Entry> = read_dir(outer.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!((entries.len(), entries[0].file_name()), (1, OsString::from("f")));
        assert_eq!(entries[0].metadata().unwrap().len(), 4);
        assert!(super::is_there(outer.path()).is_none());
    }

    #[test]
    fn the_simulated_database_keeps_what_was_flushed_and_finds_damage() {
        let place = Place::new();
        let dir = place.data_dir();
        let store = super::open(&dir).expect("simulated").unwrap();
        store.apply(vec![put(b"a", b"1"), put(b"b", b"2")]).unwrap();
        store.flush().unwrap();
        store.apply(vec![Op::Delete { key: b"a".to_vec() }]).unwrap();
        let again = || super::open(&dir).expect("simulated");
        assert_eq!(again().unwrap().scan_prefix(b"").unwrap().len(), 2, "the last was not flushed");
        store.flush().unwrap();
        assert_eq!(again().unwrap().scan_prefix(b"").unwrap(), [(b"b".to_vec(), b"2".to_vec())]);
        let node = place.disk().at("store/db").unwrap();
        place.disk().write(node, 20, b"x").unwrap();
        assert!(again().err().expect("damaged").is_damage());
        assert_ne!(node, ROOT);
    }
}

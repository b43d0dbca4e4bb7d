//! A [`Disk`] that loses what was not synced, mounted as a file system, so that the real daemon
//! can have its data directory on it and the power can be cut.
//!
//! It needs `/dev/fuse` and the right to mount. Where the device is missing nothing can be
//! mounted, and [`there_is_no_fuse`] says so as loudly as a test can.

#[expect(dead_code, reason = "the simulation of the service uses the rest")]
pub(crate) mod disk;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use tempfile::TempDir;

use disk::{Cut, Dice, Disk};

/// The kernel remembers nothing of names and sizes: they may change behind its back.
const AT_ONCE: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;

/// Whether there is no FUSE here, which is said on the standard error output. Only a machine without the
/// device is excused: one that has it and cannot mount fails its tests.
pub(crate) fn there_is_no_fuse(test: &str) -> bool {
    let missing = !Path::new("/dev/fuse").exists();
    if missing {
        eprintln!("\n*** SKIPPED: {test}: this machine has no /dev/fuse; THE POWER WAS NOT CUT ***\n");
    }
    missing
}

/// A mounted disk.
pub(crate) struct PowerDisk {
    disk: Arc<Mutex<Disk>>,
    place: TempDir,
    session: Option<BackgroundSession>,
}

impl PowerDisk {
    /// Mounts an empty disk.
    pub(crate) fn mount() -> PowerDisk {
        let place = tempfile::tempdir().expect("a directory to mount at");
        let mut mounted = PowerDisk { disk: Arc::new(Mutex::new(Disk::new())), place, session: None };
        mounted.on();
        mounted
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    fn on(&mut self) {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("mcpvisor-power-cut".to_owned())];
        let files = Mounted(Arc::clone(&self.disk));
        let session = fuser::spawn_mount(files, self.place.path(), &config);
        self.session = Some(session.expect("a file system can be mounted: /dev/fuse is there"));
    }

    fn unmount(&mut self) {
        if let Some(session) = self.session.take() {
            session.umount_and_join().expect("nobody uses the file system any more");
        }
    }

    /// Forgets what was not synced, and mounts what is left. Nobody may have a file open.
    pub(crate) fn cut(&mut self, cut: Cut, dice: &mut Dice) {
        self.unmount();
        lock(&self.disk).cut(cut, dice);
        self.on();
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The mount ends with the session, also while somebody uses it.
            drop(self.session.take());
        } else {
            self.unmount();
        }
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernel asks, answered by the disk.
struct Mounted(Arc<Mutex<Disk>>);

impl Mounted {
    fn attributes(&self, node: u64) -> io::Result<FileAttr> {
        let length = lock(&self.0).length(node)?;
        let size = length.unwrap_or(0) as u64;
        Ok(FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: SystemTime::now(),
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if length.is_some() { FileType::RegularFile } else { FileType::Directory },
            // Modes are not what is tried here; the daemon asks for private ones and finds them.
            perm: if length.is_some() { 0o600 } else { 0o700 },
            nlink: 1,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    fn entry(&self, found: io::Result<u64>, reply: ReplyEntry) {
        match found.and_then(|node| self.attributes(node)) {
            Ok(attributes) => reply.entry(&AT_ONCE, &attributes, Generation(0)),
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn done(done: io::Result<()>, reply: ReplyEmpty) {
        match done {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(Errno::from(error)),
        }
    }
}

fn text(name: &OsStr) -> io::Result<&str> {
    name.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn number(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = text(name).and_then(|name| lock(&self.0).lookup(parent.0, name));
        self.entry(found, reply);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(node.0) {
            Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = size.map_or(Ok(()), |size| lock(&self.0).set_length(node.0, number(size)));
        match set.and_then(|()| self.attributes(node.0)) {
            Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = text(name).and_then(|name| lock(&self.0).make(parent.0, name, false));
        self.entry(made, reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = text(name).and_then(|name| lock(&self.0).make(parent.0, name, true));
        match made.and_then(|node| self.attributes(node)) {
            Ok(attributes) => {
                reply.created(&AT_ONCE, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        Self::done(text(name).and_then(|name| lock(&self.0).remove(parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        Self::done(text(name).and_then(|name| lock(&self.0).remove(parent.0, name)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let renamed = text(name)
            .and_then(|name| lock(&self.0).rename((parent.0, name), (new_parent.0, text(new_name)?)));
        Self::done(renamed, reply);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = lock(&self.0).read(node.0, number(offset), number(size.into()));
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = lock(&self.0).write(node.0, number(offset), data);
        match written {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(Errno::from(error)),
        }
    }

    /// A file is closed, which keeps nothing.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        Self::done(lock(&self.0).sync(node.0), reply);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        Self::done(lock(&self.0).sync(node.0), reply);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let names = match lock(&self.0).list(node.0) {
            Ok(names) => names,
            Err(error) => return reply.error(Errno::from(error)),
        };
        let own = [".", ".."].map(|name| (name.to_owned(), node.0));
        for (index, (name, node)) in own.into_iter().chain(names).enumerate().skip(number(offset)) {
            let directory = matches!(lock(&self.0).length(node), Ok(None));
            let kind = if directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(node), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }
}

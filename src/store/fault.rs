//! Test doubles of a failing and a slow disk: a store and a journal's file whose n-th operation fails, once or from
//! then on, and a store whose flushes take as long as a test likes.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::disk::File;
use super::journal::JournalFile;
use super::{MemoryStore, Op, Record, Store, StoreError};

/// Number of the operation that fails, counted over a store and a journal together.
#[derive(Debug, Default)]
pub(super) struct Fault {
    done: AtomicU64,
    fails: AtomicU64,
    lasting: bool,
}

impl Fault {
    /// Makes operation number `n`, counted from 1, fail; with `lasting`, each later one fails, too.
    pub(super) fn at(n: u64, lasting: bool) -> Arc<Fault> {
        Arc::new(Fault { done: AtomicU64::new(0), fails: AtomicU64::new(n), lasting })
    }

    /// Lets `further` operations succeed; the one after them fails.
    pub(super) fn fail_after(&self, further: u64) {
        self.fails.store(self.count() + further + 1, Ordering::SeqCst);
    }

    /// Makes all further operations succeed.
    pub(super) fn mend(&self) {
        self.fails.store(u64::MAX, Ordering::SeqCst);
    }

    /// Returns the number of operations so far.
    pub(super) fn count(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = self.fails.load(Ordering::SeqCst);
        if number == fails || (self.lasting && number > fails) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

/// A store that fails by a [`Fault`]. A failing flush has flushed all the same: the result reported to callers is what
/// matters.
pub(super) struct FaultStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) fault: Arc<Fault>,
}

impl FaultStore {
    fn check(&self) -> Result<(), StoreError> {
        self.fault.check().map_err(|error| StoreError::io("use", Path::new("the test's store"), &error))
    }
}

impl Store for FaultStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.inner.get(key)
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        self.check()?;
        self.inner.scan_prefix(prefix)
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let checked = self.check();
        self.inner.flush()?;
        checked
    }

    fn recover(&self) -> Result<(), StoreError> {
        self.check()?;
        self.inner.recover()
    }
}

/// A store whose flushes block while they are held.
#[derive(Default)]
pub(crate) struct SlowStore {
    inner: MemoryStore,
    /// `true` if flushes are held, and the number of waiting ones.
    held: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl SlowStore {
    /// Holds flushes from here on, or releases them.
    pub(crate) fn hold(&self, held: bool) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).0 = held;
        self.changed.notify_all();
    }

    /// Returns the number of flushes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Store for SlowStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        self.inner.scan_prefix(prefix)
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut now = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        now.1 += 1;
        now = self.changed.wait_while(now, |(held, _)| *held).unwrap_or_else(PoisonError::into_inner);
        now.1 -= 1;
        Ok(())
    }
}

/// A journal's file that fails by a [`Fault`]; a write that fails has written half.
struct FaultFile {
    file: File,
    fault: Arc<Fault>,
}

impl JournalFile for FaultFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.fault.check() {
            Ok(()) => self.file.append(bytes),
            Err(error) => {
                self.file.append(&bytes[..bytes.len() / 2])?;
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let checked = self.fault.check();
        self.file.sync()?;
        checked
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.fault.check()?;
        self.file.cut(len)
    }
}

thread_local! {
    /// The fault of the test that runs on this thread: the wrapping function of a journal has no parameter for it.
    static CURRENT: RefCell<Arc<Fault>> = RefCell::default();
}

/// Makes the journals that this thread opens with [`failing`] from here on fail by this fault.
pub(super) fn install(fault: &Arc<Fault>) {
    CURRENT.set(fault.clone());
}

/// Wraps a journal's file with the current fault.
pub(super) fn failing(file: File) -> Box<dyn JournalFile> {
    let fault = CURRENT.with_borrow(Arc::clone);
    Box::new(FaultFile { file, fault })
}

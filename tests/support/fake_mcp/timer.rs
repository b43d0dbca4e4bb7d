//! One thread that does things later: any number of waiting calls costs one thread.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::output::Output;

/// Something to do later; what it adds to the batch is written afterwards.
type Action = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

struct Entry {
    due: Instant,
    order: u64,
    action: Action,
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.order)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    next_order: u64,
}

/// Hands out the later. Dropping it does not stop the thread: the process ends with `main`.
pub(crate) struct Timer {
    queue: Mutex<Queue>,
    bell: Condvar,
}

impl Timer {
    pub(crate) fn start(output: Arc<Output>) -> Arc<Timer> {
        let timer = Arc::new(Timer { queue: Mutex::default(), bell: Condvar::new() });
        let worker = Arc::clone(&timer);
        thread::spawn(move || {
            let mut batch = Vec::new();
            loop {
                for action in worker.wait() {
                    action(&mut batch);
                }
                output.send(&mut batch);
            }
        });
        timer
    }

    /// Runs `action` on the timer's thread when `delay` has passed.
    pub(crate) fn after(&self, delay: Duration, action: impl FnOnce(&mut Vec<u8>) + Send + 'static) {
        let mut queue = self.lock();
        let order = queue.next_order;
        queue.next_order += 1;
        queue.heap.push(Reverse(Entry { due: Instant::now() + delay, order, action: Box::new(action) }));
        drop(queue);
        self.bell.notify_one();
    }

    /// Waits until something is due and takes everything that is.
    fn wait(&self) -> Vec<Action> {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while queue.heap.peek().is_some_and(|Reverse(entry)| entry.due <= now) {
                due.extend(queue.heap.pop().map(|Reverse(entry)| entry.action));
            }
            if !due.is_empty() {
                return due;
            }
            let pause = queue.heap.peek().map(|Reverse(entry)| entry.due - now);
            queue = match pause {
                Some(pause) => self.bell.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

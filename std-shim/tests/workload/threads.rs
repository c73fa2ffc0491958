//! Threads that come, go, and free what others have allocated.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::{Patterned, Random, churn, length};

/// Threads that allocate and free by themselves, and exchange blocks over a shared table.
pub(crate) fn stress(threads: usize, steps: usize) {
    let table: Vec<Mutex<Option<Patterned>>> = (0..256).map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for number in 0..threads {
            let table = &table;
            scope.spawn(move || {
                let mut random = Random::new(0x5EED + number as u64);
                for step in 0..steps {
                    let block = Patterned::new(number << 32 | step, length(&mut random));
                    let place = random.below(table.len());
                    let other = table[place].lock().expect("not poisoned").replace(block);
                    assert!(other.is_none_or(|other| other.is_intact()));
                }
                churn(number, steps);
            });
        }
    });
    for place in table {
        let left = place.into_inner().expect("not poisoned");
        assert!(left.is_none_or(|block| block.is_intact()));
    }
}

/// Threads that live for a few allocations only.
pub(crate) fn short_lived(count: usize) {
    for batch in 0..count / 4 {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                thread::spawn(move || {
                    let blocks: Vec<Patterned> = (0..40)
                        .map(|at| Patterned::new(batch + at, 1 + (batch * 40 + at * 97) % 3000))
                        .collect();
                    assert!(blocks.iter().all(Patterned::is_intact));
                    // What outlives its thread is freed by another.
                    (number, blocks)
                })
            })
            .collect();
        for (expected, thread) in threads.into_iter().enumerate() {
            let (number, blocks) = thread.join().expect("the thread ended well");
            assert_eq!(number, expected);
            assert!(blocks.iter().all(Patterned::is_intact));
        }
    }
}

/// Blocks that always are freed by another thread than the one that allocated them.
pub(crate) fn channels() {
    const MESSAGES: usize = 20_000;
    let sum = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(4));
    let (sender, receiver) = sync_channel::<Box<[usize]>>(100);
    let producers: Vec<_> = (0..3)
        .map(|number| {
            let (sender, start) = (sender.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for message in 0..MESSAGES {
                    let len = 1 + (message * 7 + number) % 300;
                    let message = vec![message; len].into_boxed_slice();
                    sender.send(message).expect("somebody receives");
                }
            })
        })
        .collect();
    drop(sender);
    let consumer = {
        let sum = sum.clone();
        thread::spawn(move || {
            start.wait();
            for message in receiver {
                assert!(message.iter().all(|&value| value == message[0]));
                sum.fetch_add(message[0], Ordering::Relaxed);
            }
        })
    };
    for thread in producers.into_iter().chain([consumer]) {
        thread.join().expect("the thread ended well");
    }
    assert_eq!(
        sum.load(Ordering::Relaxed),
        3 * (0..MESSAGES).sum::<usize>()
    );
}

/// Allocates when its thread ends.
struct Last(Vec<u8>);

static LAST: AtomicUsize = AtomicUsize::new(0);

impl Drop for Last {
    fn drop(&mut self) {
        self.0 = (0..10_000).map(|at| at as u8).collect();
        churn(self.0.len(), 500);
        LAST.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static FIRST: RefCell<Option<Last>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Destructors of thread-local values, which run before the thread's local heap is given back, and of a
/// key of the C library, which may run after it.
pub(crate) fn thread_local_destructors() {
    const THREADS: usize = 50;
    extern "C" fn of_key(value: *mut c_void) {
        // SAFETY: the key's value is a box that was given up for it.
        let value = unsafe { Box::from_raw(value.cast::<Last>()) };
        drop(value);
    }
    let mut key = 0;
    // SAFETY: the destructor is a function of this program.
    let refused = unsafe { libc::pthread_key_create(&raw mut key, Some(of_key)) };
    assert_eq!(refused, 0);
    LAST.store(0, Ordering::Relaxed);
    for _ in 0..THREADS {
        thread::spawn(move || {
            FIRST.with(|last| *last.borrow_mut() = Some(Last(vec![1; 100])));
            SECOND.with(|last| *last.borrow_mut() = Some(Last(vec![2; 5000])));
            let value = Box::into_raw(Box::new(Last(vec![3; 20])));
            // SAFETY: the key was made above.
            assert_eq!(unsafe { libc::pthread_setspecific(key, value.cast()) }, 0);
        })
        .join()
        .expect("the thread ended well");
    }
    assert_eq!(LAST.load(Ordering::Relaxed), 3 * THREADS);
    // SAFETY: no thread that has a value is left.
    assert_eq!(unsafe { libc::pthread_key_delete(key) }, 0);
}

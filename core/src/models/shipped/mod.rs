//! The pool that ships, whole, in memory that loom follows: its lock, its heap, its maps, slabs and
//! local heaps. Only its [figures](crate::slab::scale) are smaller.
//!
//! Whoever gets an object of it writes there, and does so again before he frees it. So loom finds two
//! who have the same, and one who gets it before the last one is done.

mod end_of_thread;
mod growth;
mod hand_over;
mod observed;
mod remote_free;
mod twice;

use core::alloc::Layout;
use core::cell::{RefCell, UnsafeCell};
use core::ptr::NonNull;
use std::alloc::alloc;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec::Vec;

use lock_api::{GuardSend, RawMutex};
use loom::thread::{JoinHandle, spawn};

use super::{Search, explore_with};
use crate::fault::{FaultHandler, panic_on_fault};
use crate::heap::Options;
use crate::local::LocalHeap;
use crate::pool::Pool;
use crate::slab::class::SLAB_GRANULE;
use crate::sync::modelled::{self, Access, Bug, Plant, Spare};
use crate::sync::{AtomicUsize, Ordering};

/// Three of these are a slab.
const LAYOUT: Layout = layout(2560);

/// Objects of a slab.
const OBJECTS: usize = 3;

/// This is a block of its own.
const BLOCK: Layout = layout(5000);

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 16) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

const SPARE: Spare = Spare {
    words: 260,
    cells: 600,
};

/// A lock of loom's.
struct ModelledLock {
    /// So that it has an address.
    _place: UnsafeCell<u8>,
}

// SAFETY: nobody accesses the place.
unsafe impl Sync for ModelledLock {}

impl ModelledLock {
    fn address(&self) -> usize {
        (&raw const *self).addr()
    }
}

// SAFETY: loom's mutex excludes.
unsafe impl RawMutex for ModelledLock {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for it"
    )]
    const INIT: Self = Self {
        _place: UnsafeCell::new(0),
    };

    type GuardMarker = GuardSend;

    fn lock(&self) {
        modelled::lock(self.address());
    }

    fn try_lock(&self) -> bool {
        unimplemented!("the pool waits for its lock")
    }

    unsafe fn unlock(&self) {
        modelled::unlock(self.address());
    }
}

/// A pool in memory of its own, and who has what of it.
struct Bench {
    pool: Pool<'static, ModelledLock>,
    /// The objects in use, and their ends: as the steps were run, whatever order loom puts them in.
    in_use: RefCell<BTreeMap<usize, usize>>,
    /// An object on its way from one thread to another, 0 if there is none.
    handed_over: AtomicUsize,
}

/// What a model's pool is made of.
#[derive(Clone, Copy)]
struct Memory {
    /// Bytes at first.
    len: usize,
    /// Bytes that there are.
    capacity: usize,
    /// Who is told of misuse.
    on_fault: FaultHandler,
}

/// A bug in the accesses of one kind and order in a file of what ships.
const fn planted(file: &'static str, access: Access, order: Ordering, bug: Bug) -> Option<Plant> {
    Some(Plant {
        file,
        access,
        order,
        bug,
    })
}

/// What the lock guards is done without it.
const LOCK_NOT_TAKEN: Option<Plant> = planted(
    "shipped/mod.rs",
    Access::Lock,
    Ordering::Acquire,
    Bug::LeftOut,
);

/// Enough for whatever the models allocate.
const ROOM: Memory = Memory {
    len: 128 << 10,
    capacity: 128 << 10,
    on_fault: panic_on_fault,
};

/// With two local heaps there is room for one slab, and little else.
const TIGHT: Memory = Memory {
    len: 24 << 10,
    capacity: 24 << 10,
    on_fault: panic_on_fault,
};

/// Runs a model of a pool in every order. Its memory is the same each time.
fn model(
    search: Search,
    bug: Option<Plant>,
    memory: Memory,
    run: impl Fn(Arc<Bench>) + Send + Sync + 'static,
) {
    let layout = Layout::from_size_align(memory.capacity, SLAB_GRANULE).unwrap();
    // SAFETY: the layout is not empty.
    let start = NonNull::new(unsafe { alloc(layout) }).unwrap();
    let start = start.as_ptr().expose_provenance();
    explore_with(search, SPARE, bug, move || {
        let start = core::ptr::with_exposed_provenance_mut::<u8>(start);
        let options = Options {
            capacity: memory.capacity,
            on_fault: memory.on_fault,
            ..Options::default()
        };
        // SAFETY: the memory is this model's, and is never freed; the pool of the run before is gone.
        let pool = unsafe {
            for place in (0..memory.capacity).step_by(size_of::<usize>()) {
                start.add(place).cast::<usize>().write(modelled::nowhere());
            }
            Pool::create_in_raw(start, memory.len, options).unwrap()
        };
        run(Arc::new(Bench {
            pool,
            in_use: RefCell::default(),
            handed_over: AtomicUsize::new(0),
        }));
    });
}

/// An object of the pool, or a block.
type Object = NonNull<u8>;

/// A thread's local heap.
#[derive(Clone, Copy)]
struct Local(NonNull<LocalHeap>);

impl Local {
    fn get<'a>(self) -> &'a LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        unsafe { self.0.as_ref() }
    }
}

impl Bench {
    fn attach(&self) -> Local {
        Local(self.pool.attach().expect("memory for a local heap"))
    }

    fn detach(&self, local: Local) {
        // SAFETY: it came from there, and its thread has ended.
        unsafe { self.pool.detach(local.0) }
    }

    fn allocate(&self, local: Local) -> Option<Object> {
        self.allocate_as(local, LAYOUT)
    }

    fn allocate_as(&self, local: Local, layout: Layout) -> Option<Object> {
        // SAFETY: the models see to it that each local heap has one user.
        let object = unsafe { self.pool.allocate_in(local.get(), layout) }?;
        let start = object.addr().get();
        let end = start + layout.size();
        let mut in_use = self.in_use.borrow_mut();
        let before = in_use.range(..end).next_back();
        assert!(
            before.is_none_or(|(_, &end)| end <= start),
            "an object has two owners"
        );
        in_use.insert(start, end);
        drop(in_use);
        self.write(object, layout);
        Some(object)
    }

    /// Writes to an object, as whoever has it may.
    fn write(&self, object: Object, layout: Layout) {
        let start = object.addr().get();
        modelled::write(start..start + layout.size());
    }

    /// All that can be had.
    fn allocate_all(&self, local: Local) -> Vec<Object> {
        core::iter::from_fn(|| self.allocate(local)).collect()
    }

    fn free(&self, local: Local, object: Object) {
        self.end(object);
        self.free_only(local, object);
    }

    /// Whoever has an object is done with it.
    fn end(&self, object: Object) {
        let start = object.addr().get();
        let end = self.in_use.borrow_mut().remove(&start);
        modelled::write(start..end.expect("an object in use is freed"));
    }

    /// Frees an object, whoever has it.
    fn free_only(&self, local: Local, object: Object) {
        // SAFETY: the object was allocated. Its slab has another one in use if this is the second time,
        // so it is noticed.
        unsafe { self.pool.free_in(local.get(), object) }
    }

    /// Makes the pool larger, as far as there is memory.
    fn extend(&self, additional: usize) {
        // SAFETY: the models say how much there is.
        unsafe { self.pool.extend(additional) }.unwrap();
    }

    fn trim(&self, local: Local) {
        // SAFETY: as in `allocate`.
        unsafe { self.pool.trim(local.get()) }
    }

    /// Hands an object over.
    fn give(&self, object: Object) {
        let address = object.as_ptr().expose_provenance();
        let before = self.handed_over.swap(address, Ordering::AcqRel);
        assert_eq!(before, 0);
    }

    /// Takes an object that was handed over, if one was.
    fn receive(&self) -> Option<Object> {
        let address = self.handed_over.swap(0, Ordering::AcqRel);
        NonNull::new(core::ptr::with_exposed_provenance_mut(address))
    }

    fn assert_sound(&self) {
        if let Err(damage) = self.pool.check() {
            panic!("damage is reported: {damage:?}");
        }
    }

    /// When all threads have ended, and nothing is in use: all of it can be given back.
    fn assert_whole(&self) {
        assert!(self.in_use.borrow().is_empty(), "the model is done");
        self.trim(Local(NonNull::from(LocalHeap::EMPTY)));
        self.assert_sound();
        let stats = self.pool.stats();
        assert_eq!(stats.live_blocks, 0, "an object was lost");
        assert_eq!(stats.slab_free_bytes, 0, "a slab was lost");
    }
}

/// Runs one thread of a model.
fn thread(bench: &Arc<Bench>, run: impl FnOnce(&Bench) + 'static) -> JoinHandle<()> {
    let bench = bench.clone();
    spawn(move || run(&bench))
}

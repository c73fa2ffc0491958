//! Threads of std and of C, their ends, and the order of their ends' destructors.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// Something with an address, for as long as the test program runs.
fn new_heap() -> NonNull<LocalHeap> {
    NonNull::from(Box::leak(Box::new(LocalHeap::empty())))
}

/// The heaps that threads have given back.
static GIVEN_BACK: Mutex<Vec<usize>> = Mutex::new(Vec::new());

unsafe fn give_back(heap: NonNull<LocalHeap>) {
    assert_eq!(binding(), Binding::Ended);
    GIVEN_BACK.lock().unwrap().push(heap.addr().get());
}

fn times_given_back(heap: NonNull<LocalHeap>) -> usize {
    let given_back = GIVEN_BACK.lock().unwrap();
    given_back
        .iter()
        .filter(|&&given| given == heap.addr().get())
        .count()
}

fn bind_new() -> NonNull<LocalHeap> {
    let heap = new_heap();
    // SAFETY: a thread that has none yet; the heap stays; `give_back` touches no heap.
    unsafe { bind(heap, give_back) }.unwrap();
    heap
}

/// Runs the function in a thread that std knows nothing of.
fn run_in_c_thread(function: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) {
    let mut handle = 0;
    // SAFETY: the function and its argument outlive the thread, which is joined.
    unsafe {
        assert_eq!(
            libc::pthread_create(&raw mut handle, null(), function, argument),
            0
        );
        assert_eq!(libc::pthread_join(handle, null_mut()), 0);
    }
}

#[test]
fn begins_empty() {
    thread::spawn(|| {
        assert_eq!(binding(), Binding::Unbound);
        assert_eq!(current(), address_of(&EMPTY));
    })
    .join()
    .unwrap();
}

#[test]
fn each_thread_has_its_own() {
    let heaps: Vec<_> = (0..16).map(|_| new_heap()).collect();
    let barrier = std::sync::Barrier::new(heaps.len());
    thread::scope(|scope| {
        for heap in &heaps {
            let (address, barrier) = (heap.addr(), &barrier);
            scope.spawn(move || {
                let heap = core::ptr::with_exposed_provenance_mut(address.get());
                set_current(heap);
                barrier.wait();
                assert_eq!(current(), heap);
                barrier.wait();
                set_current(address_of(&EMPTY));
                barrier.wait();
                assert_eq!(current(), address_of(&EMPTY));
            });
        }
    });
}

#[test]
fn a_read_sees_the_last_write() {
    thread::spawn(|| {
        let (one, other) = (new_heap().as_ptr(), new_heap().as_ptr());
        let before = current();
        set_current(one);
        let first = current();
        set_current(other);
        let second = current();
        set_current(before);
        assert_eq!((first, second, current()), (one, other, before));
        let heaps = [one, other];
        for round in 0..100 {
            set_current(heaps[round % 2]);
            assert_eq!(current(), heaps[round % 2]);
        }
        set_current(before);
    })
    .join()
    .unwrap();
}

#[test]
fn a_thread_gives_its_heap_back_once() {
    let heap = thread::spawn(|| {
        let heap = bind_new();
        assert_eq!(current(), heap.as_ptr());
        assert_eq!(binding(), Binding::Bound(heap));
        heap.addr()
    })
    .join()
    .unwrap();
    let given_back = GIVEN_BACK.lock().unwrap();
    let times = given_back.iter().filter(|&&given| given == heap.get());
    assert_eq!(times.count(), 1);
}

extern "C" fn c_thread(place: *mut c_void) -> *mut c_void {
    assert_eq!(binding(), Binding::Unbound);
    let heap = bind_new();
    // SAFETY: `place` is the creator's, who waits for the thread.
    unsafe { place.cast::<Option<NonNull<LocalHeap>>>().write(Some(heap)) };
    null_mut()
}

extern "C" fn c_thread_that_calls_pthread_exit(place: *mut c_void) -> *mut c_void {
    c_thread(place);
    unsafe extern "C" {
        fn pthread_exit(value: *mut c_void) -> !;
    }
    // SAFETY: no destructor of this frame is skipped.
    unsafe { pthread_exit(null_mut()) }
}

#[test]
fn threads_that_std_does_not_know_give_their_heaps_back() {
    for function in [
        c_thread as extern "C" fn(_) -> _,
        c_thread_that_calls_pthread_exit,
    ] {
        let mut heap: Option<NonNull<LocalHeap>> = None;
        run_in_c_thread(function, (&raw mut heap).cast());
        assert_eq!(times_given_back(heap.unwrap()), 1);
    }
}

/// What other keys' destructors have seen, before and after the heap was given back.
static SEEN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Rounds of destructors that are still to come for these keys.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

static LATE_KEY: AtomicUsize = AtomicUsize::new(0);

extern "C" fn other_destructor(heap: *mut c_void) {
    match binding() {
        Binding::Bound(bound) => {
            assert_eq!(bound.as_ptr().cast(), heap);
            SEEN[0].fetch_add(1, Ordering::Relaxed);
        }
        Binding::Ended => {
            // Nothing that follows may bring the heap back.
            SEEN[1].fetch_add(1, Ordering::Relaxed);
        }
        other => panic!("{other:?}"),
    }
    if ROUNDS.fetch_sub(1, Ordering::Relaxed) > 1 {
        let key = LATE_KEY.load(Ordering::Relaxed) as libc::pthread_key_t;
        // SAFETY: the key was made by the test.
        unsafe { libc::pthread_setspecific(key, heap) };
    }
}

#[test]
fn other_destructors_run_before_and_after() {
    // The key of `bind` exists by now, whatever its place among these two.
    thread::spawn(|| {
        bind_new();
    })
    .join()
    .unwrap();
    let mut key = 0;
    // SAFETY: the destructor stays.
    unsafe { libc::pthread_key_create(&raw mut key, Some(other_destructor)) };
    LATE_KEY.store(key as usize, Ordering::Relaxed);
    ROUNDS.store(3, Ordering::Relaxed);
    let heap = thread::spawn(move || {
        let heap = bind_new();
        // SAFETY: the key was made above.
        unsafe { libc::pthread_setspecific(key, heap.as_ptr().cast()) };
        heap.addr()
    })
    .join()
    .unwrap();
    let seen: Vec<_> = SEEN.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    assert_eq!(seen[0] + seen[1], 3);
    // The key of `bind` was made first, and keys are taken in order; in any case its destructor
    // runs in the first round.
    assert!(seen[1] >= 2, "{seen:?}");
    let given_back = GIVEN_BACK.lock().unwrap();
    assert_eq!(given_back.iter().filter(|&&at| at == heap.get()).count(), 1);
}

#[test]
fn binding_keeps_errno() {
    thread::spawn(|| {
        crate::os_error::OsError(libc::EBUSY).set();
        bind_new();
        assert_eq!(crate::os_error::OsError::last().0, libc::EBUSY);
    })
    .join()
    .unwrap();
}

#[test]
fn forked_children_keep_their_heap() {
    thread::spawn(|| {
        let heap = bind_new();
        // SAFETY: the child calls nothing that needs other threads.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let kept = binding() == Binding::Bound(heap);
            // SAFETY: ends the child.
            unsafe { libc::_exit(if kept { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: there is room for the status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    })
    .join()
    .unwrap();
}

/// Runs in a thread that has a heap, and takes it away in the end without giving it back.
fn with_heap(test: impl FnOnce(*mut LocalHeap) + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let heap = new_heap().as_ptr();
            set_current(heap);
            test(heap);
            set_current(address_of(&EMPTY));
        });
    });
}

fn here() -> usize {
    let here = 0u8;
    (&raw const here).addr()
}

/// A handler on the usual stack, on top of the caller's frame.
fn handler_at(frame: usize) -> HandlerStack {
    HandlerStack {
        frame,
        interrupted: frame + 256,
        alternate_start: 0,
        alternate_size: 0,
    }
}

#[test]
fn a_handler_sees_no_heap() {
    with_heap(|heap| {
        // What runs now is called by a handler: it lies below the frame.
        let suspension = suspend(handler_at(here() + (1 << 16)));
        assert_eq!(binding(), Binding::Suspended);
        assert_eq!(current(), address_of(&SUSPENDED));
        suspension.end();
        assert_eq!(current(), heap);
    });
}

#[test]
fn handlers_may_interrupt_handlers() {
    with_heap(|heap| {
        let here = here();
        let outer = suspend(handler_at(here + (2 << 16)));
        let inner = suspend(handler_at(here + (1 << 16)));
        assert_eq!(binding(), Binding::Suspended);
        inner.end();
        assert_eq!(binding(), Binding::Suspended);
        outer.end();
        assert_eq!(current(), heap);
    });
}

#[test]
fn a_handler_that_was_left_is_noticed_above_its_frame() {
    with_heap(|heap| {
        let _left = suspend(handler_at(here() + (1 << 16)));
        assert_eq!(binding(), Binding::Suspended);
        let _left = suspend(handler_at(here() - (1 << 16)));
        // The inner one changed nothing, and what runs now lies below the outer one's frame.
        assert_eq!(binding(), Binding::Suspended);
        set_current(heap);
        let _left = suspend(handler_at(here() - (1 << 16)));
        assert_eq!(current(), address_of(&SUSPENDED));
        assert_eq!(binding(), Binding::Bound(NonNull::new(heap).unwrap()));
        assert_eq!(current(), heap);
    });
}

#[test]
fn a_handler_that_was_left_is_noticed_by_the_next() {
    with_heap(|heap| {
        let _left = suspend(handler_at(here() - (2 << 16)));
        let next = suspend(handler_at(here() - (1 << 16)));
        next.end();
        assert_eq!(current(), heap);
    });
}

#[test]
fn alternate_stacks_are_no_place_on_the_usual_one() {
    with_heap(|heap| {
        let here = here();
        // Handlers on an alternate stack above and below the usual one, left.
        for frame in [here + (1 << 20), here - (1 << 20)] {
            let on_alternate = HandlerStack {
                frame,
                interrupted: here,
                alternate_start: frame - 4096,
                alternate_size: 8192,
            };
            let _left = suspend(on_alternate);
            assert_eq!(current(), address_of(&SUSPENDED));
            assert_eq!(binding(), Binding::Bound(NonNull::new(heap).unwrap()));
        }
        // Handlers on the usual stack, interrupted by one on the alternate stack, on which the
        // caller is.
        for frame in [here + (1 << 20), here - (1 << 20)] {
            let outer = suspend(handler_at(frame));
            let inner = suspend(HandlerStack {
                frame: here + 4096,
                interrupted: frame - 256,
                alternate_start: here - 8192,
                alternate_size: 16384,
            });
            assert_eq!(binding(), Binding::Suspended);
            inner.end();
            outer.end();
            assert_eq!(current(), heap);
        }
    });
}

#[test]
fn nothing_is_suspended_at_the_end_of_a_thread() {
    thread::spawn(|| {
        set_current(address_of(&ENDED));
        let suspension = suspend(handler_at(here() + 4096));
        assert_eq!(binding(), Binding::Ended);
        suspension.end();
        assert_eq!(binding(), Binding::Ended);
    })
    .join()
    .unwrap();
}
